"""The networks and their weights: nn.Modules belong here; no data, and no I/O but weights.

``build`` makes one from a model's settings; ``weights`` keeps them and reads them back. May use the
ground floor alone.
"""

from typing import Any

from torch import nn

from pipeline.core.errors import UserError
from pipeline.core.networks.attparsenet import AttParseNet
from pipeline.core.networks.backbone import Backbone
from pipeline.core.networks.cnn_rnn import CnnRnn
from pipeline.core.networks.output import Output

__all__ = ["Output", "build"]


def build(settings: dict[str, Any]) -> nn.Module:
    """The network that a model's settings describe, with random weights from torch's generator.

    Its ``forward`` takes images (B, 3, height, width), as ``transforms.prepare`` makes them, and
    returns an ``Output``. Settings that fit no network are a ``UserError``.
    """
    kind, size = settings["network"], tuple(settings["input_size"])
    count = len(settings["attributes"])
    masks = settings["segmentation_weight"] > 0
    if kind == "attparsenet":
        if min(size) < 28:
            raise UserError(f"attparsenet needs an `input_size` of at least 28×28, not {size}")
        return AttParseNet(count, size, settings["width"])
    if kind == "cnn_rnn":
        begun = settings["pretrained"] or settings["initial_weights"]
        return CnnRnn(count, settings["frozen_layers"] if begun else 0)
    if kind == "backbone":
        return Backbone(settings["backbone"], count, size, masks)
    raise UserError(f"there is no network {kind!r}: choose attparsenet, cnn_rnn or backbone")
