"""How often 95 % intervals hold the truth, on simulated people: which kind of interval to trust.

    python bench/coverage.py --people 15 50 200

Each replication is an attribute of a data set of its own: people differ in how they look and in
how well the model knows them, so that a person's pictures go right or wrong together. The truth
is that of 200,000 people. Compared: the percentiles of the draws, the expanded percentiles that
attparse reports (for the calibration error reflected), and BCa (Efron, 1987).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.core import bootstrap
from pipeline.core.metrics import METRICS, Sample

ATTRIBUTES, IMAGES = 40, 5  # replications in one data set, images a person


def simulate(
    people: int, attributes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and logits (people × IMAGES, attributes) and the people's numbers.

    A third of the images is positive. Half of the spread of looks, and of what misleads the
    model, belongs to the person.
    """
    shape = (people, IMAGES, attributes)
    look, error = (
        (rng.standard_normal((people, 1, attributes)) + rng.standard_normal(shape)) / np.sqrt(2)
        for _ in range(2)
    )
    labels, logits = look > 0.43, 1.5 * (look - 0.43) + error
    flat = (people * IMAGES, attributes)
    return labels.reshape(flat), logits.reshape(flat), np.repeat(np.arange(people), IMAGES)


def truth() -> dict[str, float]:
    """Every metric of the population, which is the same for all attributes."""
    labels, logits, units = simulate(200_000, 1, np.random.default_rng(99))
    sample = Sample(labels, logits, np.array([0.5]), units)
    judged = sample.judge(np.ones((1, sample.count)))
    return {name: float(value[0, 0]) for name, value in judged.items()}


def bca(draws: np.ndarray, value: np.ndarray, left_out: np.ndarray) -> tuple[np.ndarray, ...]:
    """BCa's ends from draws (D, A), the estimates (A,), and those without each unit (U, A)."""
    below = ((draws < value).mean(axis=0) + (draws <= value).mean(axis=0)) / 2
    bias = stats.norm.ppf(np.clip(below, 1 / len(draws), 1 - 1 / len(draws)))
    off = np.nanmean(left_out, axis=0) - left_out
    skew = np.nansum(off**3, axis=0) / (6 * np.nansum(off**2, axis=0) ** 1.5)
    ends = []
    for z in stats.norm.ppf([0.025, 0.975]):
        share = stats.norm.cdf(bias + (bias + z) / (1 - skew * (bias + z)))
        share = np.where(np.isfinite(share), share, 0.5)
        ends.append([np.nanquantile(column, s) for column, s in zip(draws.T, share, strict=True)])
    return np.array(ends[0]), np.array(ends[1])


def coverage(people: int, replications: int, draws: int) -> dict[str, dict[str, float]]:
    """For each kind of interval and each metric, the share of replications that hold the truth."""
    population, rng = truth(), np.random.default_rng(people)
    held: dict[str, dict[str, list[np.ndarray]]] = {
        kind: {name: [] for name in METRICS} for kind in ("percentile", "reported", "BCa")
    }
    for seed in range(replications // ATTRIBUTES):
        labels, logits, units = simulate(people, ATTRIBUTES, rng)
        sample = Sample(labels, logits, np.full(ATTRIBUTES, 0.5), units)
        drawn = bootstrap.resample(sample, draws, seed)
        value = sample.judge(np.ones((1, people)))
        left_out = sample.judge(1 - np.eye(people))
        for name in METRICS:
            for kind, (low, high) in {
                "percentile": np.nanquantile(drawn[name], [0.025, 0.975], axis=0),
                "reported": bootstrap.interval(name, drawn[name], value[name][0], people),
                "BCa": bca(drawn[name], value[name][0], left_out[name]),
            }.items():
                held[kind][name].append((low <= population[name]) & (population[name] <= high))
    return {
        kind: {name: float(np.concatenate(values).mean()) for name, values in names.items()}
        for kind, names in held.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, nargs="+", default=[15, 50, 200])
    parser.add_argument("--replications", type=int, default=1_000)
    parser.add_argument("--draws", type=int, default=1_000)
    args = parser.parse_args()
    for people in args.people:
        found = coverage(people, args.replications, args.draws)
        print(f"{people} people, {args.replications} replications of {args.draws} draws, in %")
        print(f"{'':>20}" + "".join(f"{kind:>12}" for kind in found))
        for name in METRICS:
            shares = "".join(f"{found[kind][name]:12.1%}" for kind in found)
            print(f"{name:>20}{shares}")


if __name__ == "__main__":
    main()
