"""Intervals by drawing people, not pictures, anew: many pictures of one person are no new proof.

Units (people, or images where people are unknown) are drawn with replacement; the spread of a
metric over the draws is its interval. The interval is Hesterberg's expanded percentile interval
("What teachers should know about the bootstrap", 2015, section 5.3): percentiles moved outwards
as Student's t is wider than the normal, which few units need.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import stats

from pipeline.core.evaluation.metrics import DRAWN, Sample

LEVEL = 0.95
FEW = 50  # units; with fewer, a warning says that intervals are too narrow
CHUNK = 16  # draws at a time: few enough for the cache, on 20,000 faces


def unit_numbers(identities: np.ndarray) -> np.ndarray:
    """(N,) numbers from 0: one a person; an image whose person is unknown (-1) is its own."""
    alone = np.flatnonzero(identities < 0)
    named = identities.astype(np.int64).copy()
    named[alone] = named.max(initial=0) + 1 + np.arange(len(alone))
    return np.unique(named, return_inverse=True)[1]


def weights(units: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """``draws`` resamples of ``units``, in pieces of shape (up to CHUNK, units).

    How often each unit was drawn. Draw d depends on ``seed``, ``units`` and d alone.
    """
    for first in range(0, draws, CHUNK):
        yield np.stack(
            [
                np.bincount(
                    np.random.default_rng([seed, draw]).integers(units, size=units),
                    minlength=units,
                ).astype(np.float64)
                for draw in range(first, min(first + CHUNK, draws))
            ]
        )


def resample(sample: Sample, draws: int, seed: int, threads: int = 1) -> dict[str, np.ndarray]:
    """Each of ``DRAWN`` as (draws, A), one row a resample of the units; ``threads`` change none."""
    with ThreadPoolExecutor(threads) as pool:
        pieces = list(pool.map(sample.judge, weights(sample.count, draws, seed)))
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in DRAWN}


def interval(draws: np.ndarray, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of the 95 % interval of a metric, (…) each, from its draws (D, …).

    Draws without meaning (NaN) are left out; where none is left, or with one unit alone, the ends
    are NaN.
    """
    some = np.isfinite(draws).any(axis=0) & (units > 1)
    tail = (1 - LEVEL) / 2
    if units > 1:
        student = stats.t.ppf(tail, units - 1)
        tail = stats.norm.cdf(np.sqrt(units / (units - 1)) * student)
    ends = [tail, 1 - tail]  # "weibull": as far out for few draws as for many
    low, high = np.nanquantile(np.where(some, draws, 0), ends, axis=0, method="weibull")
    return np.where(some, low, np.nan), np.where(some, high, np.nan)


def too_few(units: int, people: bool) -> list[str]:
    """One warning if intervals over so few people (or images, where people are unknown) mislead."""
    if units >= FEW:
        return []
    kind = "people" if people else "images"
    return [f"the intervals are over {units} {kind}, fewer than {FEW}, and too narrow"]


def mean_over_attributes(draws: np.ndarray) -> np.ndarray:
    """(D,) means of draws (D, A) over the attributes that have a meaning in them."""
    defined = np.isfinite(draws)
    count = defined.sum(axis=1)
    sums = np.where(defined, draws, 0).sum(axis=1)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)
