"""The test faces together with what a model said of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.evaluation.metrics import cuts, probabilities
from pipeline.core.evaluation.predictions import Predictions, read_predictions
from pipeline.core.faces.store import Faces, open_faces


class Judged(NamedTuple):
    """The test faces, what was said of them, and their rows in ``faces/``."""

    faces: Faces
    said: Predictions
    rows: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """(N, A) bool."""
        labels: np.ndarray = self.said.labels[:, self.said.columns]
        return labels

    @property
    def chances(self) -> np.ndarray:
        """(N, A) probabilities."""
        return probabilities(self.said.logits)

    @property
    def positive(self) -> np.ndarray:
        """(N, A) bool: what was predicted."""
        positive: np.ndarray = self.said.logits > cuts(self.said.thresholds)
        return positive

    def images(self, faces: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) uint8 of some of the test faces."""
        return np.stack([self.faces.image(int(row)) for row in self.rows[faces]])


def open_judged(faces: Path, predictions: Path) -> Judged:
    opened, said = open_faces(faces), read_predictions(predictions).of("test")
    rows = {name: row for row, name in enumerate(opened.names)}
    missing = [name for name in said.names if name not in rows]
    if missing or not said.names:
        raise UserError(
            f"{predictions} has {len(missing) or 'no'} test faces that are"
            f" {'not ' if missing else ''}in {faces}; give the faces that the model was judged on."
        )
    return Judged(opened, said, np.array([rows[name] for name in said.names]))
