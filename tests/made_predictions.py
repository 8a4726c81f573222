"""Predictions that a test writes down."""

import numpy as np

from pipeline.core.evaluation.predictions import Predictions


def predictions_of(
    labels: np.ndarray,
    names: list[str],
    predicted: np.ndarray,
    attributes: list[str],
    people: np.ndarray | None = None,
) -> Predictions:
    """Test faces with labels (N, L) of ``names`` and predictions (N, A) bool of ``attributes``."""
    return Predictions(
        names=[str(face) for face in range(len(labels))],
        splits=np.full(len(labels), "test"),
        identities=np.arange(len(labels)) if people is None else people,
        label_names=names,
        labels=labels.astype(np.int8),
        attributes=attributes,
        logits=np.where(predicted, 1, -1).astype(np.float32),
        thresholds=np.full(len(attributes), 0.5),
        train_positives=np.full(len(names), 0.5),
        weights="",
    )
