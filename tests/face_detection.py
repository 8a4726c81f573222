"""The detector's model and faces with known points, for tests."""

from pathlib import Path

import numpy as np
from conftest import ROOT, schema

from pipeline.core.landmarks.mesh_map import hand_picked, read_fit
from pipeline.fetch import fetch

ALL = ["mediapipe", "mediapipe_enlarged", "dlib"]


def fetched_model() -> Path:
    """MediaPipe's model, fetched as the workflow does unless it is there."""
    model = schema()["properties"]["landmarks"]["properties"]["model"]["properties"]
    path = ROOT / "downloads/face_landmarker.task"
    fetch(path, model["sha256"]["default"], model["mirrors"]["default"])
    return path


def mean_face() -> np.ndarray:
    """(68, 2) an average face at the place of an aligned one in 178 × 218."""
    mesh = np.zeros((478, 3))
    mesh[read_fit().mesh_points] = read_fit().mean
    points = hand_picked(mesh)
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - (low + high) / 2) * 86 / (high - low).mean() + np.array([88, 139])


def box_around(points: np.ndarray) -> tuple[float, float, float, float]:
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return float(left), float(top), float(right), float(bottom)
