"""Class activation maps: evidence for the prediction that was made, also where it is "no"."""

import pytest
import torch
from torch import nn

from pipeline.core.evaluation.class_activation import class_activation_maps, last_features
from pipeline.core.networks import Output


class Average(nn.Module):
    """The image's first channel, averaged, times a weight for each attribute."""

    def __init__(self, weights: list[float], bias: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Identity()
        self.head = nn.Linear(1, len(weights))
        self.head.weight.data = torch.tensor(weights)[:, None]
        self.head.bias.data.fill_(bias)

    def forward(self, images):
        return Output(self.head(self.body(images).mean((2, 3))))


def patches():
    """A bright patch at the left, a dark one at the right."""
    image = torch.zeros(1, 1, 4, 6)
    image[..., 1, 1], image[..., 2, 4] = 3.0, -1.0
    return image


def maps_of(network, images):
    return class_activation_maps(network.eval(), last_features(network), images)


@pytest.mark.parametrize(
    ("weight", "bias", "place", "reason"),
    [
        (2.0, 0.0, (1, 1), "yes: the bright patch speaks for it"),
        (-2.0, 0.0, (1, 1), "no: the bright patch speaks for the no"),
        (2.0, -5.0, (2, 4), "no, by the bias: only the dark patch speaks for it"),
        (-2.0, 5.0, (2, 4), "yes, by the bias: only the dark patch speaks for it"),
    ],
)
def test_a_map_lies_where_the_evidence_for_the_prediction_is(weight, bias, place, reason):
    (found,) = maps_of(Average([weight], bias), patches())[0]
    assert [tuple(where) for where in found.nonzero().tolist()] == [place], reason


def test_contributions_add_up_to_the_logit():
    network, images = Average([2.0, -2.0]), patches().abs()
    maps = maps_of(network, images)
    torch.testing.assert_close(maps.sum((2, 3)), network(images).logits.abs())


def test_nothing_of_the_network_changes():
    network, images = Average([1.0]), patches()
    before = network(images).logits
    maps_of(network, images)
    assert network.head.weight.grad is None
    assert not network.body._forward_hooks
    torch.testing.assert_close(network(images).logits, before)
