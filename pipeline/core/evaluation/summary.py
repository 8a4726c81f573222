"""``metrics.json`` and ``metrics.csv``: made from predictions alone, and the former read back."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.classification import enough_faces
from pipeline.core.errors import UserError
from pipeline.core.evaluation import bootstrap, groups, metrics
from pipeline.core.evaluation.predictions import Predictions
from pipeline.core.files import read_json

# As they are: settings, and a rare attribute's threshold, which may be tiny.
NOT_ROUNDED = {"thresholds", "model", "settings"}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The contents of ``metrics.json``, of the split test, in its order.

    ``attributes`` is how many are in the ``means``, ``left_out`` names the others; ``intervals``
    says how they were made, then has the ends of each mean's. ``masks`` is what ``MaskMetrics``
    summarises of the network's maps, by split; of a network without, ``class_activation``.
    ``model``, ``data``, ``settings`` and ``made_by`` say what was evaluated, how and by what code.
    """

    images: int
    attributes: int
    means: dict[str, float]
    intervals: dict[str, Any]
    left_out: list[str]
    thresholds: dict[str, float]
    groups: list[dict[str, Any]]
    impossible: dict[str, Any]
    masks: dict[str, Any] | None = None
    class_activation: dict[str, Any] | None = None
    warnings: list[str]
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, str | None] = field(default_factory=dict)
    settings: dict[str, Any]
    made_by: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Numbers have six decimals; each of the means has a key of its own."""
        contents: dict[str, Any] = {"split": "test"}
        for name, value in vars(self).items():
            rounded = value if name in NOT_ROUNDED else for_json(value)
            contents |= rounded if name == "means" else {name: rounded}
        return contents


def summarise(
    predictions: Predictions, settings: dict[str, Any], threads: int = 1
) -> tuple[Summary, pd.DataFrame]:
    """The summary and the table of metrics, of the split test.

    Means are over the attributes with at least ``min_class`` faces of each class; the others keep
    their row in the table, with ``counted`` false.
    """
    test = predictions.of("test")
    included = enough_faces(test.model_labels, settings["min_class"])
    clusters = bootstrap.cluster_numbers(test.identities)
    sample = metrics.Sample(test.model_labels, test.logits, test.thresholds, clusters)
    values = {"majority_accuracy": _majority_accuracy(test)}
    values |= metrics.measure(test.model_labels, test.logits, test.thresholds)
    resample = partial(
        bootstrap.resample, resamples=settings["draws"], seed=settings["seed"], threads=threads
    )
    resampled = resample(sample)
    mean = bootstrap.mean_over_attributes
    means = {name: float(mean(of_each[included])) for name, of_each in values.items()}
    intervals = {
        name: bootstrap.ends(mean(resampled[name][:, included]), sample.clusters)
        for name in metrics.BOOTSTRAPPED
    }
    by_group = [
        groups.by_group(test, group_by, included, settings["min_class"], resample)
        for group_by in settings["groups"]
        if set(group_by) <= set(test.label_names)
    ]
    summary = Summary(
        images=len(test.names),
        attributes=int(included.sum()),
        means=means,
        intervals={
            "level": bootstrap.LEVEL,
            "kind": "bootstrap, expanded percentile",
            "over": "identities" if (test.identities >= 0).any() else "images",
            "units": sample.clusters,
            "few_identities": sample.clusters < bootstrap.MIN_CLUSTERS,
            "draws": settings["draws"],
            **intervals,
        },
        left_out=[name for name, kept in zip(test.attributes, included, strict=True) if not kept],
        thresholds=dict(zip(test.attributes, test.thresholds.tolist(), strict=True)),
        groups=by_group,
        impossible=groups.impossible(test),
        warnings=list(predictions.warnings),
        settings=settings,
    )
    return summary, _table(test, included, values, resampled, sample.clusters)


def _majority_accuracy(test: Predictions) -> np.ndarray:
    """(A,) accuracy of predicting for every face what most train faces are, on known labels."""
    labels, majority = test.model_labels, test.train_positives[test.columns] > 0.5
    with np.errstate(invalid="ignore"):
        accuracy: np.ndarray = (labels == majority).sum(axis=0) / (labels >= 0).sum(axis=0)
    return accuracy


def _table(
    test: Predictions,
    included: np.ndarray,
    values: dict[str, np.ndarray],
    resampled: dict[str, np.ndarray],
    clusters: int,
) -> pd.DataFrame:
    """A row an attribute; a metric with an interval is followed by its ends."""
    columns: dict[str, Any] = {
        "attribute": test.attributes,
        "counted": included,
        "images": (test.model_labels >= 0).sum(axis=0),  # with a known label
        "positives": (test.model_labels == 1).sum(axis=0),
        "threshold": test.thresholds,
        "majority_accuracy": values["majority_accuracy"],
    }
    for name in metrics.METRICS:
        columns[name] = values[name]
        if name in resampled:
            low, high = bootstrap.interval(resampled[name], clusters)
            columns[f"{name}_low"], columns[f"{name}_high"] = low, high
    return pd.DataFrame(columns)


def for_json(value: Any) -> Any:
    """The same with six decimals, and None in place of NaN, which JSON has not."""
    if isinstance(value, dict):
        return {key: for_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [for_json(item) for item in value]
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 6)
    return value


def read_metrics(path: Path, weights_sha256: str) -> dict[str, Any]:
    """``metrics.json`` of these weights; a ``UserError`` if it is of others."""
    content = read_json(path, "model", "thresholds")
    if content["model"]["weights_sha256"] != weights_sha256:
        raise UserError(
            f"{path} evaluates other weights than those given: give the metrics.json of these"
            " weights, or none."
        )
    return content
