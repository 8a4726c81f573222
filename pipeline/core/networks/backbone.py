"""The baseline: any of torchvision's convolutional classifiers, with a head for attributes."""

from collections import OrderedDict

import torch
import torchvision
from torch import Tensor, nn

from pipeline.core.errors import UserError
from pipeline.core.model_settings import ModelSettings
from pipeline.core.networks.output import Output

HEADS = ("avgpool", "classifier", "fc", "head", "heads")


class Backbone(nn.Module):
    """A torchvision network's last feature map, averaged, into one linear layer.

    With ``masks``, a 1×1 convolution turns the same feature map into a map an attribute.
    """

    def __init__(self, name: str, attributes: int, size: tuple[int, int], masks: bool) -> None:
        super().__init__()
        self.body = body(name)
        channels = feature_channels(self.body, size, name)
        self.masks = nn.Conv2d(channels, attributes, 1) if masks else None
        self.attributes = nn.Linear(channels, attributes)

    def forward(self, images: Tensor) -> Output:
        features = self.body(images)
        maps = self.masks(features) if self.masks is not None else None
        return Output(self.attributes(features.mean((2, 3))), maps)


def from_settings(settings: ModelSettings) -> Backbone:
    size, masks = settings.input_size, settings.segmentation_weight > 0
    return Backbone(settings.backbone, len(settings.attributes), size, masks)


def body(name: str, until: tuple[str, ...] = HEADS) -> nn.Sequential:
    """Torchvision's network ``name`` up to the child before the first of ``until``.

    Its parameters keep torchvision's names. The weights are random.
    """
    if name not in torchvision.models.list_models(module=torchvision.models):
        raise UserError(
            f"there is no network {name!r} in torchvision; set `backbone` to one that"
            " torchvision.models.list_models() names, such as resnet18 or convnext_tiny"
        )
    children: OrderedDict[str, nn.Module] = OrderedDict()
    for child, module in torchvision.models.get_model(name, weights=None).named_children():
        if child in until:
            break
        children[child] = module
    return nn.Sequential(children)


def feature_channels(features: nn.Module, size: tuple[int, int], name: str) -> int:
    """Channels of the map that ``features`` makes of an image; ``UserError`` if it makes none."""
    features.eval()
    try:
        with torch.no_grad():
            shape = features(torch.zeros(1, 3, *size)).shape
    except (AssertionError, RuntimeError, TypeError, ValueError):
        shape = torch.Size()
    features.train()
    if len(shape) != 4:
        raise UserError(
            f"{name} makes no feature map of a {size[0]}×{size[1]} image; set `backbone` to a"
            " convolutional network, such as resnet18 or convnext_tiny"
        )
    return shape[1]
