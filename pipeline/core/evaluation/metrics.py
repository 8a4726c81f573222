"""How good predictions are, an attribute at a time: labels and logits in, numbers out.

``measure`` counts with torchmetrics. ``Sample`` computes the same numbers, all but the calibration
error, for faces that count several times or not at all, many such weightings at once; the
bootstrap lives on it. A test holds the two equal. A metric that needs a class that no face has is
NaN; where nothing is predicted positive, precision, F1 and MCC are 0, as in scikit-learn.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch

import pipeline.core.torchvision_on_cpu  # noqa: F401  before torchmetrics

# isort: split
from torchmetrics.functional import classification as counted

METRICS: tuple[str, ...] = (
    "accuracy",
    "accuracy_positives",
    "accuracy_negatives",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "mcc",
    "average_precision",
    "auroc",
    "ece",
)
# Those with an interval. The calibration error grows by chance in a sample, and again in a resample
# of it: no interval that was tried held the truth in more than 9 of 10 samples.
DRAWN = METRICS[:-1]
NEED_POSITIVES = {"accuracy_positives", "precision", "recall", "f1", "average_precision"}
NEED_NEGATIVES = {"accuracy_negatives"}
NEED_BOTH = {"balanced_accuracy", "mcc", "auroc"}
BINS = 15  # of equal width, for the expected calibration error (Naeini et al., 2015)


def cuts(thresholds: np.ndarray) -> np.ndarray:
    """Logits of ``thresholds`` (probabilities in 0–1, exclusive)."""
    return np.log(thresholds) - np.log1p(-thresholds)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Logistic function in float64, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))


def countable(labels: np.ndarray, min_class: int) -> np.ndarray:
    """(A,) bool: at least ``min_class`` faces are positive and as many are negative."""
    positives = labels.sum(axis=0)
    return (positives >= min_class) & (len(labels) - positives >= min_class)


def measure(
    labels: np.ndarray, logits: np.ndarray, thresholds: np.ndarray
) -> dict[str, np.ndarray]:
    """Every metric of ``METRICS`` as (A,) float64.

    ``labels`` (N, A) bool, ``logits`` (N, A), ``thresholds`` (A,) probabilities: an attribute is
    predicted where its probability is above. The calibration error compares the probability of
    the positive class with the share of positives in ``BINS`` bins of equal width.
    """
    columns = zip(
        labels.astype(np.int64).T,
        (logits > cuts(thresholds)).astype(np.int64).T,
        _ranks(logits).T,
        probabilities(logits).T,
        strict=True,
    )
    with warnings.catch_warnings():  # of absent classes, which become NaN below
        warnings.simplefilter("ignore")
        rows = [_measure(*map(torch.tensor, column)) for column in columns]
    positives = labels.sum(axis=0)
    found = {name: np.array([row[name] for row in rows], np.float64) for name in METRICS}
    return _undefined(found, positives, len(labels) - positives)


def _measure(
    truth: torch.Tensor, said: torch.Tensor, ranks: torch.Tensor, chances: torch.Tensor
) -> dict[str, float]:
    """One attribute's metrics, all (N,)."""
    recall = float(counted.binary_recall(said, truth))
    specificity = float(counted.binary_specificity(said, truth))
    one_answer = bool((said == said[0]).all())  # torchmetrics gives it a value of its own
    return {
        "accuracy": float(counted.binary_accuracy(said, truth)),
        "accuracy_positives": recall,
        "accuracy_negatives": specificity,
        "balanced_accuracy": (recall + specificity) / 2,
        "precision": float(counted.binary_precision(said, truth)),
        "recall": recall,
        "f1": float(counted.binary_f1_score(said, truth)),
        "mcc": 0.0 if one_answer else float(counted.binary_matthews_corrcoef(said, truth)),
        "average_precision": float(counted.binary_average_precision(ranks, truth)),
        "auroc": float(counted.binary_auroc(ranks, truth)),
        "ece": float(counted.binary_calibration_error(chances, truth, BINS)),
    }


def _ranks(logits: np.ndarray) -> np.ndarray:
    """Dense ranks of each column in (0, 1]: scores that no sigmoid of torchmetrics can merge."""
    ranks = np.empty(logits.shape, np.float64)
    for a, column in enumerate(logits.T):
        values, inverse = np.unique(column, return_inverse=True)
        ranks[:, a] = (inverse + 1) / len(values)
    return ranks


