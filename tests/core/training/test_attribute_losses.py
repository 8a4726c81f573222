"""The attribute losses are their papers' formulas, written here by probability in float64."""

import numpy as np
import pytest
import torch
from small_training import settings, train_small, weights, write_data
from torchvision.ops import sigmoid_focal_loss

from pipeline.core.networks.exclusive import log_odds
from pipeline.core.training.attribute_losses import AttributeLoss, class_weights

COUNTS = np.array([[90, 50, 999], [10, 50, 1]])


def losses(logits, targets, **changes):
    return AttributeLoss(settings(**changes), COUNTS)(logits, targets)


@pytest.fixture
def sample():
    random = np.random.default_rng(4)
    logits = torch.from_numpy(random.normal(0, 3, (50, 3)).astype(np.float32))
    return logits, torch.from_numpy((random.random((50, 3)) < 0.5).astype(np.float32))


def by_probability(logits, targets):
    p, y = logits.double().sigmoid().numpy(), targets.bool().numpy()
    return p, y, np.where(y, p, 1 - p)


def test_class_balanced_weighs_by_the_effective_number_of_faces(sample):
    _, y, true = by_probability(*sample)
    beta = 0.99
    weight = (1 - beta) / (1 - beta**COUNTS)
    weight = 2 * weight / weight.sum(axis=0)
    found = losses(*sample, loss="class_balanced", loss_parameters={"beta": beta})
    expected = -np.log(true) * np.where(y, weight[1], weight[0])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(weight[1, 1], 1)  # as many of both


def test_the_weights_go_from_even_to_the_inverse_of_the_faces():
    np.testing.assert_allclose(class_weights(COUNTS, 0), 1)
    near_one = class_weights(COUNTS, 1 - 1e-9)
    np.testing.assert_allclose(near_one[1] / near_one[0], COUNTS[0] / COUNTS[1], rtol=1e-5)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, None), (0.5, None), (2.0, 0.25)])
def test_focal_is_torchvisions(sample, gamma, alpha):
    found = losses(*sample, loss="focal", loss_parameters={"gamma": gamma, "alpha": alpha})
    expected = sigmoid_focal_loss(*sample, alpha=-1 if alpha is None else alpha, gamma=gamma)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("margin", [0.05, 0.0])
def test_asymmetric_forgives_sure_negatives_and_weighs_the_others(sample, margin):
    p, y, _ = by_probability(*sample)
    parameters = {"gamma_positives": 1.0, "gamma_negatives": 4.0, "margin": margin}
    found = losses(*sample, loss="asymmetric", loss_parameters=parameters)
    shifted = np.maximum(p - margin, 0)
    expected = np.where(y, -(1 - p) * np.log(p), -(shifted**4) * np.log(1 - shifted))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    assert (np.asarray(found)[~y & (p < margin)] == 0).all()


def test_logit_adjustment_adds_the_log_odds_of_train(sample):
    logits, targets = sample
    found = losses(logits, targets, logit_adjustment=0.5)
    moved = logits.double() + 0.5 * torch.tensor(np.log(COUNTS[1] / COUNTS[0]))
    _, _, true = by_probability(moved, targets)
    np.testing.assert_allclose(found, -np.log(true), rtol=1e-4, atol=1e-6)


def test_the_minimum_of_the_adjusted_loss_is_the_log_odds_beyond_those_of_train():
    """An attribute that train's rate says all about has a logit of 0, on either side of 0.5."""
    logit = torch.zeros(1, 1, requires_grad=True)
    loss = AttributeLoss(settings(attributes=["Male"], logit_adjustment=1.0), COUNTS[:, :1])
    targets = torch.cat([torch.zeros(90, 1), torch.ones(10, 1)])
    loss(logit.expand(100, 1), targets).sum().backward()
    assert logit.grad.item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", ["bce", "class_balanced", "focal", "asymmetric"])
def test_the_surest_logits_have_finite_losses_and_gradients(name):
    logits = torch.tensor([[-200.0, 200.0, 0.0], [200.0, -200.0, 0.0]], requires_grad=True)
    parameters = {"gamma": 0.5, "gamma_negatives": 0.5, "gamma_positives": 0.5, "margin": 0.0}
    found = losses(logits, torch.tensor([[0.0, 1, 1], [0, 1, 1]]), loss=name,
                   loss_parameters=parameters, logit_adjustment=1.0)  # fmt: skip
    found.sum().backward()
    assert bool(found.isfinite().all())
    assert bool(logits.grad.isfinite().all())
    assert bool((found >= 0).all())


def test_each_loss_teaches_other_weights(tmp_path):
    write_data(tmp_path)
    changes = [{"loss": name} for name in ("bce", "class_balanced", "focal", "asymmetric")]
    changes.append({"logit_adjustment": 1.0})
    found = set()
    for number, change in enumerate(changes):
        train_small(tmp_path, tmp_path / str(number), epochs=1, **change)
        found.add(float(weights(tmp_path / str(number))["attributes.weight"].double().sum()))
    assert len(found) == len(changes)


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_of_exclusive_attributes_the_loss_is_the_cross_entropy_of_their_softmax(tau):
    random = np.random.default_rng(5)
    raw = torch.from_numpy(random.normal(0, 2, (50, 4)).astype(np.float32))
    true = torch.from_numpy(random.integers(0, 3, 50))
    labels = torch.nn.functional.one_hot(true, 3).to(torch.int8)
    labels[::7] = -1  # nobody knows
    labels = torch.cat([labels, torch.ones(50, 1, dtype=torch.int8)], 1)
    counts = np.array([[95, 70, 35, 50], [5, 30, 65, 50]])
    made = settings(
        attributes=["Black_Hair", "Blond_Hair", "Gray_Hair", "Male"], logit_adjustment=tau,
        exclusive={"hair": ["Black_Hair", "Blond_Hair", "Gray_Hair"]},
    )  # fmt: skip
    loss = AttributeLoss(made, counts)
    logits = log_odds(raw, made.exclusive_columns)
    found = loss(logits, (labels == 1).float()) * loss.counted(labels)
    adjusted = raw[:, :3] + tau * torch.log(torch.from_numpy(counts[1, :3] / 100)).float()
    expected = torch.nn.functional.cross_entropy(adjusted, true, reduction="none")
    expected[::7] = 0
    torch.testing.assert_close(found[:, :3].sum(1), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(loss.counted(labels).sum(1), torch.where(labels[:, 0] < 0, 1, 2))


def test_the_gradient_of_a_softmax_stays_finite_where_one_of_it_is_certain():
    raw = torch.tensor([[80.0, -80.0, 0.0]], requires_grad=True)
    torch.nn.functional.softplus(-log_odds(raw, [[0, 1, 2]])[:, 1]).sum().backward()
    torch.testing.assert_close(raw.grad, torch.tensor([[1.0, -1.0, 0.0]]))
