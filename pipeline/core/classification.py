"""Metrics of predicted attributes from counts and from ranks, for weighted faces.

Training selects by them and evaluation has them under many weightings. They stand apart from
``evaluation.metrics`` so that a metric that is added there trains no model anew.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

NEED_POSITIVES = {"accuracy_positives", "precision", "recall", "f1", "average_precision"}
NEED_NEGATIVES = {"accuracy_negatives"}
NEED_BOTH = {"balanced_accuracy", "mcc", "auroc"}


def enough_faces(labels: np.ndarray, min_class: int) -> np.ndarray:
    """(A,) bool: at least ``min_class`` of labels (N, A) are positive and as many are negative."""
    enough: np.ndarray = np.minimum((labels == 1).sum(axis=0), (labels == 0).sum(axis=0))
    return enough >= min_class


def positive_share(labels: np.ndarray) -> np.ndarray:
    """(A,) share of 1 among the known labels (N, A), NaN where none is known."""
    with np.errstate(invalid="ignore"):
        share: np.ndarray = (labels == 1).sum(axis=0) / (labels >= 0).sum(axis=0)
    return share


def from_counts(
    images: np.ndarray, positives: np.ndarray, predicted: np.ndarray, found: np.ndarray
) -> dict[str, np.ndarray]:
    """Metrics that need a threshold, from counts of any shape.

    Of ``images``, so many are ``positives``, so many are ``predicted`` positive, and ``found`` are
    both. What needs a class of which there is no image is not finite: see ``without_undefined``.
    """
    negatives = images - positives
    true_negatives = images - predicted - positives + found
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, specificity = found / positives, true_negatives / negatives
        # As floats: the product of whole numbers is beyond int64 from some 100,000 faces on.
        spread = np.sqrt(1.0 * positives * negatives * predicted * (images - predicted))
        return {
            "accuracy": (found + true_negatives) / images,
            "accuracy_positives": recall,
            "accuracy_negatives": specificity,
            "balanced_accuracy": (recall + specificity) / 2,
            "precision": found / np.maximum(predicted, 1),
            "recall": recall,
            "f1": 2 * found / np.maximum(predicted + positives, 1),
            "mcc": (found * images - predicted * positives) / np.where(spread, spread, np.inf),
        }


def without_undefined(
    values: dict[str, np.ndarray], positives: np.ndarray, negatives: np.ndarray
) -> dict[str, np.ndarray]:
    """Replace metrics that need an absent class by NaN, in place."""
    for names, absent in (
        (NEED_POSITIVES, positives == 0),
        (NEED_NEGATIVES, negatives == 0),
        (NEED_BOTH, (positives == 0) | (negatives == 0)),
    ):
        for name in names & values.keys():
            values[name] = np.where(absent, np.nan, values[name])
    return values


@dataclass(frozen=True)
class Ranking:
    """One attribute's faces by falling score, and where its positives stand among them."""

    order: np.ndarray  # (K,) faces with a known label by falling score
    positives: np.ndarray  # (P,) positive faces, in that order
    above: np.ndarray  # (2, P) for each: faces of a higher score, and of a higher or equal one
    positives_above: np.ndarray  # (2, P) the positives among these

    @classmethod
    def of(cls, labels: np.ndarray, scores: np.ndarray) -> "Ranking":
        """Of labels (N,), of which those that are unknown have no place, and scores (N,)."""
        known = np.flatnonzero(labels >= 0)
        order = known[np.argsort(-scores[known], kind="stable")]
        falling = -scores[order]
        where = np.flatnonzero(labels[order] == 1)
        value = falling[where]
        above = np.stack([np.searchsorted(falling, value, side) for side in ("left", "right")])
        return cls(order, order[where], above, np.searchsorted(where, above, "left"))

    def evaluate(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average precision and AUROC under each column of ``weights`` (N, D): (D,), (D,)."""
        total = _cumulative(weights[self.order])
        own = weights[self.positives]
        positive = _cumulative(own)
        higher, higher_positive = total[self.above[0]], positive[self.positives_above[0]]
        same, same_positive = total[self.above[1]], positive[self.positives_above[1]]
        positives, negatives = positive[-1], total[-1] - positive[-1]
        precision = same_positive / np.maximum(same, 1)
        false = 0.5 * (higher - higher_positive + same - same_positive)  # a tie weighs half
        with np.errstate(invalid="ignore", divide="ignore"):
            average_precision = np.einsum("pd,pd->d", own, precision) / positives
            auroc = 1 - np.einsum("pd,pd->d", own, false) / (positives * negatives)
        return average_precision, auroc


def _cumulative(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, …, N rows."""
    sums = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums


def group_numbers(labels: np.ndarray) -> np.ndarray:
    """(N,) numbers, from 0, of the groups that labels (N, K) bool make: see ``group_labels``."""
    numbers: np.ndarray = ~labels @ (1 << np.arange(labels.shape[1])[::-1])
    return numbers


def group_labels(count: int) -> list[tuple[bool, ...]]:
    """The labels of each group of ``count`` attributes, by its number."""
    return list(product([True, False], repeat=count))
