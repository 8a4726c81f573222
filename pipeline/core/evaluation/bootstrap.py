"""Intervals by the cluster bootstrap: people are resampled, with all their images.

Clusters (people, or images where people are unknown) are drawn with replacement; the spread of a
metric over the resamples gives its interval. Several images of one person are not independent, so
images are never drawn one by one where people are known. The interval is Hesterberg's expanded
percentile interval ("What teachers should know about the bootstrap", 2015, section 5.3):
percentiles moved outwards as Student's t is wider than the normal, which few clusters need.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from scipy import stats

LEVEL = 0.95
MIN_CLUSTERS = 50  # with fewer, a warning says that intervals are too narrow
CHUNK = 16  # resamples at a time: few enough for the cache, on 20,000 faces


class Clustered(Protocol):
    """Faces by their person, from which values follow under any weights of these clusters."""

    @property
    def clusters(self) -> int:
        """How many there are."""

    def evaluate(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Values (D, …) for ``weights`` (D, clusters)."""


def cluster_numbers(identities: np.ndarray) -> np.ndarray:
    """(N,) numbers from 0: one a person; an image whose person is unknown (-1) has its own."""
    unknown = np.flatnonzero(identities < 0)
    numbers = identities.astype(np.int64).copy()
    numbers[unknown] = numbers.max(initial=0) + 1 + np.arange(len(unknown))
    return np.unique(numbers, return_inverse=True)[1]


def cluster_sums(values: np.ndarray, cluster_of: np.ndarray, clusters: int) -> np.ndarray:
    """(clusters, …) sums of ``values`` (N, …) over the faces of each cluster, by ``cluster_of``."""
    sums = np.zeros((clusters, *values.shape[1:]))
    np.add.at(sums, cluster_of, values)
    return sums


def resampling_weights(clusters: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each resample has each cluster, in pieces of shape (up to CHUNK, clusters).

    Resample r depends on ``seed``, ``clusters`` and r alone.
    """
    for first in range(0, resamples, CHUNK):
        yield np.stack(
            [
                np.bincount(
                    np.random.default_rng([seed, number]).integers(clusters, size=clusters),
                    minlength=clusters,
                ).astype(np.float64)
                for number in range(first, min(first + CHUNK, resamples))
            ]
        )


def resample(
    sample: Clustered, resamples: int, seed: int, threads: int = 1
) -> dict[str, np.ndarray]:
    """What ``sample`` evaluates, as (resamples, …); ``threads`` do not change the numbers."""
    with ThreadPoolExecutor(threads) as pool:
        weights = resampling_weights(sample.clusters, resamples, seed)
        pieces = list(pool.map(sample.evaluate, weights))
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def interval(resampled: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of the 95 % interval of a metric, (…) each, from its resamples (D, …).

    Resamples in which the metric is undefined (NaN) are left out; where none is left, or with a
    single cluster, the ends are NaN.
    """
    defined = np.isfinite(resampled).any(axis=0) & (clusters > 1)
    tail = (1 - LEVEL) / 2
    if clusters > 1:
        student = stats.t.ppf(tail, clusters - 1)
        tail = stats.norm.cdf(np.sqrt(clusters / (clusters - 1)) * student)
    ends = [tail, 1 - tail]  # "weibull": as far out for few resamples as for many
    low, high = np.nanquantile(np.where(defined, resampled, 0), ends, axis=0, method="weibull")
    return np.where(defined, low, np.nan), np.where(defined, high, np.nan)


def ends(resampled: np.ndarray, clusters: int) -> list[float] | None:
    """``interval`` of a single value, from its resamples (D,); None where it is not defined."""
    low, high = map(float, interval(resampled, clusters))
    return [low, high] if np.isfinite(low) else None


def few_clusters_warning(identities: np.ndarray) -> list[str]:
    """One warning if intervals over so few people (or images, where people are unknown) mislead."""
    clusters = len(np.unique(cluster_numbers(identities)))
    if clusters >= MIN_CLUSTERS:
        return []
    kind = "people" if (identities >= 0).any() else "images"
    return [f"the intervals are over {clusters} {kind}, fewer than {MIN_CLUSTERS}, and too narrow"]


def mean_over_attributes(resampled: np.ndarray) -> np.ndarray:
    """(…) means of a metric (…, A) over the attributes in which it is defined, NaN if in none."""
    defined = np.isfinite(resampled)
    count = defined.sum(axis=-1)
    sums = np.where(defined, resampled, 0).sum(axis=-1)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)
