"""Intervals hold the truth as often as they say, and follow from people and seed alone."""

import numpy as np
import pytest
from conftest import ROOT

from bench.coverage import ATTRIBUTES, simulate, truth
from pipeline.core.evaluation import bootstrap
from pipeline.core.evaluation.metrics import BOOTSTRAPPED, Sample

THRESHOLDS = np.full(40, 0.5)
ROWS = (*BOOTSTRAPPED, *(f"mean {name}" for name in BOOTSTRAPPED))  # as the table has them


def coverage(people: int, data_sets: int) -> dict[str, float]:
    """The share of intervals that hold the population's value, of attributes and of their mean."""
    rng, held = np.random.default_rng(people), {}
    for seed in range(data_sets):
        labels, logits, clusters = simulate(people, ATTRIBUTES, rng)
        resampled = bootstrap.resample(
            Sample(labels, logits, THRESHOLDS[:ATTRIBUTES], clusters), 160, seed
        )
        for name, true in truth().items():
            mean = bootstrap.mean_over_attributes(resampled[name])[:, None]
            for row, values in ((name, resampled[name]), (f"mean {name}", mean)):
                low, high = bootstrap.interval(values, people)
                held.setdefault(row, []).append((low <= true) & (true <= high))
    return {row: float(np.mean(shares)) for row, shares in held.items()}


def documented(people: int) -> dict[str, float]:
    """What docs/metrics.md has for so many people, from the table that bench/coverage.py prints."""
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    lines = page.split("bench.coverage -->")[1].split("```")[1].splitlines()
    (heads,) = [line[24:].split() for line in lines if line.startswith("people")]
    column = heads.index(str(people))
    shares = {line[:24].strip(): line[24:].split() for line in lines}
    return {row: float(shares[row][column]) / 100 for row in ROWS}


@pytest.mark.slow
def test_intervals_over_200_people_hold_the_truth_in_93_to_97_of_100_data_sets():
    found = coverage(200, data_sets=500)
    assert set(found) == set(ROWS)
    for row, share in found.items():
        assert 0.93 <= share <= 0.97, row


@pytest.mark.slow
def test_intervals_over_15_people_hold_the_truth_as_often_as_documented():
    found, expected = coverage(15, data_sets=300), documented(15)
    for row, share in found.items():
        assert share == pytest.approx(expected[row], abs=0.03), row


def test_images_of_one_person_are_resampled_together():
    """Copies of every image are no new evidence: they leave the intervals as they were."""
    labels, logits, clusters = simulate(30, 40, np.random.default_rng(0))
    once = Sample(labels, logits, THRESHOLDS, clusters)
    twice = Sample(
        np.tile(labels, (2, 1)), np.tile(logits, (2, 1)), THRESHOLDS, np.tile(clusters, 2)
    )
    found = [bootstrap.resample(sample, 20, 3) for sample in (once, twice)]
    for name in BOOTSTRAPPED:
        np.testing.assert_allclose(found[0][name], found[1][name], atol=1e-9, err_msg=name)


def test_more_resamples_begin_with_the_same_ones():
    few, many = (np.concatenate(list(bootstrap.resampling_weights(7, n, seed=5))) for n in (20, 50))
    np.testing.assert_array_equal(few, many[:20])
    assert (many.sum(axis=1) == 7).all()


def test_another_seed_resamples_other_people():
    first, second = (next(bootstrap.resampling_weights(50, 16, seed)) for seed in (1, 2))
    assert (first != second).any()


def test_unknown_people_are_each_their_own_cluster_and_known_ones_share_theirs():
    clusters = bootstrap.cluster_numbers(np.array([7, -1, 7, -1, 3]))
    assert clusters[0] == clusters[2]
    assert len(set(clusters.tolist())) == 4
    assert sorted(set(clusters.tolist())) == [0, 1, 2, 3]


@pytest.mark.parametrize("clusters", [15, 200])
def test_an_interval_is_wider_than_the_percentiles_for_few_clusters(clusters):
    resampled = np.random.default_rng(0).normal(0.8, 0.01, (4000, 1))
    low, high = bootstrap.interval(resampled, clusters)
    plain = np.quantile(resampled, [0.025, 0.975])
    ratio = (high[0] - low[0]) / (plain[1] - plain[0])
    assert (1.08 < ratio < 1.2) if clusters == 15 else (1.0 < ratio < 1.02)


def test_an_undefined_metric_or_a_single_person_has_no_interval():
    resampled = np.array([[np.nan, 0.1], [np.nan, np.nan], [np.nan, 0.3]])
    low, high = bootstrap.interval(resampled, 100)
    assert np.isnan([low[0], high[0]]).all()
    assert 0.1 <= low[1] < high[1] <= 0.3
    alone = bootstrap.interval(np.full((3, 1), 0.5), 1)
    assert np.isnan(alone).all()
