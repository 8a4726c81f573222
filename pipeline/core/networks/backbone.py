"""The baseline: any convolutional or hierarchical network of timm, with a head for attributes."""

from torch import Tensor, nn
from torch.nn.functional import interpolate

from pipeline.core.model_settings import ModelSettings
from pipeline.core.networks.body import OnBody
from pipeline.core.networks.output import Output


class Backbone(OnBody):
    """A timm network's last feature map, averaged, into one linear layer.

    With a mask loss, a 1×1 convolution turns the same feature map into a map an attribute, and one
    more each finer map, down to ``map_stride``, to which they are added up (as the skips of Long,
    Shelhamer and Darrell, "Fully convolutional networks", CVPR 2015). With a ``frozen`` body the
    linear layer and these convolutions are all that learns.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        attributes, masks = len(settings.attributes), settings.segmentation_weight > 0
        shapes = self.add_body(settings, settings.map_stride if masks else None)
        *finer, last = [channels for channels, _, _ in shapes]
        self.masks = nn.Conv2d(last, attributes, 1) if masks else None
        self.finer_masks = nn.ModuleList(nn.Conv2d(channels, attributes, 1) for channels in finer)
        self.attributes = nn.Linear(last, attributes)

    def forward(self, images: Tensor) -> Output:
        scales = self.scales(images)
        logits = self.attributes(scales[-1].mean((2, 3)))
        if self.masks is None:
            return Output(logits)
        maps: Tensor = self.masks(scales[-1])
        for convolution, finer in zip(reversed(self.finer_masks), scales[-2::-1], strict=True):
            maps = convolution(finer) + interpolate(maps, finer.shape[2:], mode="bilinear")
        return Output(logits, maps)


def from_settings(settings: ModelSettings) -> Backbone:
    return Backbone(settings)
