"""A last layer trained again on faces of which every group has as many.

What a network learns of a rare group is often in its features, and only its last layer leaves it
out: Kirichenko, Izmailov and Wilson, "Last layer re-training is sufficient for robustness to
spurious correlations" (ICLR 2023). As there, several balanced parts of the faces held out are
learned from and the layers averaged. The penalty here is on the distance from the trained layer, in
place of the size, since the smallest group may have a dozen faces for a thousand features.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from pipeline.core.errors import UserError
from pipeline.core.training.selection import worst_group_accuracy

MIN_FACES = 5  # of each group; with fewer there is too little to choose a penalty on
SUBSETS = 10  # balanced parts that are averaged over
PENALTIES = (100.0, 10.0, 1.0, 0.1, 0.01)


class Row(NamedTuple):
    """One attribute's part of the last layer: its logit is ``features @ weight + bias``."""

    weight: np.ndarray
    bias: float


class Examples(NamedTuple):
    """Faces by ``features`` (N, F), ``labels`` (N,) bool and ``groups`` (N,), each its number."""

    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def of(self, chosen: np.ndarray) -> "Examples":
        return Examples(*(values[chosen] for values in self))


def retrain(
    examples: Examples, count: int, people: np.ndarray, trained: Row, seed: int
) -> tuple[Row, dict[str, Any]]:
    """The row that balanced groups teach, and what was chosen on the way.

    ``count``: how many groups there are. ``people`` (N,) numbers the person of each face. The
    penalty is the one of the best accuracy in the worst group, of the people that were not learned
    from, over both halves of the people.
    """
    features, _, groups = examples
    half = np.random.default_rng(seed).permutation(people.max() + 1)[people] % 2 == 0
    halves = [np.bincount(groups[of], minlength=count) for of in (half, ~half)]
    counts = halves[0] + halves[1]
    if counts.min() < MIN_FACES or min(map(np.min, halves)) == 0:
        raise UserError(
            f"the groups have {', '.join(map(str, counts))} valid faces, and each needs at least"
            f" {MIN_FACES}, of several people; choose other `groups`, or give valid more faces"
        )
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1
    examples = examples._replace(features=(features - mean) / scale)
    start = Row(trained.weight * scale, trained.bias + float(trained.weight @ mean))
    reached = {
        penalty: np.mean([
            held_out_accuracy(examples, learned, start, penalty, seed)
            for learned in (half, ~half)
        ])
        for penalty in PENALTIES
    }  # fmt: skip
    best = max(PENALTIES, key=lambda penalty: (reached[penalty], penalty))
    row = balanced_row(examples, start, best, seed)
    weight = row.weight / scale
    return Row(weight, row.bias - float(weight @ mean)), {
        "penalty": best,
        "held_out_worst_group_accuracy": {f"{key:g}": float(reached[key]) for key in PENALTIES},
        "faces_a_group": int(counts.min()),
        "subsets": SUBSETS,
    }


def held_out_accuracy(
    examples: Examples, learned: np.ndarray, start: Row, penalty: float, seed: int
) -> float:
    """The worst group's accuracy on the faces that are not ``learned`` (N,) bool from."""
    row = balanced_row(examples.of(learned), start, penalty, seed)
    features, labels, groups = examples.of(~learned)
    predicted = features @ row.weight + row.bias > 0
    return worst_group_accuracy(predicted == labels, groups, least=1)


def balanced_row(examples: Examples, start: Row, penalty: float, seed: int) -> Row:
    """The mean of the rows fitted to ``SUBSETS`` parts in which each group has as many faces."""
    features, labels, groups = examples
    members = [np.flatnonzero(groups == number) for number in np.unique(groups)]
    fewest = min(map(len, members))
    rows = []
    for number in range(SUBSETS):
        random = np.random.default_rng((seed, number))
        part = np.concatenate([random.choice(of, fewest, replace=False) for of in members])
        rows.append(fit(features[part], labels[part], start, penalty))
    return Row(
        np.mean([row.weight for row in rows], axis=0), float(np.mean([row.bias for row in rows]))
    )


def fit(features: np.ndarray, labels: np.ndarray, start: Row, penalty: float) -> Row:
    """The lowest mean log loss plus half the penalty times the squared distance from ``start``."""

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = values[:-1], values[-1]
        logits, moved = features @ weight + bias, weight - start.weight
        error = (expit(logits) - labels) / len(labels)
        value = np.logaddexp(0, np.where(labels, -logits, logits)).mean()
        gradient = np.append(error @ features + penalty * moved, error.sum())
        return float(value + penalty / 2 * moved @ moved), gradient

    found = minimize(loss, np.append(start.weight, start.bias), jac=True, method="L-BFGS-B").x
    return Row(found[:-1], float(found[-1]))
