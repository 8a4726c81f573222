"""MediaPipe's FaceLandmarker (Kartynnik et al., 2019, arXiv:1907.06724): a mesh of 478 points.

Still images, no tracking from one to the next: an image's points depend on that image alone.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.landmarks.detectors.boxes import Box, aligned_box, around, distance, plausible
from pipeline.core.landmarks.mesh_map import MAPS

FACES = 4  # faces looked for in an image: the nearest to the box is taken


class MediapipeMesh:
    """The 68 points by way of the mesh of the face that is nearest to the box."""

    name = "mediapipe"

    def __init__(self, model: Path, mesh_map: str) -> None:
        # One face at a time is faster, and mostly it is the right one.
        self.one = open_landmarker(model, num_faces=1)
        self.several = open_landmarker(model, num_faces=FACES)
        with quiet():
            for landmarker in (self.one, self.several):
                run(landmarker, np.zeros((64, 64, 3), np.uint8))
        self.mesh_map = MAPS[mesh_map]

    def close(self) -> None:
        """Needed: MediaPipe cannot close by itself once the interpreter is about to end."""
        self.one.close()
        self.several.close()

    def find(self, images: Sequence[np.ndarray], boxes: Sequence[Box | None]) -> np.ndarray:
        """See ``Detector``. The first face that is seen, if it is plausible; else the nearest."""
        views = list(map(view, images, boxes))
        places = np.array([seen.place for seen in views])
        points = self.mapped([first(run(self.one, seen.image)) for seen in views])
        for i in np.flatnonzero(np.isfinite(points[:, 0, 0]) & ~plausible(points, places)):
            points[i] = self.mapped([nearest(self.meshes(views[i].image), places[i])])[0]
        return points + np.array([seen.corner for seen in views])[:, None]

    def mapped(self, meshes: Sequence[np.ndarray | None]) -> np.ndarray:
        """Points (N, 68, 2) of N meshes, NaN where none is; in one go, which is faster."""
        points = np.full((len(meshes), 68, 2), np.nan)
        seen = {i: mesh for i, mesh in enumerate(meshes) if mesh is not None}
        if seen:
            points[list(seen)] = self.mesh_map(np.stack(list(seen.values())))
        return points

    def meshes(self, image: np.ndarray) -> list[np.ndarray]:
        """The meshes (478, 3) of all faces in an image (H, W, 3), in its pixels."""
        return run(self.several, image)


class View(NamedTuple):
    """What the detector is shown: the image or a part of it, the box's place in it, its corner."""

    image: np.ndarray
    place: Box
    corner: tuple[int, int]


def view(image: np.ndarray, box: Box | None) -> View:
    """An aligned image as it is; of another what lies within half a box of the box."""
    if box is None:
        return View(image, aligned_box(image), (0, 0))
    left, top, right, bottom = box
    x, y = (right - left) / 2, (bottom - top) / 2
    rows = slice(max(0, int(top - y)), max(1, int(bottom + y)))
    columns = slice(max(0, int(left - x)), max(1, int(right + x)))
    crop, corner = np.ascontiguousarray(image[rows, columns]), (columns.start, rows.start)
    return View(
        crop, (left - corner[0], top - corner[1], right - corner[0], bottom - corner[1]), corner
    )


def first(meshes: list[np.ndarray]) -> np.ndarray | None:
    return meshes[0] if meshes else None


def nearest(meshes: list[np.ndarray], box: Box) -> np.ndarray | None:
    return min(meshes, key=lambda mesh: distance(around(mesh[:, :2]), box), default=None)


def open_landmarker(model: Path, **options: Any) -> Any:
    """MediaPipe's landmarker; ``options`` are those of its ``FaceLandmarkerOptions``."""
    from mediapipe.tasks.python import BaseOptions, vision

    if not model.is_file():
        raise UserError(
            f"MediaPipe's model is not at {model}: fetch it with the rule fetch_detector, or place"
            " face_landmarker.task there by hand."
        )
    chosen = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)), **options
    )
    try:
        with quiet():
            return vision.FaceLandmarker.create_from_options(chosen)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"MediaPipe cannot read its model {model} ({error}): remove the file and fetch it anew"
            " with the rule fetch_detector."
        ) from None


def run(landmarker: Any, image: np.ndarray) -> list[np.ndarray]:
    """All meshes (478, 3) of a still image in pixels; depth in the same unit."""
    return in_pixels(landmarker.detect(as_mediapipe(image)), image)


def as_mediapipe(image: np.ndarray) -> Any:
    import mediapipe

    return mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(image))


def in_pixels(found: Any, image: np.ndarray) -> list[np.ndarray]:
    height, width = image.shape[:2]
    scale = np.array([width, height, width])
    return [
        np.array([[p.x for p in face], [p.y for p in face], [p.z for p in face]]).T * scale
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
