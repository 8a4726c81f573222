"""What a mean hides: accuracy in groups of faces, and predictions that contradict each other."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.classification import group_labels, group_numbers
from pipeline.core.evaluation import bootstrap
from pipeline.core.evaluation.predictions import Predictions

Resample = Callable[[bootstrap.Clustered], dict[str, np.ndarray]]
# Between the faces with the second attribute of a group and those without, for the first as target:
# the differences of recall, and of the share that is predicted positive (Hardt et al., 2016).
GAPS = ("equal_opportunity", "demographic_parity")

# Attributes of which a face can have at most one.
RULES: dict[str, tuple[str, ...]] = {
    "No_Beard with Goatee": ("No_Beard", "Goatee"),
    "No_Beard with Mustache": ("No_Beard", "Mustache"),
    "No_Beard with 5_o_Clock_Shadow": ("No_Beard", "5_o_Clock_Shadow"),
    "Bald with Bangs": ("Bald", "Bangs"),
    "Bald with Straight_Hair": ("Bald", "Straight_Hair"),
    "Bald with Wavy_Hair": ("Bald", "Wavy_Hair"),
    "Bangs with Receding_Hairline": ("Bangs", "Receding_Hairline"),
    "Straight_Hair with Wavy_Hair": ("Straight_Hair", "Wavy_Hair"),
    "two hair colours": ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),
}


def impossible(test: Predictions) -> dict[str, Any]:
    """The share of faces, in 0–1, that break each rule: as predicted, and as labelled.

    The attributes of each of ``test.exclusive`` are a further rule. Rules that need an attribute
    that the model lacks are left out. ``any`` breaks at least one of the others. Of labels only
    faces count that have all those of the rule, or of all rules; NaN where there is no such face.
    """
    own = {f"two of {column}": of for column, of in test.exclusive.items()}
    rules = {rule: of for rule, of in (RULES | own).items() if set(of) <= set(test.attributes)}
    shares = {
        "predicted": _broken(test.predicted, test.attributes, rules),
        "labelled": _broken(test.labels, test.label_names, rules),
    }
    by_rule = pd.DataFrame(shares).to_dict("index")
    of_any = by_rule.pop("any")
    return {"rules": by_rule, "any": of_any}


def _broken(values: np.ndarray, names: list[str], rules: dict[str, tuple[str, ...]]) -> pd.Series:
    """The share of faces that break each rule, and that of those that break ``any``."""
    broken = {"any": np.zeros(len(values))}
    for rule, attributes in rules.items():
        of_rule = values[:, [names.index(name) for name in attributes]]
        unknown = (of_rule < 0).any(axis=1)
        broken[rule] = np.where(unknown, np.nan, (of_rule == 1).sum(axis=1) > 1)
        broken["any"] = np.maximum(broken["any"], broken[rule])  # NaN where any of them is
    return pd.DataFrame(broken).mean()


def by_group(
    test: Predictions,
    group_by: list[str],
    included: np.ndarray,
    min_class: int,
    resample: Resample,
) -> dict[str, Any]:
    """Accuracy of faces grouped by their labels of ``group_by``, the worst group, and gaps.

    ``accuracy`` is that of the first of ``group_by`` (Sagawa et al., 2020, predict Blond_Hair in
    groups by Blond_Hair and Male), ``mean_accuracy`` that of all ``included`` (A,) attributes. A
    target that the model lacks has no accuracy (NaN) and no worst group. A group with fewer than
    ``min_class`` faces is not ``counted``, and not the worst.

    What has an interval has it from ``resample``. That of the lowest accuracy, whichever group has
    it, goes from the lowest of the groups' lower ends to the lowest of their upper ends: the lowest
    accuracy of a resample is too low wherever groups are alike.
    """
    sample = GroupSample(test, group_by, included)
    values = sample.evaluate(np.ones((1, sample.clusters)))
    resampled = resample(sample)
    groups: list[dict[str, Any]] = []
    for number, group in enumerate(group_labels(len(group_by))):
        images = sample.sums[:, number, 0]
        groups.append(
            {
                "group": dict(zip(group_by, group, strict=True)),
                "images": int(images.sum()),
                "units": int((images > 0).sum()),
                "counted": bool(images.sum() >= min_class),
            }
        )
        for name in ("accuracy", "mean_accuracy"):
            groups[-1][name] = float(values[name][0, number])
            ends = bootstrap.ends(resampled[name][:, number], sample.clusters)
            groups[-1][f"{name}_interval"] = ends
    eligible = [group for group in groups if group["counted"] and np.isfinite(group["accuracy"])]
    intervals = [group["accuracy_interval"] for group in eligible]
    lowest = np.min(intervals, axis=0).tolist() if intervals and all(intervals) else None
    return {
        "by": group_by,
        "target": group_by[0],
        "groups": groups,
        "worst": min(eligible, key=lambda group: group["accuracy"], default=None),
        "worst_accuracy_interval": lowest,
        "gaps": {
            name: {
                "difference": float(values[name][0]),
                "interval": bootstrap.ends(resampled[name], sample.clusters),
            }
            for name in GAPS
            if name in values
        },
    }


class GroupSample:
    """Faces in groups, counted once for many weightings of U people.

    They are numbered as by ``group_labels``; a face whose labels of ``group_by`` are not all known
    is in none.
    """

    def __init__(self, test: Predictions, group_by: list[str], included: np.ndarray) -> None:
        clusters = bootstrap.cluster_numbers(test.identities)
        self.clusters, self.groups = int(clusters.max()) + 1, 2 ** len(group_by)
        target = group_by[0]
        self.target = test.attributes.index(target) if target in test.attributes else None
        self.included, truth = included, test.model_labels
        by = test.labels[:, [test.label_names.index(name) for name in group_by]]
        grouped = (by >= 0).all(axis=1)
        places = clusters[grouped] * self.groups + group_numbers(by[grouped] == 1)
        counted = np.hstack([np.ones((len(truth), 1)), truth >= 0, test.predicted == truth])
        sums = bootstrap.cluster_sums(counted[grouped], places, self.clusters * self.groups)
        self.sums = sums.reshape(self.clusters, self.groups, -1)  # of which the first are faces

    def evaluate(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Accuracies (D, G) and the gaps (D,), under ``weights`` (D, U) of people."""
        counts = np.tensordot(weights, self.sums, 1)
        known, correct = np.split(counts[:, :, 1:], 2, axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            accuracy = correct / known
            mean = bootstrap.mean_over_attributes(accuracy[:, :, self.included])
            if self.target is None:
                return {"accuracy": np.full_like(mean, np.nan), "mean_accuracy": mean}
            of_target, images = accuracy[:, :, self.target], counts[:, :, 0]
            values = {"accuracy": of_target, "mean_accuracy": mean}
            if self.groups == 4:  # the target with and without the other, then not the target
                right = correct[:, :, self.target]
                positive = right[:, :2] + images[:, 2:] - right[:, 2:]
                rates = positive / (images[:, :2] + images[:, 2:])
                values["equal_opportunity"] = of_target[:, 0] - of_target[:, 1]
                values["demographic_parity"] = rates[:, 0] - rates[:, 1]
        return values