def _undefined(
    found: dict[str, np.ndarray], positives: np.ndarray, negatives: np.ndarray
) -> dict[str, np.ndarray]:
    """Replace what an absent class leaves without meaning by NaN."""
    for names, absent in (
        (NEED_POSITIVES, positives == 0),
        (NEED_NEGATIVES, negatives == 0),
        (NEED_BOTH, (positives == 0) | (negatives == 0)),
    ):
        for name in names:
            found[name] = np.where(absent, np.nan, found[name])
    return found


@dataclass(frozen=True)
class Ranking:
    """One attribute's faces by falling score, and where its positives stand among them."""

    order: np.ndarray  # (N,) faces by falling score
    positives: np.ndarray  # (P,) positive faces, in that order
    above: np.ndarray  # (2, P) for each: faces of a higher score, and of a higher or equal one
    positives_above: np.ndarray  # (2, P) the positives among these

    @classmethod
    def of(cls, labels: np.ndarray, scores: np.ndarray) -> "Ranking":
        order = np.argsort(-scores, kind="stable")
        falling = -scores[order]
        where = np.flatnonzero(labels[order])
        value = falling[where]
        above = np.stack([np.searchsorted(falling, value, side) for side in ("left", "right")])
        return cls(order, order[where], above, np.searchsorted(where, above, "left"))

    def judge(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average precision and AUROC under each column of ``weights`` (N, D): (D,), (D,)."""
        total = _cumulative(weights[self.order])
        own = weights[self.positives]
        positive = _cumulative(own)
        higher, higher_positive = total[self.above[0]], positive[self.positives_above[0]]
        same, same_positive = total[self.above[1]], positive[self.positives_above[1]]
        positives, negatives = positive[-1], total[-1] - positive[-1]
        precision = same_positive / np.maximum(same, 1)
        false = 0.5 * (higher - higher_positive + same - same_positive)  # a tie counts half
        with np.errstate(invalid="ignore", divide="ignore"):
            average_precision = np.einsum("pd,pd->d", own, precision) / positives
            auroc = 1 - np.einsum("pd,pd->d", own, false) / (positives * negatives)
        return average_precision, auroc


def _cumulative(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, …, N rows."""
    sums = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums


class Sample:
    """Labels and logits prepared once for metrics under many weightings of their faces."""

    def __init__(
        self, labels: np.ndarray, logits: np.ndarray, thresholds: np.ndarray, units: np.ndarray
    ) -> None:
        """As for ``measure``; ``units`` (N,) is the number of the person of each face, from 0."""
        self.units = units
        self.count = int(units.max()) + 1
        said = logits > cuts(thresholds)
        self.images = self._per_unit(np.ones((len(labels), 1)))
        self.positives = self._per_unit(labels)
        self.predicted = self._per_unit(said)
        self.hits = self._per_unit(said & labels)
        self.rankings = [Ranking.of(*column) for column in zip(labels.T, logits.T, strict=True)]

    def _per_unit(self, values: np.ndarray) -> np.ndarray:
        """Sums (U, A) over the faces of each unit."""
        sums = np.zeros((self.count, values.shape[1]))
        np.add.at(sums, self.units, values)
        return sums

    def judge(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Each of ``DRAWN`` as (D, A), for ``weights`` (D, U): how often each unit counts."""
        images, positives = weights @ self.images, weights @ self.positives
        predicted, hits = weights @ self.predicted, weights @ self.hits
        negatives = images - positives
        rejected = images - predicted - positives + hits  # true negatives
        with np.errstate(invalid="ignore", divide="ignore"):
            recall, specificity = hits / positives, rejected / negatives
            spread = np.sqrt(positives * negatives * predicted * (images - predicted))
            found = {
                "accuracy": (hits + rejected) / images,
                "accuracy_positives": recall,
                "accuracy_negatives": specificity,
                "balanced_accuracy": (recall + specificity) / 2,
                "precision": hits / np.maximum(predicted, 1),
                "recall": recall,
                "f1": 2 * hits / np.maximum(predicted + positives, 1),
                "mcc": (hits * images - predicted * positives) / np.where(spread, spread, np.inf),
            }
        faces = np.ascontiguousarray(weights.T)[self.units].astype(np.float64)
        ranked = np.array([ranking.judge(faces) for ranking in self.rankings])  # (A, 2, D)
        found["average_precision"], found["auroc"] = ranked[:, 0].T, ranked[:, 1].T
        return _undefined({name: found[name] for name in DRAWN}, positives, negatives)
