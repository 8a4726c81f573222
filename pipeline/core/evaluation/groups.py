"""What a mean hides: accuracy in groups of faces, and predictions that contradict each other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.core.classification import group_labels, group_numbers
from pipeline.core.evaluation import bootstrap
from pipeline.core.evaluation.predictions import Predictions

Resample = Callable[[bootstrap.Clustered], dict[str, np.ndarray]]
# Between the faces with the second attribute of a group and those without, for the first as target:
# the differences of recall, and of the share that is predicted positive (Hardt et al., 2016).
GAPS = ("equal_opportunity", "demographic_parity")


@dataclass(frozen=True)
class Rule:
    """A face can have at most one of ``attributes``."""

    name: str
    attributes: tuple[str, ...]


HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
RULES: tuple[Rule, ...] = (
    Rule("No_Beard with Goatee", ("No_Beard", "Goatee")),
    Rule("No_Beard with Mustache", ("No_Beard", "Mustache")),
    Rule("No_Beard with 5_o_Clock_Shadow", ("No_Beard", "5_o_Clock_Shadow")),
    Rule("Bald with Bangs", ("Bald", "Bangs")),
    Rule("Bald with Straight_Hair", ("Bald", "Straight_Hair")),
    Rule("Bald with Wavy_Hair", ("Bald", "Wavy_Hair")),
    Rule("Bangs with Receding_Hairline", ("Bangs", "Receding_Hairline")),
    Rule("Straight_Hair with Wavy_Hair", ("Straight_Hair", "Wavy_Hair")),
    Rule("two hair colours", HAIR_COLOURS),
)


def impossible(test: Predictions) -> dict[str, Any]:
    """The share of faces, in 0–1, that break each rule: as predicted, and as labelled.

    The attributes of each of ``test.exclusive`` are a further rule. Rules that need an attribute
    that the model lacks are left out. ``any`` breaks at least one of the others. Of labels only
    faces count that have all those of the rule, or of all rules; None where there is no such face.
    """
    own = [Rule(f"two of {column}", of) for column, of in test.exclusive.items()]
    rules = [rule for rule in (*RULES, *own) if set(rule.attributes) <= set(test.attributes)]
    shares = {
        "predicted": _broken(test.predicted, test.attributes, rules),
        "labelled": _broken(test.labels, test.label_names, rules),
    }
    return {
        "rules": {
            rule.name: {kind: of_rules[r] for kind, of_rules in shares.items()}
            for r, rule in enumerate(rules)
        },
        "any": {kind: of_rules[-1] for kind, of_rules in shares.items()},
    }


def _broken(values: np.ndarray, names: list[str], rules: list[Rule]) -> list[float | None]:
    """The share of faces that break each rule, then that of those that break any."""
    columns = [values[:, [names.index(name) for name in rule.attributes]] for rule in rules]
    shape = len(rules), len(values)
    broken = np.array([(of_rule == 1).sum(axis=1) > 1 for of_rule in columns]).reshape(shape)
    unknown = np.array([(of_rule < 0).any(axis=1) for of_rule in columns]).reshape(shape)
    each = [_share(*of_rule) for of_rule in zip(broken, unknown, strict=True)]
    return [*each, _share(*(np.asarray(of.any(axis=0)) for of in (broken, unknown)))]


def _share(broken: np.ndarray, unknown: np.ndarray) -> float | None:
    return None if unknown.all() else float(broken[~unknown].mean())


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
    target that the model lacks has no accuracy and no worst group. A group with fewer than
    ``min_class`` faces is not ``counted``, and not the worst.

    What has an interval has it from ``resample``. That of the lowest accuracy, whichever group has
    it, goes from the lowest of the groups' lower ends to the lowest of their upper ends: the lowest
    accuracy of a resample is too low wherever groups are alike.
    """
    sample = GroupSample(test, group_by, included)
    values = sample.evaluate(np.ones((1, sample.clusters)))
    low_high = {
        name: bootstrap.interval(resampled, sample.clusters)
        for name, resampled in resample(sample).items()
    }
    groups: list[dict[str, Any]] = []
    for number, group in enumerate(group_labels(len(group_by))):
        images = sample.images[:, number]
        groups.append(
            {
                "group": dict(zip(group_by, group, strict=True)),
                "images": int(images.sum()),
                "units": int((images > 0).sum()),
                "counted": bool(images.sum() >= min_class),
            }
        )
        for name in ("accuracy", "mean_accuracy"):
            groups[-1][name] = _number(values[name][0, number])
            groups[-1][f"{name}_interval"] = _ends(*(ends[number] for ends in low_high[name]))
    eligible = [group for group in groups if group["counted"] and group["accuracy"] is not None]
    ends = [group["accuracy_interval"] for group in eligible]
    return {
        "by": group_by,
        "target": group_by[0],
        "groups": groups,
        "worst": min(eligible, key=lambda group: group["accuracy"], default=None),
        "worst_accuracy_interval": np.min(ends, axis=0).tolist() if ends and all(ends) else None,
        "gaps": {
            name: {
                "difference": _number(values[name][0]),
                "interval": _ends(*low_high[name]),
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
        sums = np.zeros((self.clusters * self.groups, counted.shape[1]))
        np.add.at(sums, places, counted[grouped])
        self.sums = sums.reshape(self.clusters, -1)

    @property
    def images(self) -> np.ndarray:
        """(U, G) faces of each person in each group."""
        return self.sums.reshape(self.clusters, self.groups, -1)[:, :, 0]

    def evaluate(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Accuracies (D, G) and the gaps (D,), under ``weights`` (D, U) of people."""
        counts = (weights @ self.sums).reshape(len(weights), self.groups, -1)
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


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _ends(low: Any, high: Any) -> list[float] | None:
    return [float(low), float(high)] if np.isfinite([low, high]).all() else None
