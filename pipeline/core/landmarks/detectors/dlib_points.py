"""dlib's 68-point predictor (Kazemi and Sullivan, 2014) on a given face box; an optional extra.

It predicts a face in any box, so it predicts the same face from several boxes: where the
predictions disagree there is nothing that it recognises. Its model was trained on iBUG 300-W,
whose terms exclude commercial use.
"""

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.landmarks.detectors.boxes import (
    Box,
    Shrinkage,
    aligned_box,
    centre,
    combine,
    mean_side,
    stacked,
)

# The square that dlib's own detector draws, in terms of the box around the 68 points: measured on
# aligned HELEN faces, as the square with the least error.
RAISED, HALF_SIDE = 0.1, 0.51
# Shifts of the square to the right and down, and its growth, in half sides.
TRIALS = [(0, 0, 1), (0.1, 0, 1), (-0.1, 0, 1), (0, 0.1, 1), (0, -0.1, 1), (0, 0, 1.1), (0, 0, 0.9)]
# Disagreement of the predictions: 0.08 on noise, below 0.03 on a clear face.
TOLERANCE = 0.065
# It lowers the error by a tenth on aligned faces that MediaPipe misses, eyes or mouth covered.
SHRINKAGE = Shrinkage(slope=12, limit=0.5)
MIN_CONTRAST = 4  # grey levels, standard deviation


class DlibPoints:
    name = "dlib"

    @cached_property
    def predictor(self) -> Any:
        """Loaded with the first face that needs it: 100 MB, which most parts can do without."""
        import dlib

        return dlib.shape_predictor(str(models() / "shape_predictor_68_face_landmarks.dat"))

    def find(self, images: Sequence[np.ndarray], boxes: Sequence[Box | None]) -> np.ndarray:
        """See ``Detector``."""
        return stacked(map(self.find_one, images, boxes))

    def find_one(self, image: np.ndarray, box: Box | None) -> np.ndarray | None:
        """Points (68, 2) of one image; see ``Detector``."""
        if image.mean(axis=2).std() < MIN_CONTRAST:
            return None
        predictions = self.trials(image, box or aligned_box(image))
        return combine(predictions, image, box is None, TOLERANCE, SHRINKAGE)

    def trials(self, image: np.ndarray, box: Box) -> list[np.ndarray]:
        """The points (68, 2) predicted from each of the squares near the box."""
        (x, y), (_, top, _, bottom) = centre(box), box
        y, half = y - RAISED * (bottom - top), HALF_SIDE * float(mean_side(box))
        return [
            self.predict(image, x + right * half, y + down * half, grown * half)
            for right, down, grown in TRIALS
        ]

    def predict(self, image: np.ndarray, x: float, y: float, half: float) -> np.ndarray:
        """(68, 2) points predicted from the square of half side ``half`` around (x, y)."""
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
