"""Schedules, averages and the optimiser's groups do what the field means by their names."""

import pytest
import torch
from small_training import settings, train_small, weights, write_data
from torch import nn

from pipeline import train
from pipeline.core.training.optimization import Average, make_optimizer, warmup_cosine

NETWORK = {"network": "attparsenet", "input_size": [44, 40]}


def test_cosine_rises_linearly_to_the_learning_rate_and_falls_to_nothing():
    factors = [warmup_cosine(step, total=20, warmup=5) for step in range(21)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[5] == pytest.approx(1)
    assert factors[5:] == sorted(factors[5:], reverse=True)
    assert factors[5 + 15 // 3] == pytest.approx(0.75)
    assert factors[20] == pytest.approx(0)


def test_an_average_forgets_the_first_weights_soon_and_then_at_its_decay():
    network = nn.BatchNorm1d(1)
    average, expected = Average(network, decay=0.5), 1.0
    for step, weight in enumerate((2.0, 3.0, 5.0, 8.0, 9.0), start=1):
        nn.init.constant_(network.weight, weight)
        network.num_batches_tracked += 1
        average.update(network)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    assert average.network.weight.item() == pytest.approx(expected)
    assert average.network.num_batches_tracked == 5
    assert network.weight.item() == 9


def test_what_is_validated_and_kept_is_the_average(tmp_path):
    write_data(tmp_path)
    plain = train_small(tmp_path, tmp_path / "plain", epochs=1)
    averaged = train_small(tmp_path, tmp_path / "averaged", epochs=1, ema=0.9)
    assert averaged["train_loss"].tolist() == plain["train_loss"].tolist()
    assert averaged["valid_loss"].tolist() != plain["valid_loss"].tolist()
    kept, last = weights(tmp_path / "averaged"), weights(tmp_path / "plain")
    assert not torch.equal(kept["maps.0.weight"], last["maps.0.weight"])
    assert torch.equal(kept["maps.1.num_batches_tracked"], last["maps.1.num_batches_tracked"])


def groups(**optimizer):
    chosen = settings(**NETWORK, optimizer={"weight_decay": 0.05, **optimizer})
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    return [
        (group["weight_decay"], [tuple(weight.shape) for weight in group["params"]])
        for group in make_optimizer(network, chosen).param_groups
    ]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_biases_and_norms_have_no_weight_decay_where_that_is_asked_for(name):
    matrices, vectors = [(4, 3, 3, 3), (2, 4)], [(4,), (4,), (4,), (2,)]
    assert groups(name=name, decay_norms=False) == [(0.05, matrices), (0.0, vectors)]
    ((decay, shapes),) = groups(name=name)
    assert (decay, sorted(shapes)) == (0.05, sorted(matrices + vectors))


def test_no_step_is_longer_than_the_clipped_gradient_allows(tmp_path):
    write_data(tmp_path, train_faces=4)
    sgd = {"learning_rate": 1.0, "momentum": 0, "weight_decay": 0}
    for name, limit in (("clipped", 1e-3), ("free", None)):
        train_small(tmp_path, tmp_path / name, epochs=1, gradient_clip=limit, optimizer=sgd)
    torch.manual_seed(5)
    learned = dict(train.build(settings()).named_parameters())

    def length(name):
        after = weights(tmp_path / name)
        return sum(float((after[k] - v.detach()).square().sum()) for k, v in learned.items()) ** 0.5

    assert length("clipped") == pytest.approx(1e-3, rel=0.01)
    assert length("free") > 2e-3


def test_the_rate_of_one_cycle_ends_far_below_where_it_began(tmp_path):
    write_data(tmp_path)
    history = train_small(tmp_path, tmp_path, epochs=3, schedule={"name": "one_cycle"})
    rates = history["learning_rate"].tolist()
    assert rates[0] > rates[1] > rates[2]
    assert rates[2] < 0.01 / 25 / 100
