"""CNN + RNN with attention (github.com/devarashs/facial_attribute_classification), mended.

ResNet-18 up to layer3 sees 14×14 places; a bidirectional LSTM reads them in order, row by row;
self-attention relates them; their mean decides. The published code mixed channels with places
when it cut the map into a sequence; here each place stays itself.
"""

from collections import OrderedDict
from typing import Self

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from pipeline.core.model_settings import ModelSettings
from pipeline.core.networks.output import Output

GRID = (14, 14)
CHANNELS = 256


class CnnRnn(nn.Module):
    """The first ``frozen_layers`` of ResNet-18's children keep the weights they start from.

    Published: 5 of them (up to layer1), which start from ImageNet. Images of any size; 224×224
    gives 14×14 places, others are averaged or spread to that.
    """

    def __init__(self, attributes: int, frozen_layers: int) -> None:
        super().__init__()
        self.body = resnet18()
        self.frozen = list(self.body.children())[:frozen_layers]
        for child in self.frozen:
            child.requires_grad_(False)
        self.sequence = nn.LSTM(CHANNELS, CHANNELS // 2, batch_first=True, bidirectional=True)
        self.attention = nn.MultiheadAttention(CHANNELS, num_heads=4, batch_first=True)
        self.attributes = nn.Sequential(
            nn.Linear(CHANNELS, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, attributes)
        )
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Frozen layers keep their batch statistics too, not only their weights."""
        super().train(mode)
        for child in self.frozen:
            child.eval()
        return self

    def forward(self, images: Tensor, attention: bool = False) -> Output:
        """With ``attention``, also how much each place was attended to, (B, 14, 14), sum 1."""
        features = self.body(images)
        if tuple(features.shape[2:]) != GRID:
            features = adaptive_avg_pool2d(features, GRID)
        places, _ = self.sequence(features.flatten(2).transpose(1, 2))
        related, weights = self.attention(places, places, places, need_weights=attention)
        logits = self.attributes(related.mean(1))
        if not attention:
            return Output(logits)
        return Output(logits, attention=torch.unflatten(weights.mean(1), 1, GRID))


def from_settings(settings: ModelSettings) -> CnnRnn:
    begun = settings.pretrained or settings.initial_weights
    return CnnRnn(len(settings.attributes), settings.frozen_layers if begun else 0)


def resnet18() -> nn.Sequential:
    """ResNet-18 up to layer3, with torchvision's names; the weights are random."""
    *kept, _layer4, _average, _head = torchvision.models.resnet18(weights=None).named_children()
    return nn.Sequential(OrderedDict(kept))
