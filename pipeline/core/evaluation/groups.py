"""What a mean hides: accuracy in groups of faces, and predictions that contradict each other."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.core.classification import group_labels, group_numbers


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


def impossible(
    labels: np.ndarray, label_names: list[str], predicted: np.ndarray, attributes: list[str]
) -> dict[str, Any]:
    """The share of faces, in 0–1, that break each rule: as predicted, and as labelled.

    ``labels`` (N, L) of ``label_names``, ``predicted`` (N, A) bool for ``attributes``, which
    are among these. Rules that need an attribute that the model lacks are left out. ``any`` breaks
    at least one of the others. Of labels only faces count that have all those of the rule, or of
    all rules; None where there is no such face.
    """
    rules = [rule for rule in RULES if set(rule.attributes) <= set(attributes)]
    shares = {
        "predicted": _broken(predicted, attributes, rules),
        "labelled": _broken(labels, label_names, rules),
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
    labels: np.ndarray,
    label_names: list[str],
    predicted: np.ndarray,
    attributes: list[str],
    clusters: np.ndarray,
    included: np.ndarray,
    group_by: list[str],
    min_class: int,
) -> dict[str, Any]:
    """Accuracy of faces grouped by their labels of ``group_by``, and the worst group.

    Arrays as for ``impossible``; ``clusters`` (N,) numbers the people and ``included`` (A,) says
    which attributes are in means. Faces whose labels of ``group_by`` are not all known are in no
    group. ``accuracy`` is that of the first of ``group_by`` (Sagawa et
    al., 2020, predict Blond_Hair in groups by Blond_Hair and Male), ``mean_accuracy`` that of
    all included attributes. A target that the model lacks has no accuracy and no worst group. A
    group with fewer than ``min_class`` faces is not ``counted``, and not the worst.
    """
    target = group_by[0]
    truth = labels[:, [label_names.index(name) for name in attributes]]
    known, correct = truth >= 0, predicted == truth
    by = labels[:, [label_names.index(name) for name in group_by]]
    numbers = np.where((by >= 0).all(axis=1), group_numbers(by == 1), -1)
    groups: list[dict[str, Any]] = []
    for number, values in enumerate(group_labels(len(group_by))):
        where = numbers == number
        with np.errstate(invalid="ignore"):
            accuracy = (correct & known)[where].sum(axis=0) / known[where].sum(axis=0)
        groups.append(
            {
                "group": dict(zip(group_by, values, strict=True)),
                "images": int(where.sum()),
                "units": len(np.unique(clusters[where])),
                "counted": bool(where.sum() >= min_class),
                "accuracy": _number(accuracy[attributes.index(target)])
                if target in attributes
                else None,
                "mean_accuracy": _mean(accuracy[included]),
            }
        )
    eligible = [group for group in groups if group["counted"] and group["accuracy"] is not None]
    worst = min(eligible, key=lambda group: group["accuracy"], default=None)
    return {"by": group_by, "target": target, "groups": groups, "worst": worst}


def _mean(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
