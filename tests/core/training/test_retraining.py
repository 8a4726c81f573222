"""A last layer that leaves a rare group out learns it from few faces of each group."""

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.core.training.retraining import Examples, Row, fit, retrain
from pipeline.core.training.selection import worst_group_accuracy


def faces(rare, count=1000, seed=1):
    """Features: the attribute's own, weak, and a strong one of what goes with it mostly."""
    random = np.random.default_rng(seed)
    labels = random.random(count) < 0.5
    beside = labels ^ (random.random(count) < rare)
    own, strong = (2 * values[:, None] - 1 for values in (labels, beside))
    noise = random.normal(0, 1, (count, 6))
    noise[:, :1] += 2.0 * own
    noise[:, 1:2] += 3.0 * strong
    return 7 + 2 * noise, labels, (~labels * 2 + ~beside).astype(int)


SPURIOUS = Row(np.array([0.2, 2.0, 0, 0, 0, 0]), -0.2 * 7 - 2 * 7)


def worst(row, features, labels, groups):
    return worst_group_accuracy((features @ row.weight + row.bias > 0) == labels, groups)


def test_the_worst_group_of_other_faces_gains_much_and_the_features_stay():
    features, labels, groups = faces(rare=0.03)
    people = np.arange(len(labels)) // 2
    row, found = retrain(Examples(features, labels, groups), 4, people, SPURIOUS, seed=3)
    others = faces(rare=0.3, seed=2)
    assert worst(SPURIOUS, *others) < 0.4
    assert worst(row, *others) > 0.85
    assert found["faces_a_group"] == np.bincount(groups).min()
    again, _ = retrain(Examples(features, labels, groups), 4, people, SPURIOUS, seed=3)
    assert again.weight.tolist() == row.weight.tolist()


def test_a_large_penalty_keeps_the_trained_weights_and_none_forgets_them():
    features, labels, _ = faces(rare=0.5, count=300)
    far = fit(features, labels, Row(SPURIOUS.weight, 0.0), penalty=1e6)
    np.testing.assert_allclose(far.weight, SPURIOUS.weight, atol=1e-3)
    one, other = (fit(features - 7, labels, Row(w, 0.0), 1e-9) for w in (np.zeros(6), np.ones(6)))
    np.testing.assert_allclose(one.weight, other.weight, atol=0.02)


def test_a_group_of_too_few_faces_is_named():
    features, labels, groups = faces(rare=0.5, count=100)
    kept = np.concatenate([np.flatnonzero(groups > 0), np.flatnonzero(groups == 0)[:4]])
    examples = Examples(features, labels, groups).of(kept)
    with pytest.raises(UserError, match=r"have 4, \d+, \d+, \d+ valid faces"):
        retrain(examples, 4, np.arange(len(kept)), SPURIOUS, seed=0)


@pytest.mark.parametrize("empty", range(4))
def test_a_group_without_a_face_is_named_wherever_it_stands(empty):
    features, labels, groups = faces(rare=0.5, count=100)
    kept = np.flatnonzero(groups != empty)
    examples = Examples(features, labels, groups).of(kept)
    with pytest.raises(UserError, match=r"have (\d+, )*0(, \d+)* valid faces"):
        retrain(examples, 4, np.arange(len(kept)), SPURIOUS, seed=0)
