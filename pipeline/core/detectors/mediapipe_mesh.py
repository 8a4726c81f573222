"""MediaPipe's FaceLandmarker (Kartynnik et al., 2019, arXiv:1907.06724): a mesh of 478 points.

Still images, no tracking from one to the next: an image's points depend on that image alone.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.core.detectors.boxes import (
    Box,
    aligned_box,
    as_aligned,
    consensus,
    distance,
    plausible,
)
from pipeline.core.mesh_map import MAPS
from pipeline.core.nme import MIRRORED
from pipeline.core.stage import UserError

FACES = 4  # faces looked for in an image: the nearest to the box is taken


class MediapipeMesh:
    """The 68 points by way of the mesh of the face that is nearest to the box."""

    name = "mediapipe"
    confidence = 0.5

    def __init__(self, model: Path, mesh_map: str) -> None:
        self.landmarker = open_landmarker(model, self.confidence)
        self.mesh_map = MAPS[mesh_map]

    def close(self) -> None:
        """Needed: MediaPipe cannot close by itself once the interpreter is about to end."""
        self.landmarker.close()

    def find(self, image: np.ndarray, box: Box | None = None) -> np.ndarray | None:
        mesh = self.find_mesh(image, box)
        return None if mesh is None else self.mesh_map(mesh)

    def find_mesh(self, image: np.ndarray, box: Box | None = None) -> np.ndarray | None:
        """(478, 3) x, y and depth in pixels of the face nearest to the box, or None."""
        if box is None:
            return nearest(self.meshes(image), aligned_box(image))
        crop, (left, top) = crop_around(image, box)
        inside = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
        mesh = nearest(self.meshes(crop), inside)
        return None if mesh is None else mesh + np.array([left, top, 0])

    def meshes(self, image: np.ndarray) -> list[np.ndarray]:
        """The meshes (478, 3) of all faces in an image (H, W, 3), in its pixels."""
        return run(self.landmarker, image)


class EnlargedMesh(MediapipeMesh):
    """The same on larger images with margins, and in the mirror, for faces that it misses.

    It is asked with little confidence but several times; at least two must answer, and agree.
    """

    name = "mediapipe_enlarged"
    confidence = 0.1
    scale = 2
    margins = (0.25, 0.5, 1.0)  # in sides of the image, or of the crop
    votes = 2
    spread = 0.03

    def find(self, image: np.ndarray, box: Box | None = None) -> np.ndarray | None:
        place, (left, top) = box or aligned_box(image), (0, 0)
        if box is not None:
            image, (left, top) = crop_around(image, box)
            place = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
        answers = [
            answer
            for margin in self.margins
            for answer in (
                self.ask(image, place, margin),
                mirrored(self.ask(image[:, ::-1], mirrored_box(place, image), margin), image),
            )
            if answer is not None and plausible(answer, place)
        ]
        if len(answers) < self.votes:
            return None
        points, apart = consensus(answers)
        if apart > self.spread or (box is None and not as_aligned(points, image)):
            return None
        return points + np.array([left, top])

    def ask(self, image: np.ndarray, place: Box, margin: float) -> np.ndarray | None:
        """The points (68, 2) as found on the enlarged image with a margin of its edge's colours."""
        y, x = (int(margin * side) for side in image.shape[:2])
        padded = cv2.copyMakeBorder(
            np.ascontiguousarray(image), y, y, x, x, borderType=cv2.BORDER_REPLICATE
        )
        large = cv2.resize(
            padded, None, fx=self.scale, fy=self.scale, interpolation=cv2.INTER_CUBIC
        )
        meshes = [mesh / self.scale - np.array([x, y, 0]) for mesh in self.meshes(large)]
        mesh = nearest(meshes, place)
        return None if mesh is None else self.mesh_map(mesh)


def mirrored(points: np.ndarray | None, image: np.ndarray) -> np.ndarray | None:
    """Points (68, 2) of the mirrored image, in the image itself."""
    return (
        None if points is None else (np.array([image.shape[1] - 1, 0]) + points * (-1, 1))[MIRRORED]
    )


def mirrored_box(box: Box, image: np.ndarray) -> Box:
    last = image.shape[1] - 1
    return last - box[2], box[1], last - box[0], box[3]


def nearest(meshes: list[np.ndarray], box: Box) -> np.ndarray | None:
    if len(meshes) == 1:
        return meshes[0]
    return min(meshes, key=lambda mesh: distance(mesh[:, :2], box), default=None)


def crop_around(image: np.ndarray, box: Box) -> tuple[np.ndarray, tuple[int, int]]:
    """The part of an image within half a box of a box, and its upper left corner."""
    left, top, right, bottom = box
    x, y = (right - left) / 2, (bottom - top) / 2
    rows = slice(max(0, int(top - y)), max(1, int(bottom + y)))
    columns = slice(max(0, int(left - x)), max(1, int(right + x)))
    return np.ascontiguousarray(image[rows, columns]), (columns.start, rows.start)


def open_landmarker(model: Path, confidence: float) -> Any:
    from mediapipe.tasks.python import BaseOptions, vision

    if not model.is_file():
        raise UserError(
            f"MediaPipe's model is not at {model}; fetch it with the rule landmark_model, or place"
            " face_landmarker.task there by hand."
        )
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)),
        running_mode=vision.RunningMode.IMAGE,
        num_faces=FACES,
        min_face_detection_confidence=confidence,
        min_face_presence_confidence=confidence,
    )
    with quiet():
        landmarker = vision.FaceLandmarker.create_from_options(options)
        run(landmarker, np.zeros((64, 64, 3), np.uint8))
    return landmarker


def run(landmarker: Any, image: np.ndarray) -> list[np.ndarray]:
    """All meshes (478, 3) in pixels, pixel centres at whole numbers; depth in the same unit."""
    import mediapipe

    height, width = image.shape[:2]
    found = landmarker.detect(
        mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
    )
    scale = np.array([width, height, width])
    return [
        np.fromiter((x for p in face for x in (p.x, p.y, p.z)), float).reshape(-1, 3) * scale
        for face in found.face_landmarks
    ]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what MediaPipe's C++ side prints while it starts off the terminal."""
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
