"""The probability above which an attribute is predicted, chosen on the valid split alone."""

import numpy as np

from pipeline.core.classification import enough_faces
from pipeline.core.evaluation.metrics import probabilities

DEFAULT = 0.5


def best_on_valid(labels: np.ndarray, logits: np.ndarray, min_class: int) -> np.ndarray:
    """(A,) thresholds of the best balanced accuracy on valid: labels (N, A), logits (N, A).

    Among equally good ones the nearest to 0.5 is taken. An attribute with fewer than
    ``min_class`` valid faces of a class keeps 0.5.
    """
    chosen = np.full(labels.shape[1], DEFAULT)
    for a in np.flatnonzero(enough_faces(labels, min_class)):
        known = labels[:, a] >= 0
        chosen[a] = _best(labels[known, a] == 1, probabilities(logits[known, a]))
    return chosen


def _best(labels: np.ndarray, predicted: np.ndarray) -> float:
    """The best of 0.5 and the midpoints between neighbouring predicted probabilities."""
    values = np.unique([0, *predicted, 1])
    candidates = np.append((values[1:] + values[:-1]) / 2, DEFAULT)
    candidates = candidates[(candidates > 0) & (candidates < 1)]
    positives, negatives = np.sort(predicted[labels]), np.sort(predicted[~labels])
    recall = 1 - np.searchsorted(positives, candidates, "right") / len(positives)
    specificity = np.searchsorted(negatives, candidates, "right") / len(negatives)
    balance = recall + specificity
    best = candidates[balance >= balance.max() - 1e-12]
    return float(best[np.argmin(abs(best - DEFAULT))])
