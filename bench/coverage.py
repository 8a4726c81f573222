"""How often 95 % intervals hold the truth, on simulated people: which kind of interval to trust.

    python -m bench.coverage --people 15 50 200

People differ in how they look and in how well the model knows them, so that predictions for a
person's images are right or wrong together, in each attribute for itself. The truth is that of
200,000 people. Compared: the expanded percentiles that attparse reports, plain percentiles, and
BCa (Efron, 1987), each for single attributes and for the mean over the attributes of a data set.
"""

import argparse
from functools import cache

import numpy as np
from scipy import stats

from pipeline.core.evaluation import bootstrap
from pipeline.core.evaluation.metrics import BOOTSTRAPPED, Sample

ATTRIBUTES, IMAGES = 4, 5  # attributes in one data set, images a person


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


@cache
def truth() -> dict[str, float]:
    """Every metric of the population, which is the same for all attributes."""
    labels, logits, clusters = simulate(200_000, 1, np.random.default_rng(99))
    sample = Sample(labels, logits, np.array([0.5]), clusters)
    values = sample.evaluate(np.ones((1, sample.clusters)))
    return {name: float(value[0, 0]) for name, value in values.items()}


def bca(resampled: np.ndarray, value: np.ndarray, left_out: np.ndarray) -> tuple[np.ndarray, ...]:
    """BCa's ends from resamples (D, A), estimates (A,), and those without each cluster (U, A)."""
    below = ((resampled < value).mean(axis=0) + (resampled <= value).mean(axis=0)) / 2
    bias = stats.norm.ppf(np.clip(below, 1 / len(resampled), 1 - 1 / len(resampled)))
    off = np.nanmean(left_out, axis=0) - left_out
    with np.errstate(invalid="ignore"):
        skew = np.nansum(off**3, axis=0) / (6 * np.nansum(off**2, axis=0) ** 1.5)
    ends = []
    for z in stats.norm.ppf([0.025, 0.975]):
        share = stats.norm.cdf(bias + (bias + z) / (1 - skew * (bias + z)))
        share = np.where(np.isfinite(share), share, 0.5)
        ends.append(
            [np.nanquantile(column, s) for column, s in zip(resampled.T, share, strict=True)]
        )
    return np.array(ends[0]), np.array(ends[1])


def coverage(people: int, data_sets: int, resamples: int) -> dict[tuple[str, str], float]:
    """The share of intervals that hold the truth, by kind, and by metric or mean of a metric."""
    population, rng = truth(), np.random.default_rng(people)
    held: dict[tuple[str, str], list[np.ndarray]] = {}
    for seed in range(data_sets):
        labels, logits, clusters = simulate(people, ATTRIBUTES, rng)
        sample = Sample(labels, logits, np.full(ATTRIBUTES, 0.5), clusters)
        resampled = bootstrap.resample(sample, resamples, seed)
        value = sample.evaluate(np.ones((1, people)))
        left_out = sample.evaluate(1 - np.eye(people))
        for name in BOOTSTRAPPED:
            each = resampled[name], value[name], left_out[name]
            mean = [bootstrap.mean_over_attributes(values)[:, None] for values in each]
            for row, of_row in ((name, each), (f"mean {name}", mean)):
                for kind, (low, high) in intervals(*of_row).items():
                    inside = (low <= population[name]) & (population[name] <= high)
                    held.setdefault((kind, row), []).append(inside)
    return {key: float(np.concatenate(values).mean()) for key, values in held.items()}


def intervals(
    resampled: np.ndarray, value: np.ndarray, left_out: np.ndarray
) -> dict[str, tuple[np.ndarray, ...]]:
    """The ends by kind, from resamples (D, A), estimates (1, A), those without a cluster (U, A)."""
    return {
        "reported": bootstrap.interval(resampled, len(left_out)),
        "percentiles": tuple(np.nanquantile(resampled, [0.025, 0.975], axis=0, method="weibull")),
        "BCa": bca(resampled, value[0], left_out),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, nargs="+", default=[15, 50, 200])
    parser.add_argument("--data-sets", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=400)
    args = parser.parse_args()
    found = {people: coverage(people, args.data_sets, args.resamples) for people in args.people}
    print(
        f"{args.data_sets:,} data sets of {ATTRIBUTES} attributes, {IMAGES} images a person,"
        f" {args.resamples:,} resamples; in %"
    )
    kinds = ("reported", "percentiles", "BCa")
    print(f"{'':<24}" + "".join(f"{kind:>{6 * len(found)}}" for kind in kinds))
    print(f"{'people':<24}" + "".join(f"{people:>6}" for _ in kinds for people in found))
    for row in (*BOOTSTRAPPED, *(f"mean {name}" for name in BOOTSTRAPPED)):
        shares = (100 * found[people][kind, row] for kind in kinds for people in found)
        print(f"{row:<24}" + "".join(f"{share:>6.1f}" for share in shares))


if __name__ == "__main__":
    main()
