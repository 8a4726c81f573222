"""dlib's 68-point predictor (Kazemi and Sullivan, 2014) on a given face box; an optional extra.

It draws a face wherever it is told to, so it is asked for the same face in several boxes: where
the answers differ there is nothing that it recognises. Its model was trained on iBUG 300-W,
whose terms exclude commercial use.
"""

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.landmarks.detectors.boxes import (
    Box,
    Doubt,
    aligned_box,
    centre,
    mean_side,
    settle,
)
from pipeline.core.landmarks.detectors.one_by_one import OneByOne

# The square that dlib's own detector draws, in terms of the box around the 68 points: measured on
# aligned HELEN faces, as the square with the least error.
RAISED, HALF_SIDE = 0.1, 0.51
# Shifts of the square to the right and down, and its growth, in half sides.
TRIALS = [(0, 0, 1), (0.1, 0, 1), (-0.1, 0, 1), (0, 0.1, 1), (0, -0.1, 1), (0, 0, 1.1), (0, 0, 0.9)]
SPREAD = 0.065  # on noise it is 0.08, on a clear face below 0.03
# The less the answers agree, the more the known place of an aligned face counts. On aligned faces
# with eyes or mouth covered that MediaPipe misses it takes a tenth off the error.
DOUBT = Doubt(share=12, most=0.5)
CONTRAST = 4  # grey levels: the standard deviation below which there is nothing to see


class DlibPoints(OneByOne):
    name = "dlib"

    @cached_property
    def predictor(self) -> Any:
        """Loaded when the first face needs it: 100 MB, which most parts can do without."""
        import dlib

        return dlib.shape_predictor(str(models() / "shape_predictor_68_face_landmarks.dat"))

    def find_one(self, image: np.ndarray, box: Box | None) -> np.ndarray | None:
        if image.mean(axis=2).std() < CONTRAST:
            return None
        answers = self.trials(image, box or aligned_box(image))
        return settle(answers, image, box is None, SPREAD, DOUBT)

    def trials(self, image: np.ndarray, box: Box) -> list[np.ndarray]:
        """The points (68, 2) as predicted from each of the squares near the box."""
        (x, y), (_, top, _, bottom) = centre(box), box
        y, half = y - RAISED * (bottom - top), HALF_SIDE * float(mean_side(box))
        return [
            self.predict(image, x + right * half, y + down * half, grown * half)
            for right, down, grown in TRIALS
        ]

    def predict(self, image: np.ndarray, x: float, y: float, half: float) -> np.ndarray:
        """(68, 2) points as predicted from the square around (x, y)."""
        import dlib

        sides = [round(side) for side in (x - half, y - half, x + half, y + half)]
        shape = self.predictor(np.ascontiguousarray(image), dlib.rectangle(*sides))
        return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)

    def close(self) -> None:
        """Nothing is held that needs closing."""


def models() -> Path:
    """The folder with dlib's models; importing the package fails beside a new setuptools."""
    spec = find_spec("face_recognition_models")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "models"
