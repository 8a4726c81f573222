"""The probability above which an attribute is predicted, chosen on the valid split alone."""

import numpy as np

from pipeline.core.evaluation.metrics import countable, probabilities

USUAL = 0.5


def on_valid(labels: np.ndarray, logits: np.ndarray, min_class: int) -> np.ndarray:
    """(A,) thresholds of the best balanced accuracy on valid: labels (N, A) bool, logits (N, A).

    Among equally good ones the nearest to 0.5 is taken. An attribute with fewer than
    ``min_class`` valid faces of a class keeps 0.5.
    """
    chosen = np.full(labels.shape[1], USUAL)
    for a in np.flatnonzero(countable(labels, min_class)):
        chosen[a] = _best(labels[:, a], probabilities(logits[:, a]))
    return chosen


def _best(labels: np.ndarray, chances: np.ndarray) -> float:
    """The threshold, half way between two neighbouring probabilities or 0.5, of best balance."""
    values = np.unique([0, *chances, 1])
    candidates = np.append((values[1:] + values[:-1]) / 2, USUAL)
    candidates = candidates[(candidates > 0) & (candidates < 1)]
    positives, negatives = np.sort(chances[labels]), np.sort(chances[~labels])
    recall = 1 - np.searchsorted(positives, candidates, "right") / len(positives)
    specificity = np.searchsorted(negatives, candidates, "right") / len(negatives)
    balance = recall + specificity
    best = candidates[balance >= balance.max() - 1e-12]
    return float(best[np.argmin(abs(best - USUAL))])
