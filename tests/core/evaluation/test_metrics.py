"""Metrics against scikit-learn, and weighted metrics against those of repeated faces."""

from itertools import pairwise

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.core.classification import (
    NEED_BOTH,
    NEED_NEGATIVES,
    NEED_POSITIVES,
    enough_faces,
)
from pipeline.core.evaluation import metrics, thresholds
from pipeline.core.evaluation.mask_metrics import MaskCounts
from pipeline.core.evaluation.metrics import BOOTSTRAPPED, METRICS


def attribute_by_sklearn(labels, logits, threshold) -> dict[str, float]:
    """One attribute's metrics by scikit-learn; NaN where a class that is needed is absent."""
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    predicted = probability > threshold
    both = bool(labels.any() and not labels.all())
    quiet = {"zero_division": 0}
    edges = np.linspace(0, 1, metrics.BINS + 1)
    ece = 0.0
    for low, high in pairwise(edges):
        inside = (probability >= low) & (probability < high)
        if inside.any():
            ece += inside.mean() * abs(labels[inside].mean() - probability[inside].mean())
    values = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "accuracy_positives": reference.recall_score(labels, predicted, **quiet),
        "accuracy_negatives": reference.recall_score(~labels, ~predicted, **quiet),
        "precision": reference.precision_score(labels, predicted, **quiet),
        "recall": reference.recall_score(labels, predicted, **quiet),
        "f1": reference.f1_score(labels, predicted, **quiet),
        "brier": reference.brier_score_loss(labels, probability),
        "log_loss": reference.log_loss(labels, probability, labels=[False, True]),
        "ece": ece,
    }
    if labels.any():
        values["average_precision"] = reference.average_precision_score(labels, logits)
    if both:
        values["balanced_accuracy"] = reference.balanced_accuracy_score(labels, predicted)
        values["mcc"] = reference.matthews_corrcoef(labels, predicted)
        values["auroc"] = reference.roc_auc_score(labels, logits)
    if not labels.any():
        values |= dict.fromkeys(NEED_POSITIVES | NEED_BOTH, np.nan)
    if labels.all():
        values |= dict.fromkeys(NEED_NEGATIVES | NEED_BOTH, np.nan)
    return values


def assert_as_sklearn(labels, logits, thresholds) -> None:
    found = metrics.measure(labels, logits, thresholds)
    for a in range(labels.shape[1]):
        expected = attribute_by_sklearn(labels[:, a], logits[:, a], thresholds[a])
        for name in METRICS:
            assert found[name][a] == pytest.approx(expected[name], abs=2e-6, nan_ok=True), (name, a)


