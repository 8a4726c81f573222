"""Intervals hold the truth as often as they say, and follow from people and seed alone."""

import numpy as np
import pytest

from pipeline.core import bootstrap
from pipeline.core.metrics import METRICS, Sample

USUAL = np.full(40, 0.5)


def simulate(people: int, attributes: int, rng: np.random.Generator):
    """Labels, logits, people: two images of each, which go right or wrong together."""
    shape = (people, 2, attributes)
    look, error = (
        (rng.standard_normal((people, 1, attributes)) + rng.standard_normal(shape)) / np.sqrt(2)
        for _ in range(2)
    )
    labels, logits = look > 0.43, 1.5 * (look - 0.43) + error
    return labels.reshape(-1, attributes), logits.reshape(-1, attributes), np.arange(people)


def sample_of(people: int, rng: np.random.Generator) -> Sample:
    labels, logits, each = simulate(people, 40, rng)
    return Sample(labels, logits, USUAL, np.repeat(each, 2))


def coverage(people: int, names: tuple[str, ...]) -> dict[str, float]:
    """The share of 2,000 simulated attributes whose interval holds the population's value."""
    labels, logits, each = simulate(100_000, 1, np.random.default_rng(0))
    population = Sample(labels, logits, USUAL[:1], np.repeat(each, 2)).judge(np.ones((1, 100_000)))
    rng, held = np.random.default_rng(1), {name: [] for name in names}
    for seed in range(50):
        sample = sample_of(people, rng)
        draws, value = bootstrap.resample(sample, 240, seed), sample.judge(np.ones((1, people)))
        for name in names:
            low, high = bootstrap.interval(name, draws[name], value[name][0], people)
            held[name].append((low <= population[name]) & (population[name] <= high))
    return {name: float(np.mean(shares)) for name, shares in held.items()}


def test_intervals_over_200_people_hold_the_truth_in_93_to_97_of_100_draws():
    for name, share in coverage(200, ("accuracy", "balanced_accuracy", "f1", "auroc")).items():
        assert 0.93 <= share <= 0.97, name


def test_intervals_over_15_people_hold_the_truth_as_often_as_documented():
    for name, share in coverage(15, ("accuracy", "balanced_accuracy", "auroc")).items():
        assert 0.87 <= share <= 0.96, name


def test_pictures_of_one_person_are_drawn_together():
    """Copies of every picture say nothing new: they leave the intervals as they were."""
    labels, logits, each = simulate(30, 40, np.random.default_rng(0))
    once = Sample(labels, logits, USUAL, np.repeat(each, 2))
    twice = Sample(
        np.tile(labels, (2, 1)), np.tile(logits, (2, 1)), USUAL, np.tile(np.repeat(each, 2), 2)
    )
    found = [bootstrap.resample(sample, 20, 3) for sample in (once, twice)]
    for name in METRICS:
        np.testing.assert_allclose(found[0][name], found[1][name], atol=1e-9, err_msg=name)


def test_more_draws_begin_with_the_same_draws():
    few, many = (np.concatenate(list(bootstrap.weights(7, draws, seed=5))) for draws in (20, 50))
    np.testing.assert_array_equal(few, many[:20])
    assert (many.sum(axis=1) == 7).all()


def test_another_seed_draws_other_people():
    first, second = (next(bootstrap.weights(50, 16, seed)) for seed in (1, 2))
    assert (first != second).any()


def test_unknown_people_are_each_their_own_unit_and_known_ones_share_theirs():
    units = bootstrap.unit_numbers(np.array([7, -1, 7, -1, 3]))
    assert units[0] == units[2]
    assert len(set(units.tolist())) == 4
    assert sorted(set(units.tolist())) == [0, 1, 2, 3]


@pytest.mark.parametrize("units", [15, 200])
def test_an_interval_is_wider_than_the_percentiles_for_few_units(units):
    draws = np.random.default_rng(0).normal(0.8, 0.01, (4000, 1))
    low, high = bootstrap.interval("accuracy", draws, np.array([0.8]), units)
    plain = np.quantile(draws, [0.025, 0.975])
    ratio = (high[0] - low[0]) / (plain[1] - plain[0])
    assert (1.08 < ratio < 1.2) if units == 15 else (1.0 < ratio < 1.02)


def test_a_metric_without_meaning_or_a_single_person_has_no_interval():
    draws = np.array([[np.nan, 0.1], [np.nan, np.nan], [np.nan, 0.3]])
    low, high = bootstrap.interval("auroc", draws, np.array([np.nan, 0.2]), 100)
    assert np.isnan([low[0], high[0]]).all()
    assert 0.1 <= low[1] < high[1] <= 0.3
    alone = bootstrap.interval("auroc", np.full((3, 1), 0.5), np.array([0.5]), 1)
    assert np.isnan(alone).all()
