"""Temperatures: the best on valid, in the weights, and so in all that is made of these."""

import json

import numpy as np
import pytest
import torch
from scipy.special import expit
from small_training import SIZE, settings, train_small, valid_predictions, weights, write_data

from pipeline.core.networks import build
from pipeline.core.networks.exclusive import log_odds
from pipeline.core.networks.weights import read_metadata
from pipeline.core.training.last_layer import divide_logits, read_outputs, temperatures
from pipeline.core.training.loaders import FaceBatches


def test_a_temperature_is_the_one_by_which_logits_are_too_large():
    random = np.random.default_rng(2)
    calibrated = random.normal(-1, 2, (40_000, 3))
    labels = random.random(calibrated.shape) < expit(calibrated)
    factors = np.array([3.0, 1.0, 0.4])
    np.testing.assert_allclose(temperatures(labels, calibrated * factors), factors, rtol=0.04)


def test_exclusive_attributes_have_the_temperature_by_which_their_softmax_is_too_sharp():
    random = np.random.default_rng(2)
    calibrated = random.normal(0, 2, (20_000, 4))
    drawn = np.log(random.exponential(size=(20_000, 3)))  # the Gumbel-max trick
    labels = np.zeros((20_000, 4), np.int8)
    labels[np.arange(20_000), np.argmax(calibrated[:, :3] - drawn, axis=1)] = 1
    labels[:, 3] = random.random(20_000) < expit(calibrated[:, 3])
    labels[:50, :3] = -1
    logits = log_odds(torch.from_numpy(calibrated * [3, 3, 3, 0.5]), [[0, 1, 2]]).numpy()
    found = temperatures(labels, logits, [[0, 1, 2]])
    np.testing.assert_allclose(found, [3, 3, 3, 0.5], rtol=0.04)
    labels[9:, :3] = -1
    assert (temperatures(labels, logits, [[0, 1, 2]])[:3] == 1).all()


def test_no_other_temperature_has_a_lower_log_loss():
    random = np.random.default_rng(3)
    labels = random.random((60, 1)) < 0.3
    logits = random.normal(0, 2, (60, 1)) + np.where(labels, 3, -3)

    def loss(temperature):
        p = expit(np.where(labels, logits, -logits) / temperature)
        return -np.log(p).mean()

    best = loss(temperatures(labels, logits)[0])
    assert best <= min(loss(other) for other in np.geomspace(0.05, 20, 400)) + 1e-9


def test_an_attribute_with_few_faces_of_a_class_keeps_its_logits():
    labels = np.zeros((50, 3), bool)
    labels[:9, 0], labels[:10, 1], labels[:41, 2] = True, True, True
    logits = np.random.default_rng(0).normal(0, 5, labels.shape)
    assert (temperatures(labels, logits) == 1).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("network", "changes"),
    [
        ("attparsenet", {}),
        ("backbone", {}),
        ("cnn_rnn", {"segmentation_weight": 0, "input_size": [64, 64]}),
        ("mask_guided", {"mask_loss": "bce_dice"}),
    ],
)
def test_every_networks_logits_are_divided_and_no_more(network, changes):
    torch.manual_seed(0)
    model = build(settings(network=network, **changes)).eval()
    images = torch.rand(2, 3, *changes.get("input_size", SIZE))
    with torch.no_grad():
        before = model(images).logits
        divide_logits(model, np.array([2.0, 0.5, 1.0]))
        after = model(images).logits
    torch.testing.assert_close(after * torch.tensor([2.0, 0.5, 1.0]), before)


def test_features_stay_in_memory_only_where_they_are_asked_for():
    class Grey:
        def image(self, row):
            return np.full((*SIZE, 3), row, np.uint8)

    faces = FaceBatches(Grey(), np.zeros((5, 3), np.int8), None)
    given = build(settings()), settings(), faces, np.arange(5), torch.device("cpu"), 0
    without, with_features = read_outputs(*given), read_outputs(*given, features=True)
    assert without.features.shape == (5, 0)
    assert with_features.features.shape == (5, 3 * 9 * 7)
    np.testing.assert_array_equal(without.logits, with_features.logits)


def test_the_weights_of_a_calibrated_training_are_those_of_the_epoch_with_temperatures(tmp_path):
    write_data(tmp_path, valid_faces=60)
    train_small(tmp_path, tmp_path / "plain", epochs=1)
    train_small(tmp_path, tmp_path / "calibrated", epochs=1, calibration="temperature")
    labels, logits = valid_predictions(tmp_path, tmp_path / "plain")
    expected = temperatures(labels, logits)
    assert (expected != 1).all()
    account = json.loads((tmp_path / "calibrated/run.json").read_text())
    np.testing.assert_allclose(list(account["temperatures"].values()), expected, rtol=1e-3)
    _, divided = valid_predictions(tmp_path, tmp_path / "calibrated")
    np.testing.assert_allclose(divided, logits / expected, rtol=1e-3, atol=1e-5)
    plain, calibrated = (weights(tmp_path / name) for name in ("plain", "calibrated"))
    assert [n for n in plain if not torch.equal(plain[n], calibrated[n])] == [
        "attributes.bias",
        "attributes.weight",
    ]
    assert read_metadata(tmp_path / "calibrated/weights.safetensors")["trained_on"]
