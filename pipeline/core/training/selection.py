"""The metric of valid by which the best epoch is chosen, where it is not a mean over faces.

A loss and the accuracy are sums that the learner keeps. Every other metric needs all of an epoch's
predictions for valid, at a threshold of 0.5 or as a ranking.
"""

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from pipeline.core.classification import Ranking, from_counts, group_numbers, without_undefined
from pipeline.core.errors import UserError
from pipeline.core.model_settings import ModelSettings
from pipeline.core.training.transforms import Batch

SUMMED = {"valid_loss", "valid_accuracy"}
MIN_GROUP = 10  # faces; the accuracy of a smaller group chooses nothing


class ValidPredictions:
    """The predictions of an epoch for valid, for the metric that ``select_by`` names."""

    def __init__(self, settings: ModelSettings) -> None:
        self.select_by = settings.select_by
        self.groups = [settings.attributes.index(name) for name in settings.groups]
        self.parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, batch: Batch, logits: Tensor) -> None:
        """Keep a batch's, if the metric needs them; ``logits`` (B, A)."""
        if self.select_by not in SUMMED:
            self.parts.append((batch.labels, logits.float(), batch.counted))

    def metric(self, fabric: Fabric) -> dict[str, float]:
        """The metric by its name, over all processes, if it is none of ``SUMMED``; then forget."""
        if self.select_by in SUMMED:
            return {}
        own = [torch.cat(part) for part in zip(*self.parts, strict=True)]
        self.parts = []
        labels, logits, counted = (
            fabric.all_gather(part).reshape(-1, *part.shape[1:]).cpu().numpy()  # type: ignore[union-attr]
            for part in own
        )
        return {self.select_by: self.evaluate(labels[counted], logits[counted])}

    def evaluate(self, labels: np.ndarray, logits: np.ndarray) -> float:
        """Of labels (N, A) and logits (N, A); NaN where no attribute, or group, has it."""
        name = self.select_by.removeprefix("valid_")
        if name != "worst_group_accuracy":
            return mean_metric(name, labels, logits)
        known = (labels[:, self.groups] >= 0).all(axis=1)
        labels, logits, target = labels[known], logits[known], self.groups[0]
        correct = labels[:, target] == (logits[:, target] > 0)
        return worst_group_accuracy(correct, group_numbers(labels[:, self.groups] == 1))

    def require_defined(self, labels: np.ndarray) -> None:
        """A ``UserError`` unless the metric has a value for these labels of valid (N, A)."""
        if self.select_by in SUMMED or np.isfinite(self.evaluate(labels, np.zeros(labels.shape))):
            return
        lacking = "an attribute of both classes"
        if self.select_by == "valid_worst_group_accuracy":
            lacking = f"a group of at least {MIN_GROUP} faces"
        raise UserError(
            f"`select_by` is {self.select_by}, which needs {lacking} among the {len(labels)} valid"
            " faces, and there is none; write select_by: valid_loss, or give valid more faces"
        )


def mean_metric(name: str, labels: np.ndarray, logits: np.ndarray) -> float:
    """The mean of a metric over the attributes in which it is defined, at a threshold of 0.5.

    ``name`` as in ``evaluation.metrics``; labels (N, A), logits (N, A).
    """
    known, positive, predicted = labels >= 0, labels == 1, logits > 0
    images, positives = known.sum(axis=0), positive.sum(axis=0)
    counts = (predicted & known).sum(axis=0), (predicted & positive).sum(axis=0)
    values = from_counts(images, positives, *counts)
    if name not in values:
        once = np.ones((len(labels), 1))
        columns = zip(labels.T, logits.T, strict=True)
        ranked = np.array([Ranking.of(*column).evaluate(once) for column in columns])[..., 0]
        values |= {"average_precision": ranked[:, 0], "auroc": ranked[:, 1]}
    defined = without_undefined(values, positives, images - positives)[name]
    defined = defined[np.isfinite(defined)]
    return float(defined.mean()) if len(defined) else np.nan


def worst_group_accuracy(correct: np.ndarray, numbers: np.ndarray, least: int = MIN_GROUP) -> float:
    """The lowest accuracy of the groups of at ``least`` so many faces; both arrays (N,)."""
    count = np.bincount(numbers)
    accuracy = np.bincount(numbers, correct)[count >= least] / count[count >= least]
    return float(accuracy.min()) if len(accuracy) else np.nan
