"""AttParseNet (Thom and Hand, 2020): maps of where each attribute shows decide on the attributes.

A plain convolutional network without padding ends in one map an attribute. The maps are trained
to be the attributes' masks, and one linear layer reads the attributes off them.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from pipeline.core.errors import UserError
from pipeline.core.model_settings import ModelSettings
from pipeline.core.networks.output import Output

CHANNELS = (75, 200, 300, 512, 512)
RARE = -3.0  # logit of a pixel's probability to be white where a map says nothing


class AttParseNet(nn.Module):
    """``width`` scales the published channels; 1.0 with 40 attributes has 16.3 M parameters.

    Takes images of ``size`` (height, width) only: 218×178 gives maps of 96×76. As published the
    maps are the last layer's values; with ``map_logits`` these, less a constant, are the logits of
    the maps: white pixels are rare, and the last layer's values are 0 on average (BatchNorm).
    """

    def __init__(
        self, attributes: int, size: tuple[int, int], width: float, map_logits: bool
    ) -> None:
        super().__init__()
        self.map_logits = map_logits
        channels = [max(1, round(width * published)) for published in CHANNELS]
        first, last = channels[0], channels[-1]
        layers = [nn.Conv2d(3, first, 7), nn.BatchNorm2d(first), nn.ReLU(), nn.MaxPool2d(2)]
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 3), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.Conv2d(last, attributes, 3), nn.BatchNorm2d(attributes)]
        self.maps = nn.Sequential(*layers)
        height, breadth = ((side - 6) // 2 - 5 * 2 for side in size)  # of the maps
        self.attributes = nn.Linear(attributes * height * breadth, attributes)

    def forward(self, images: Tensor) -> Output:
        maps = self.maps(images)
        logits = self.attributes(torch.flatten(maps, 1))
        if self.map_logits:
            return Output(logits, (maps + RARE).sigmoid(), mask_logits=maps + RARE)
        return Output(logits, maps)


def from_settings(settings: ModelSettings) -> AttParseNet:
    size = settings.input_size
    if min(size) < 28:
        raise UserError(f"attparsenet needs an `input_size` of at least 28×28, not {size}")
    map_logits = settings.mask_loss == "bce_dice"
    return AttParseNet(len(settings.attributes), size, settings.width, map_logits)
