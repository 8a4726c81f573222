"""How good predictions are, attribute by attribute: labels and logits in, numbers out.

``measure`` uses torchmetrics. ``Sample`` computes the same numbers, all but the calibration error,
for weighted faces and many weightings at once, which the bootstrap needs; a test holds the two
equal. A metric that needs a class that no face has is NaN; where nothing is predicted positive,
precision, F1 and MCC are 0, as in scikit-learn.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch.nn.functional import binary_cross_entropy_with_logits
from torchmetrics.functional import classification, mean_squared_error

from pipeline.core.classification import Ranking, from_counts, without_undefined
from pipeline.core.evaluation import bootstrap

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
    "brier",
    "log_loss",
    "ece",
)
# The calibration error grows by chance in a sample, and again in a resample of it: no interval that
# was tried held the truth in more than 9 of 10 samples.
WITHOUT_INTERVAL = {"ece"}
BOOTSTRAPPED = tuple(name for name in METRICS if name not in WITHOUT_INTERVAL)
BINS = 15  # of equal width, for the expected calibration error (Naeini et al., 2015)


def logit_thresholds(thresholds: np.ndarray) -> np.ndarray:
    """Logits of ``thresholds`` (probabilities in 0–1, exclusive)."""
    return np.log(thresholds) - np.log1p(-thresholds)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Logistic function in float64, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))


def measure(
    labels: np.ndarray, logits: np.ndarray, thresholds: np.ndarray
) -> dict[str, np.ndarray]:
    """Every metric of ``METRICS`` as (A,) float64.

    ``labels`` (N, A), of which each metric takes those that are known; ``logits`` (N, A),
    ``thresholds`` (A,) probabilities: an attribute is predicted where its probability is above.
    """
    columns = zip(
        labels.T, (logits > logit_thresholds(thresholds)).T, _ranks(logits).T, logits.T, strict=True
    )
    with warnings.catch_warnings():  # of absent classes, which become NaN below
        warnings.simplefilter("ignore")
        rows = [_measure(*(values[column[0] >= 0] for values in column)) for column in columns]
    positives, negatives = (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)
    values = {name: np.array([row[name] for row in rows], np.float64) for name in METRICS}
    return without_undefined(values, positives, negatives)


def _measure(
    labels: np.ndarray, predicted: np.ndarray, ranks: np.ndarray, logits: np.ndarray
) -> dict[str, float]:
    """One attribute's metrics, all (N,), of known labels; NaN where there are none."""
    if not len(labels):
        return dict.fromkeys(METRICS, float("nan"))
    target, prediction = (torch.tensor(values.astype(np.int64)) for values in (labels, predicted))
    scores, double = torch.tensor(ranks), torch.tensor(logits.astype(np.float64))
    probability = torch.tensor(probabilities(logits))
    recall = float(classification.binary_recall(prediction, target))
    specificity = float(classification.binary_specificity(prediction, target))
    mcc = float(classification.binary_matthews_corrcoef(prediction, target))
    constant = bool((predicted == predicted[0]).all())  # torchmetrics' MCC is not 0 there
    return {
        "accuracy": float(classification.binary_accuracy(prediction, target)),
        "accuracy_positives": recall,
        "accuracy_negatives": specificity,
        "balanced_accuracy": (recall + specificity) / 2,
        "precision": float(classification.binary_precision(prediction, target)),
        "recall": recall,
        "f1": float(classification.binary_f1_score(prediction, target)),
        "mcc": 0.0 if constant else mcc,
        "average_precision": float(classification.binary_average_precision(scores, target)),
        "auroc": float(classification.binary_auroc(scores, target)),
        "brier": float(mean_squared_error(probability, target.double())),
        "log_loss": float(binary_cross_entropy_with_logits(double, target.double())),
        "ece": calibration(labels, probabilities(logits)).error,
    }


def _ranks(logits: np.ndarray) -> np.ndarray:
    """Dense ranks of each column in (0, 1]: scores that no sigmoid of torchmetrics can merge."""
    ranks = stats.rankdata(logits, "dense", axis=0)
    return np.asarray(ranks / ranks.max(axis=0, initial=1))


@dataclass(frozen=True)
class Calibration:
    """Predictions in ``BINS`` bins of probability; (BINS,) each, the last two NaN where empty."""

    count: np.ndarray
    predicted: np.ndarray  # the mean probability of the positive class
    observed: np.ndarray  # the share of positives

    @property
    def error(self) -> float:
        """The expected calibration error: the mean of |predicted − observed| over predictions."""
        used = self.count > 0
        gaps = abs(self.predicted - self.observed)[used]
        return float(gaps @ self.count[used] / max(self.count.sum(), 1))


def calibration(labels: np.ndarray, predicted: np.ndarray) -> Calibration:
    """Of labels (N,), where they are known, and predicted probabilities (N,)."""
    labels, predicted = labels[labels >= 0], predicted[labels >= 0]
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], predicted, side="right")
    count = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        sums = (np.bincount(bins, values, BINS) for values in (predicted, labels))
        return Calibration(count, *(total / count for total in sums))


def precision_recall_curve(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at each distinct score, from the highest down; equal scores as one.

    Of labels (N,), where they are known, and scores (N,).
    """
    labels, scores = labels[labels >= 0], scores[labels >= 0]
    order = np.argsort(-scores, kind="stable")
    correct = np.cumsum(labels[order])
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    return correct[last] / (last + 1), correct[last] / max(correct[-1], 1)


class Sample:
    """Labels and logits prepared once for metrics under many weightings of their faces."""

    def __init__(
        self,
        labels: np.ndarray,
        logits: np.ndarray,
        thresholds: np.ndarray,
        cluster_of: np.ndarray,
    ) -> None:
        """As for ``measure``; ``cluster_of`` (N,) is the number of each face's person, from 0."""
        self.cluster_of = cluster_of
        self.clusters = int(cluster_of.max()) + 1
        predicted = logits > logit_thresholds(thresholds)
        known, positive = labels >= 0, labels == 1
        true_logits = np.where(positive, logits, -logits).astype(np.float64)
        errors, losses = (1 - probabilities(true_logits)) ** 2, np.logaddexp(0, -true_logits)
        counted = [known, positive, predicted & known, predicted & positive]
        values = np.stack([*counted, errors * known, losses * known], axis=1)
        self.sums = bootstrap.cluster_sums(values, cluster_of, self.clusters)  # (U, 6, A)
        self.rankings = [Ranking.of(*column) for column in zip(labels.T, logits.T, strict=True)]

    def evaluate(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Each of ``BOOTSTRAPPED`` as (D, A), for the clusters' ``weights`` (D, U)."""
        sums = np.tensordot(weights, self.sums, 1).swapaxes(0, 1)
        images, positives, predicted, found, squared_errors, log_losses = sums
        values = from_counts(images, positives, predicted, found)
        with np.errstate(invalid="ignore"):
            values["brier"], values["log_loss"] = squared_errors / images, log_losses / images
        faces = np.ascontiguousarray(weights.T)[self.cluster_of].astype(np.float64)
        ranked = np.array([ranking.evaluate(faces) for ranking in self.rankings])  # (A, 2, D)
        values["average_precision"], values["auroc"] = ranked[:, 0].T, ranked[:, 1].T
        return without_undefined(values, positives, images - positives)
