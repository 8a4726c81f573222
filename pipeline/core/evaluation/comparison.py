"""Models side by side on the same faces: values, and differences that share their people and seeds.

Every model is judged under the same draws of people, so that a difference is paired: what is hard
for all models cancels. Several seeds of a model are runs; a value is the mean over them.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.errors import UserError
from pipeline.core.evaluation import bootstrap, metrics
from pipeline.core.evaluation.metrics import Sample
from pipeline.core.evaluation.predictions import Predictions, read_predictions

COMPARED = ("accuracy", "balanced_accuracy", "f1", "average_precision", "auroc")
MEAN = "mean"  # the row of the mean over attributes


@dataclass(frozen=True)
class Judged:
    """A model's runs (seeds) on the same test faces.

    ``found`` (S, A) and ``draws`` (S, D, A) are each of ``COMPARED``, for ``attributes`` (A);
    ``counted`` (A,) says which of these are in means; ``units`` people or images were drawn.
    """

    attributes: list[str]
    counted: np.ndarray
    units: int
    found: dict[str, np.ndarray]
    draws: dict[str, np.ndarray]

    def only(self, attributes: list[str]) -> "Judged":
        """The same for some of the attributes, in their order."""
        at = [self.attributes.index(name) for name in attributes]
        return Judged(
            attributes,
            self.counted[at],
            self.units,
            {name: values[:, at] for name, values in self.found.items()},
            {name: draws[:, :, at] for name, draws in self.draws.items()},
        )


def read_runs(paths: list[Path]) -> list[Predictions]:
    """The test faces of each file; all must be the same faces, or it is a ``UserError``."""
    runs = [read_predictions(path).of("test") for path in paths]
    for path, run in zip(paths, runs, strict=True):
        if run.names != runs[0].names or (run.labels != runs[0].labels).any():
            raise UserError(
                f"{path} and {paths[0]} were not judged on the same test faces and labels: compare"
                " models that were judged on one data set."
            )
    return runs


def majority_rule(run: Predictions) -> Predictions:
    """What saying of every face what most train faces are would have predicted."""
    said = np.where(run.train_positives > 0.5, 1.0, -1.0)
    return replace(
        run,
        attributes=list(ATTRIBUTES),
        logits=np.tile(said, (len(run.names), 1)).astype(np.float32),
        thresholds=np.full(len(ATTRIBUTES), 0.5),
        weights="",
    )


def judge(
    runs: list[Predictions], min_class: int, draws: int, seed: int, threads: int = 1
) -> Judged:
    """Judge every run of one model under the same ``draws`` of people."""
    units = bootstrap.unit_numbers(runs[0].identities)
    labels = runs[0].labels[:, runs[0].columns]
    if any(run.attributes != runs[0].attributes for run in runs):
        raise UserError(
            "the runs of one model predict different attributes: give each model its own name."
        )
    if len({run.weights for run in runs}) < len(runs):
        raise UserError(
            "two runs of one model have the same weights, and are no second proof: give each of"
            " its seeds once."
        )
    values, drawn = [], []
    for run in runs:
        sample = Sample(labels, run.logits, run.thresholds, units)
        values.append(metrics.measure(labels, run.logits, run.thresholds))
        drawn.append(bootstrap.resample(sample, draws, seed, threads))
    return Judged(
        attributes=runs[0].attributes,
        counted=metrics.countable(labels, min_class),
        units=int(units.max()) + 1,
        found={name: np.stack([run[name] for run in values]) for name in COMPARED},
        draws={name: np.stack([run[name] for run in drawn]) for name in COMPARED},
    )


def difference(one: Judged, other: Judged) -> Judged:
    """``one`` minus ``other`` in the attributes that both have, run by run.

    Runs are paired in their order; a single run stands against each of several.
    """
    common = [name for name in one.attributes if name in other.attributes]
    one, other = one.only(common), other.only(common)
    counts = {len(judged.found["accuracy"]) for judged in (one, other)}
    if len(counts - {1}) > 1:
        raise UserError(
            f"models with {' and '.join(map(str, sorted(counts)))} seeds cannot be paired: train"
            " both with the same seeds."
        )
    return Judged(
        common,
        one.counted,
        one.units,
        {name: one.found[name] - other.found[name] for name in COMPARED},
        {name: one.draws[name] - other.draws[name] for name in COMPARED},
    )


def summarise(judged: Judged) -> pd.DataFrame:
    """A row for each metric, of the mean over counted attributes and of each attribute.

    Columns ``attribute`` ("mean" for the mean), ``counted``, ``metric``, ``value``, ``low``,
    ``high`` (95 % interval), ``attributes`` (how many are in the value), ``seeds``.
    """
    tables = []
    for name in COMPARED:
        values, draws = judged.found[name], judged.draws[name]
        kept = judged.counted
        means = [bootstrap.mean_over_attributes(run[:, kept])[:, None] for run in draws]
        own = values[:, kept].mean(axis=1, keepdims=True) if kept.any() else values[:, :1] * np.nan
        value, low, high = over_seeds(
            np.hstack([own, values]), np.concatenate([np.stack(means), draws], 2), judged.units
        )
        tables.append(
            pd.DataFrame(
                {
                    "attribute": [MEAN, *judged.attributes],
                    "counted": [True, *kept.tolist()],
                    "metric": name,
                    "value": value,
                    "low": low,
                    "high": high,
                    "attributes": [int(kept.sum())] + [1] * len(kept),
                    "seeds": len(values),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def over_seeds(
    values: np.ndarray, draws: np.ndarray, units: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean over seeds and its 95 % interval over people and seeds, (A,) each.

    ``values`` (S, A), ``draws`` (S, D, A). With one seed the interval is the bootstrap's over
    people, and says nothing of another training. With several, the variances over people (from
    the draws) and over seeds add up, and Student's t has the degrees of freedom of Welch and
    Satterthwaite: three seeds make a wide interval, as they should.
    """
    value, drawn = values.mean(axis=0), draws.mean(axis=0)
    seeds = len(values)
    if seeds == 1:
        return value, *bootstrap.interval(drawn, units)
    some = np.isfinite(drawn).sum(axis=0) > 1
    if units < 2:
        some &= False
    people = np.nanvar(np.where(some, drawn, 0), axis=0, ddof=1) * units / max(units - 1, 1)
    training = values.var(axis=0, ddof=1) / seeds
    total = people + training
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = total**2 / (people**2 / max(units - 1, 1) + training**2 / (seeds - 1))
    half = stats.t.ppf((1 + bootstrap.LEVEL) / 2, np.where(total > 0, freedom, 1)) * np.sqrt(total)
    half = np.where(some, half, np.nan)
    return value, value - half, value + half