@st.composite
def predictions(draw):
    """Labels (N, A) of any rate, 0 and 1 included, and logits with ties and with none."""
    images, attributes = draw(st.integers(1, 40)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rates = draw(
        st.lists(st.sampled_from([0, 0.05, 0.5, 0.9, 1]), min_size=attributes, max_size=attributes)
    )
    labels = rng.random((images, attributes)) < rates
    steps = draw(st.sampled_from([1, 3, 1000]))  # 1: many ties
    logits = np.round(rng.normal(0, 2, labels.shape) * steps) / steps + 0.013
    cut_offs = draw(
        st.lists(st.sampled_from([0.2, 0.5, 0.9]), min_size=attributes, max_size=attributes)
    )
    return labels, logits.astype(np.float32), np.array(cut_offs)


@hypothesis_settings(max_examples=60)
@given(predictions())
def test_metrics_are_scikit_learns_with_ties_and_absent_classes(drawn):
    assert_as_sklearn(*drawn)


def test_logits_too_large_for_a_sigmoid_keep_their_order():
    logits = np.array([[40.0], [41.0], [90.0], [400.0]], np.float32)
    labels = np.array([[False], [True], [False], [True]])
    assert metrics.measure(labels, logits, np.array([0.5]))["auroc"][0] == pytest.approx(0.75)


@hypothesis_settings(max_examples=60)
@given(predictions(), st.integers(0, 2**32 - 1))
def test_weighted_metrics_are_those_of_faces_repeated(drawn, seed):
    labels, logits, cut_offs = drawn
    rng = np.random.default_rng(seed)
    clusters = np.unique(rng.integers(0, 8, len(labels)), return_inverse=True)[1]
    sample = metrics.Sample(labels, logits, cut_offs, clusters)
    weights = rng.integers(0, 4, (3, sample.clusters)).astype(float)
    weights[0] = 1  # every face once
    weights[1, 0] = max(weights[1, 0], 1)
    weights[2, -1] = max(weights[2, -1], 1)
    found = sample.evaluate(weights)
    for row, weight in enumerate(weights):
        rows = np.repeat(np.arange(len(labels)), weight[clusters].astype(int))
        expected = metrics.measure(labels[rows], logits[rows], cut_offs)
        for name in BOOTSTRAPPED:
            np.testing.assert_allclose(found[name][row], expected[name], atol=2e-6, err_msg=name)


def test_an_attribute_with_too_few_faces_of_a_class_is_not_included():
    labels = np.zeros((30, 4), bool)
    labels[:10, 0], labels[:9, 1], labels[:20, 2], labels[:21, 3] = True, True, True, True
    assert enough_faces(labels, 10).tolist() == [True, False, True, False]


@hypothesis_settings(max_examples=20)
@given(predictions())
def test_a_chosen_threshold_has_the_best_balanced_accuracy_of_all(drawn):
    labels, logits, _ = drawn
    chosen = thresholds.best_on_valid(labels, logits, min_class=1)
    for a in np.flatnonzero(enough_faces(labels, 1)):
        reached = balanced_accuracy(labels[:, a], logits[:, a], chosen[a])
        others = np.linspace(0.001, 0.999, 199)
        best = max(balanced_accuracy(labels[:, a], logits[:, a], other) for other in others)
        assert reached >= best - 1e-12


def balanced_accuracy(labels, logits, threshold) -> float:
    predicted = metrics.probabilities(logits) > threshold
    return (predicted[labels].mean() + (~predicted[~labels]).mean()) / 2


def test_an_attribute_without_enough_valid_faces_keeps_the_default_threshold():
    rng = np.random.default_rng(0)
    labels = rng.random((50, 2)) < [0.5, 0.0]
    assert thresholds.best_on_valid(labels, rng.normal(3, 1, (50, 2)), 10)[1] == 0.5


def test_a_threshold_is_found_however_small_all_probabilities_are():
    labels = np.repeat([False, True], 20)[:, None]
    logits = np.where(labels, -16.0, -18.0).astype(np.float32)  # probabilities below 2e-7
    chosen = thresholds.best_on_valid(labels, logits, min_class=10)
    assert 0 < chosen[0] < 2e-7
    assert balanced_accuracy(labels[:, 0], logits[:, 0], chosen[0]) == 1


def test_mask_metrics_count_every_pixel_of_every_batch():
    rng = np.random.default_rng(3)
    inside = rng.random((10, 3, 6, 5)) < 0.4
    labels = rng.random((10, 3)) < 0.6
    labels[:, 2] = False  # an attribute that no face has
    targets = inside & labels[:, :, None, None]
    maps = rng.normal(0.5, 1, targets.shape)
    counts = MaskCounts(3)
    for part in (slice(0, 7), slice(7, 10)):
        counts.add(*(torch.from_numpy(values[part]) for values in (maps, inside, labels)))
    found, predicted = counts.metrics(), maps > 0.5
    for a in range(3):
        truth, guess = targets[:, a].reshape(10, -1), predicted[:, a].reshape(10, -1)
        assert found["pixel_accuracy"][a] == pytest.approx((truth == guess).mean())
        assert found["pixel_accuracy_empty"][a] == pytest.approx((~truth).mean())
        expected = reference.jaccard_score(truth.ravel(), guess.ravel(), zero_division=0)
        assert found["iou"][a] == pytest.approx(expected)
        masked = truth.any(axis=1)
        assert found["positives"][a] == masked.sum()
        each = [
            reference.jaccard_score(t, g) for t, g in zip(truth[masked], guess[masked], strict=True)
        ]
        expected = np.mean(each) if each else np.nan
        assert found["iou_positives"][a] == pytest.approx(expected, nan_ok=True)


def test_map_energy_is_the_share_inside_the_regions_of_positives_and_of_negatives():
    inside = np.zeros((3, 1, 2, 2), bool)
    inside[:2, 0, 0] = True  # the upper half; the third face's regions are hidden
    maps = np.zeros((3, 1, 2, 2), np.float32)
    maps[0, 0] = [[3, 0], [1, -9]]  # what is below 0 is no energy
    maps[1, 0] = [[0, 1], [4, 0]]
    maps[2, 0] = 1
    counts = MaskCounts(1)
    counts.add(*map(torch.from_numpy, (maps, inside, np.array([[True], [False], [True]]))))
    found = counts.metrics()
    assert found["map_energy_positives"] == pytest.approx(3 / 4)
    assert found["map_energy_negatives"] == pytest.approx(1 / 5)
    assert found["map_energy_uniform"] == pytest.approx(1 / 2)
    counts = MaskCounts(1)
    counts.add(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2) > 0, torch.ones(1, 1) > 0)
    assert np.isnan(counts.metrics()["map_energy_positives"])
