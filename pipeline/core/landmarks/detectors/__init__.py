"""Detectors of 68 facial landmarks, and the cascade that tries them in turn.

A detector finds in each image the face that a box marks: (left, top, right, bottom) in pixels.
Without a box the image is taken for an aligned CelebA face, whose place is known. Each face that a
detector finds is checked (``plausible``); one that fails goes on to the next detector.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.landmarks.detectors.boxes import Box, aligned_box, inside, plausible
from pipeline.core.landmarks.detectors.dlib_points import DlibPoints
from pipeline.core.landmarks.detectors.mediapipe_enlarged import EnlargedMesh
from pipeline.core.landmarks.detectors.mediapipe_mesh import MediapipeMesh

__all__ = ["DETECTORS", "Box", "Detector", "aligned_box", "find", "opened", "plausible", "usable"]

DETECTORS = ("mediapipe", "mediapipe_enlarged", "dlib")


class Detector(Protocol):
    name: str

    def find(self, images: Sequence[np.ndarray], boxes: Sequence[Box | None]) -> np.ndarray:
        """N images (H, W, 3) uint8 RGB -> points (N, 68, 2) in pixels, NaN where no face is."""

    def close(self) -> None:
        """Release what the detector holds."""


def usable(names: Sequence[str]) -> list[str]:
    """Those of the detectors that are installed; only dlib is an extra."""
    dlib = all(map(find_spec, ("dlib", "face_recognition_models")))
    return [name for name in names if name != "dlib" or dlib]


@contextmanager
def opened(names: Sequence[str], model: Path, mesh_map: str) -> Iterator[list[Detector]]:
    """The detectors of a cascade, in order, without those that are not installed.

    ``model`` is MediaPipe's ``face_landmarker.task``; ``mesh_map`` is fitted or hand_picked.
    """
    installed = usable(names)
    if not installed:
        raise UserError(
            "landmarks.detectors has only dlib, which is not installed; install it with"
            " pip install -r envs/dlib.txt, or add mediapipe to the list."
        )
    with ExitStack() as stack:
        yield [stack.enter_context(closing(make(name, model, mesh_map))) for name in installed]


def make(name: str, model: Path, mesh_map: str) -> Detector:
    if name == "dlib":
        return DlibPoints()
    if name == "mediapipe_enlarged":
        return EnlargedMesh(model, mesh_map)
    return MediapipeMesh(model, mesh_map)


def find(
    images: Sequence[np.ndarray],
    detectors: Sequence[Detector],
    boxes: Sequence[Box | None] | None = None,
) -> tuple[np.ndarray, list[str]]:
    """Points (N, 68, 2) of N images, and the name of the first detector that found each plausibly;
    NaN and "" where none did.
    """
    boxes = boxes or [None] * len(images)
    places = [box or aligned_box(image) for image, box in zip(images, boxes, strict=True)]
    points, names = np.full((len(images), 68, 2), np.nan), [""] * len(images)
    left = [i for i, image in enumerate(images) if inside(places[i], image)]
    for detector in detectors:
        if not left:
            break
        found = detector.find([images[i] for i in left], [boxes[i] for i in left])
        good = plausible(found, np.array([places[i] for i in left]))
        for i, face in zip(np.array(left)[good], found[good], strict=True):
            points[i], names[i] = face, detector.name
        left = [i for i in left if not names[i]]
    return points, names
