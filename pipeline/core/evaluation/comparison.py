"""Models side by side on the same faces: metrics, and paired differences with intervals.

Every model is evaluated on the same resamples of people, so that a difference is paired: what is
hard for all models cancels. A model has one run a seed; its metric is the mean over them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.core.classification import enough_faces
from pipeline.core.errors import UserError
from pipeline.core.evaluation import bootstrap, metrics
from pipeline.core.evaluation.metrics import Sample
from pipeline.core.evaluation.predictions import Predictions, read_predictions

COMPARED = ("accuracy", "balanced_accuracy", "f1", "average_precision", "auroc")
MEAN = "mean"  # the row of the mean over attributes


@dataclass(frozen=True)
class ModelMetrics:
    """Metrics of a model's S runs (seeds) on the same test faces, for its A ``attributes``.

    ``estimates`` (M, S, A) and ``resampled`` (M, S, D, A) have the M metrics of ``COMPARED``;
    ``included`` (A,) says which attributes are in means; ``clusters`` people or images were
    resampled.
    """

    attributes: list[str]
    included: np.ndarray
    clusters: int
    estimates: np.ndarray
    resampled: np.ndarray

    @property
    def seeds(self) -> int:
        return self.estimates.shape[1]

    def only(self, attributes: list[str]) -> "ModelMetrics":
        """The same for some of the attributes, in their order."""
        at = [self.attributes.index(name) for name in attributes]
        return replace(
            self,
            attributes=attributes,
            included=self.included[at],
            estimates=self.estimates[..., at],
            resampled=self.resampled[..., at],
        )


def read_runs(paths: list[Path]) -> list[Predictions]:
    """The test faces of each file; all must be the same faces, or it is a ``UserError``."""
    runs = [read_predictions(path).of("test") for path in paths]
    for path, run in zip(paths, runs, strict=True):
        of_same = run.names == runs[0].names and run.label_names == runs[0].label_names
        if not of_same or not np.array_equal(run.labels, runs[0].labels):
            raise UserError(
                f"{path} and {paths[0]} have different test faces or labels: compare models that"
                " were evaluated on one data set."
            )
    return runs


def majority_rule(run: Predictions) -> Predictions:
    """Predict for every face what most train faces are."""
    known = np.flatnonzero(np.isfinite(run.train_positives))
    majority = np.where(run.train_positives[known] > 0.5, 1.0, -1.0)
    return replace(
        run,
        attributes=[run.label_names[k] for k in known],
        logits=np.tile(majority, (len(run.names), 1)).astype(np.float32),
        thresholds=np.full(len(known), 0.5),
        weights="",
    )


def evaluate(
    runs: list[Predictions], min_class: int, resamples: int, seed: int, threads: int = 1
) -> ModelMetrics:
    """Evaluate every run of one model on the same ``resamples`` resamples of people."""
    labels, clusters = runs[0].model_labels, bootstrap.cluster_numbers(runs[0].identities)
    if any(run.attributes != runs[0].attributes for run in runs):
        raise UserError(
            "the runs of one model predict different attributes: give each model its own name."
        )
    if len({run.weights for run in runs}) < len(runs):
        raise UserError(
            "two runs of one model have the same weights, so they are one training: give each of"
            " its seeds once."
        )
    given = [(labels, run.logits, run.thresholds) for run in runs]
    values = [metrics.measure(*of_run) for of_run in given]
    resampled = [
        bootstrap.resample(Sample(*of_run, clusters), resamples, seed, threads) for of_run in given
    ]
    return ModelMetrics(
        attributes=runs[0].attributes,
        included=enough_faces(labels, min_class),
        clusters=int(clusters.max()) + 1,
        estimates=np.array([[run[name] for run in values] for name in COMPARED]),
        resampled=np.array([[run[name] for run in resampled] for name in COMPARED]),
    )


def difference(one: ModelMetrics, other: ModelMetrics) -> ModelMetrics:
    """``one`` minus ``other`` in the attributes that both have, run by run.

    Runs are paired in their order; a single run is paired with each of several. ``UserError`` if
    they have no attribute in common.
    """
    common = [name for name in one.attributes if name in other.attributes]
    if not common:
        raise UserError(
            f"one model predicts {', '.join(one.attributes)}, the other"
            f" {', '.join(other.attributes)}: compare models that predict an attribute both."
        )
    one, other = one.only(common), other.only(common)
    counts = sorted({one.seeds, other.seeds})
    if len(counts) > 1 and counts[0] > 1:
        raise UserError(
            f"models with {' and '.join(map(str, counts))} seeds cannot be paired: train both with"
            " the same seeds."
        )
    return replace(
        one,
        estimates=one.estimates - other.estimates,
        resampled=one.resampled - other.resampled,
    )


def summarise(model: ModelMetrics) -> pd.DataFrame:
    """A row for each metric, of the mean over included attributes and of each attribute.

    Columns ``attribute`` ("mean" for the mean), ``counted`` (included in the mean), ``metric``,
    ``value``, ``low``, ``high`` (95 % interval), ``attributes`` (how many are in the value),
    ``seeds``.
    """
    tables = []
    kept = model.included
    estimates, resampled = (_with_mean(of, kept) for of in (model.estimates, model.resampled))
    for metric, of_runs, of_resamples in zip(COMPARED, estimates, resampled, strict=True):
        value, low, high = over_seeds(of_runs, of_resamples, model.clusters)
        columns = {
            "attribute": [MEAN, *model.attributes],
            "counted": [True, *kept.tolist()],
            "metric": metric,
            "value": value,
            "low": low,
            "high": high,
            "attributes": [int(kept.sum())] + [1] * len(kept),
            "seeds": model.seeds,
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _with_mean(values: np.ndarray, included: np.ndarray) -> np.ndarray:
    """The mean over the ``included`` attributes before ``values`` (…, A) themselves: (…, 1 + A)."""
    mean = bootstrap.mean_over_attributes(values[..., included])
    return np.concatenate([mean[..., None], values], axis=-1)


def over_seeds(
    values: np.ndarray, resampled: np.ndarray, clusters: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean over seeds and its 95 % interval over people and seeds, (A,) each.

    ``values`` (S, A), ``resampled`` (S, D, A). With one seed the interval is the bootstrap's over
    people, and says nothing of another training. With several, the variances over people (from
    the resamples) and over seeds add up, and Student's t has the degrees of freedom of Welch and
    Satterthwaite: three seeds make a wide interval, as they should.
    """
    value, means = values.mean(axis=0), resampled.mean(axis=0)
    seeds = len(values)
    if seeds == 1:
        return value, *bootstrap.interval(means, clusters)
    defined = (np.isfinite(means).sum(axis=0) > 1) & (clusters > 1)
    people = (
        np.nanvar(np.where(defined, means, 0), axis=0, ddof=1) * clusters / max(clusters - 1, 1)
    )
    training = values.var(axis=0, ddof=1) / seeds
    total = people + training
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = total**2 / (people**2 / max(clusters - 1, 1) + training**2 / (seeds - 1))
    half = stats.t.ppf((1 + bootstrap.LEVEL) / 2, np.where(total > 0, freedom, 1)) * np.sqrt(total)
    half = np.where(defined, half, np.nan)
    return value, value - half, value + half


