"""What a network costs an image is what its layers add up to, and what docs/models.md says."""

import pytest
import torch
import yaml
from conftest import ROOT, schema
from small_training import settings
from torch.utils.flop_counter import FlopCounterMode

from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.configuration import complete
from pipeline.core.model_settings import ModelSettings
from pipeline.core.networks import build


def multiply_adds(settings: ModelSettings) -> int:
    """Multiply-adds of a network's forward pass, an image of ``settings.input_size``.

    Those of convolutions and matrix products, which are nearly all; on the meta device, where
    nothing is computed.
    """
    network = build(settings).to("meta")
    images = torch.empty(1, 3, *settings.input_size, device="meta")
    with FlopCounterMode(display=False) as counter:
        network(images)
    return counter.get_total_flops() // 2


def test_multiply_adds_of_attparsenet_are_those_of_its_layers():
    published = {"width": 1.0, "attributes": list(ATTRIBUTES), "input_size": [218, 178]}
    layers = [(3, 75, 7, 212, 172), (75, 200, 3, 104, 84), (200, 300, 3, 102, 82)]
    layers += [(300, 512, 3, 100, 80), (512, 512, 3, 98, 78), (512, 40, 3, 96, 76)]
    convolutions = sum(a * b * k * k * h * w for a, b, k, h, w in layers)
    linear = 40 * 96 * 76 * 40
    assert multiply_adds(settings(**published)) == convolutions + linear == 36_548_066_544


def test_the_lstm_and_the_attention_of_the_cnn_rnn_count():
    chosen = settings(
        network="cnn_rnn", segmentation_weight=0, attributes=["Male"], input_size=[224, 224]
    )
    places, lstm = 196, 2 * 4 * 128 * (256 + 128)
    attention = 4 * 256 * 256 + 2 * 196 * 256
    head = 256 * 64 + 64
    blocks = 64 * 128 * 9 + 3 * 128 * 128 * 9 + 64 * 128  # layer2, and layer3 as many on a quarter
    resnet = 3 * 64 * 49 * 112**2 + 4 * 64 * 64 * 9 * 56**2 + 2 * blocks * 28**2
    assert multiply_adds(chosen) == resnet + places * (lstm + attention) + head


@pytest.mark.slow
def test_the_documents_have_what_each_published_model_costs():
    config = complete(yaml.safe_load((ROOT / "config.yaml").read_text()), schema())
    costs = {name: cost(model) for name, model in config["models"].items() if "_share_" not in name}
    table = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    rows = [
        f"| `{name}` | {parameters / 1e6:.1f} M | {arithmetic / 1e9:.2f} G |"
        f" {arithmetic / costs['attparsenet'][1]:.1%} |"
        for name, (parameters, arithmetic) in costs.items()
    ]
    assert [row for row in rows if row not in table] == []
    assert all(costs[name][1] < 0.05 * costs["attparsenet"][1] for name in ("fast", "best"))


def cost(model: dict) -> tuple[int, int]:
    """Parameters, and multiply-adds, of a model on faces of CelebA's size."""
    names = model["attributes"] or list(ATTRIBUTES)
    size = model["input_size"] or [218, 178]
    chosen = settings(**model | {"attributes": names, "input_size": size})
    return sum(w.numel() for w in build(chosen).parameters()), multiply_adds(chosen)
