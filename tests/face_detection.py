"""The detector's model and faces with known points, for tests."""

from functools import cache
from pathlib import Path

import numpy as np
from conftest import fetched, schema

from pipeline.core.landmarks.mesh_map import hand_picked, read_fit

ALL = ["mediapipe", "mediapipe_enlarged", "dlib"]


@cache
def fetched_model() -> Path:
    """MediaPipe's model; a test is skipped where it cannot be fetched."""
    landmarks = schema()["properties"]["landmarks"]["properties"]
    return fetched("face_landmarker.task", landmarks["model"]["properties"])


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
