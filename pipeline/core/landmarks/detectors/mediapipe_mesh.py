"""MediaPipe's FaceLandmarker (Kartynnik et al., 2019, arXiv:1907.06724): a mesh of 478 points.

Still images, no tracking from one to the next: an image's points depend on that image alone.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.landmarks.detectors.boxes import Box, aligned_box, around, distance, plausible
from pipeline.core.landmarks.mesh_map import MAPS

MAX_FACES = 4  # in an image, of which the nearest to the box is used


class MediapipeMesh:
    """The 68 points by way of the mesh of the face that is nearest to the box."""

    name = "mediapipe"

    def __init__(self, model: Path, mesh_map: str) -> None:
        # One face at a time is faster, and it is mostly the right one.
        self.one = warm_up(open_landmarker(model, num_faces=1))
        self.several = warm_up(open_landmarker(model, num_faces=MAX_FACES))
        self.mesh_map = MAPS[mesh_map]

    def close(self) -> None:
        """Needed: MediaPipe cannot close by itself once the interpreter is about to end."""
        self.one.close()
        self.several.close()

    def find(self, images: Sequence[np.ndarray], boxes: Sequence[Box | None]) -> np.ndarray:
        """See ``Detector``. The first face that is found, if plausible; else the nearest."""
        crops = list(map(crop, images, boxes))
        places = np.array([part.box for part in crops])
        points = self.mapped([next(iter(run(self.one, part.image)), None) for part in crops])
        for i in np.flatnonzero(np.isfinite(points[:, 0, 0]) & ~plausible(points, places)):
            points[i] = self.mapped([nearest(self.meshes(crops[i].image), places[i])])[0]
        return points + np.array([part.corner for part in crops])[:, None]

    def mapped(self, meshes: Sequence[np.ndarray | None]) -> np.ndarray:
        """Points (N, 68, 2) of N meshes, NaN for None; all at once, which is faster."""
        points = np.full((len(meshes), 68, 2), np.nan)
        found = {i: mesh for i, mesh in enumerate(meshes) if mesh is not None}
        if found:
            points[list(found)] = self.mesh_map(np.stack(list(found.values())))
        return points

    def meshes(self, image: np.ndarray) -> list[np.ndarray]:
        """The meshes (478, 3) of all faces in an image (H, W, 3), in its pixels."""
        return run(self.several, image)


class Crop(NamedTuple):
    """A part (h, w, 3) of an image, its upper left corner (x, y) there, the face's box in it."""

    image: np.ndarray
    box: Box
    corner: tuple[int, int]


def crop(image: np.ndarray, box: Box | None) -> Crop:
    """The whole of an aligned image; of another what lies within half a box of the box."""
    if box is None:
        return Crop(image, aligned_box(image), (0, 0))
    left, top, right, bottom = box
    x, y = (right - left) / 2, (bottom - top) / 2
    rows = slice(max(0, int(top - y)), max(1, int(bottom + y)))
    columns = slice(max(0, int(left - x)), max(1, int(right + x)))
    place = (left - columns.start, top - rows.start, right - columns.start, bottom - rows.start)
    return Crop(np.ascontiguousarray(image[rows, columns]), place, (columns.start, rows.start))


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


def warm_up(landmarker: Any) -> Any:
    """The same landmarker, for still images, after a first one: then it prints no more."""
    with quiet():
        run(landmarker, np.zeros((64, 64, 3), np.uint8))
    return landmarker


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
    """Keep what MediaPipe's C++ code prints while it starts off the terminal.

    It goes to the stage's log, if there is one: should MediaPipe abort, its reason is there.
    """
    logs = [h for h in logging.getLogger().handlers if isinstance(h, logging.FileHandler)]
    stderr, file = os.dup(2), logs[0].baseFilename if logs else os.devnull
    with Path(file).open("ab") as target:
        os.dup2(target.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