def in_words(differences: dict[float, pd.DataFrame], faces: str) -> str:
    """One sentence: what masks do to the mean AUROC at each share of train.

    ``differences`` are ``summarise``'s tables of with minus without, by share; ``faces`` says
    what was judged on.
    """
    seeds = sorted({int(table["seeds"].iloc[0]) for table in differences.values()})
    parts = [_in_words(share, table) for share, table in sorted(differences.items())]
    trained = " or ".join(map(str, seeds)) + (" seed" if seeds == [1] else " seeds")
    return f"AttParseNet with and without masks, {trained}, {faces}: {'; '.join(parts)}."


def _in_words(share: float, table: pd.DataFrame) -> str:
    row = table[(table["attribute"] == MEAN) & (table["metric"] == "auroc")].iloc[0]
    where = "on all of train" if share == 1 else f"on {100 * share:.4g} % of train"
    points, low, high = (100 * row[column] for column in ("value", "low", "high"))
    if not np.isfinite([points, low, high]).all():
        return f"{where} there are too few faces or people to say"
    numbers = f"({points:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f})"
    if low <= 0 <= high:
        return f"{where} no difference in mean AUROC is seen {numbers}"
    return f"{where} mean AUROC is {'higher' if points > 0 else 'lower'} with masks {numbers}"
