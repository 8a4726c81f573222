"""The test faces together with what a model predicted of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.evaluation.metrics import probabilities
from pipeline.core.evaluation.predictions import Predictions, read_predictions
from pipeline.core.faces.store import Faces, open_faces


class EvaluatedFaces(NamedTuple):
    """The data set, the predictions for its test faces, and the rows (N,) of these in ``faces/``.

    A test face is named below by its position from 0 to N − 1.
    """

    faces: Faces
    predictions: Predictions
    rows: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """(N, A) int8."""
        return self.predictions.model_labels

    @property
    def probabilities(self) -> np.ndarray:
        """(N, A) from 0 to 1."""
        return probabilities(self.predictions.logits)

    @property
    def predicted(self) -> np.ndarray:
        """(N, A) bool: the probability is above the threshold."""
        return self.predictions.predicted

    def images(self, positions: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) uint8 of some of the test faces."""
        return np.stack([self.faces.image(int(row)) for row in self.rows[positions]])


def open_evaluated(faces: Path, predictions: Path) -> EvaluatedFaces:
    """Open both; a ``UserError`` says so if the predictions are of other faces, or of none."""
    opened, test = open_faces(faces), read_predictions(predictions).of("test")
    rows = {name: row for row, name in enumerate(opened.names)}
    missing = [name for name in test.names if name not in rows]
    if missing or not test.names:
        raise UserError(
            f"{predictions} has {len(missing) or 'no'} test faces that are"
            f" {'not ' if missing else ''}in {faces}; give the faces that the model was evaluated"
            " on."
        )
    return EvaluatedFaces(opened, test, np.array([rows[name] for name in test.names]))
