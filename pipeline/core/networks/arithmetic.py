"""How much arithmetic a network is, as torch counts it."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.core.model_settings import ModelSettings
from pipeline.core.networks import build


def multiply_adds(settings: ModelSettings) -> int:
    """Multiply-adds of a network's forward pass, an image of ``settings.input_size``.

    Those of convolutions and matrix products, which are nearly all; on the meta device, where
    nothing is computed. Training takes about three times as many.
    """
    network = build(settings).to("meta")
    images = torch.empty(1, 3, *settings.input_size, device="meta")
    with FlopCounterMode(display=False) as counter:
        network(images)
    flops: int = counter.get_total_flops()
    return flops // 2
