"""Intervals by drawing people, not pictures, anew: many pictures of one person are no new proof.

Units (people, or images where people are unknown) are drawn with replacement; the spread of a
metric over the draws is its interval. The interval is Hesterberg's expanded percentile interval
("What teachers should know about the bootstrap", 2015, section 5.3): percentiles moved outwards
as Student's t is wider than the normal, which few units need.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from pipeline.core.metrics import METRICS, Sample

LEVEL = 0.95
FEW = 50  # units; with fewer, intervals are marked as too narrow
CHUNK = 40  # draws at a time: weights of 20,000 faces then fit a processor's cache


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


def resample(sample: Sample, draws: int, seed: int) -> dict[str, np.ndarray]:
    """Every metric of ``METRICS`` as (draws, A), one row a resample of the units."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pieces = list(pool.map(sample.judge, weights(sample.count, draws, seed)))
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in METRICS}


def interval(values: np.ndarray, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of the 95 % interval over the first axis of ``values`` (draws, …).

    Draws in which a metric had no meaning (NaN) are left out; where none is left, or with one
    unit alone, the ends are NaN.
    """
    if units < 2:
        nothing = np.full(values.shape[1:], np.nan)
        return nothing, nothing
    tail = (1 - LEVEL) / 2
    outwards = np.sqrt(units / (units - 1)) * stats.t.ppf(tail, units - 1)
    tail = stats.norm.cdf(outwards)
    kept = np.where(np.isfinite(values).any(axis=0), values, 0)
    low, high = np.nanquantile(kept, [tail, 1 - tail], axis=0)
    empty = ~np.isfinite(values).any(axis=0)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)