def learned_from(share: float, own: tuple[float, float]) -> str:
    """In words, what a pair of models learned from at a ``share`` of train.

    A share of 1 leaves each model its ``own``, which its settings may have made smaller.
    """
    words = [
        "all of train" if part == 1 else f"{100 * part:.4g} % of train"
        for part in (own if share == 1 else (share, share))
    ]
    return words[0] if words[0] == words[1] else f"{words[0]} against {words[1]}"


def in_words(
    pair: tuple[str, str],
    differences: dict[float, pd.DataFrame],
    own_shares: tuple[float, float],
    faces: dict[str, Any],
) -> str:
    """One sentence: how the first model's mean AUROC differs from the second's, share by share.

    ``differences`` are ``summarise``'s tables of their difference, by share of train;
    ``own_shares`` of each model as for ``learned_from``; ``faces`` is ``judged`` of
    ``pairs.json``: how many test images there are, of how many people.
    """
    seeds = sorted({int(table["seeds"].iloc[0]) for table in differences.values()})
    trained = " or ".join(map(str, seeds)) + (" seed" if seeds == [1] else " seeds")
    data = f"{faces['images']:,} test images of {faces['units']:,} {faces['over']}"
    data += ", too few for exact intervals" if faces["few_identities"] else ""
    parts = [
        _in_words(f"on {learned_from(share, own_shares)}", table)
        for share, table in sorted(differences.items())
    ]
    return f"{pair[0]} against {pair[1]}, {trained}, {data}: {'; '.join(parts)}."


def _in_words(where: str, table: pd.DataFrame) -> str:
    row = table[(table["attribute"] == MEAN) & (table["metric"] == "auroc")].iloc[0]
    points, low, high = (100 * row[column] for column in ("value", "low", "high"))
    if not np.isfinite([points, low, high]).all():
        return f"{where} there are too few faces or people to say"
    numbers = f"({points:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f})"
    if low <= 0 <= high:
        return f"{where} no difference in mean AUROC is seen {numbers}"
    return f"{where} its mean AUROC is {'higher' if points > 0 else 'lower'} {numbers}"
