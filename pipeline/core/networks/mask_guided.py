"""A small network that is guided by masks: it finds the face's regions, and reads attributes there.

A mask is ``label AND union of the attribute's regions``, so all masks ask for no more than the
regions and the labels. The network predicts a map of each region, and reads the attributes off
the features of the whole image and the features pooled over each region. Where an attribute shows
is then its probability times the union of its regions' maps.

After Kalayeh, Gong and Shah, "Improving facial attribute prediction using semantic segmentation"
(CVPR 2017), who gate and pool features by a segmentation of the face, and MGMTN, "Mask-guided
multi-task network for face attribute recognition" (arXiv 2601.01408). The encoder, the sides
that share their pooled features and the controls are this project's.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate, relu

from pipeline.core.attributes import REGIONS, AttributeSet
from pipeline.core.errors import UserError
from pipeline.core.masks.regions import MIRRORED
from pipeline.core.model_settings import ModelSettings
from pipeline.core.networks.body import OnBody
from pipeline.core.networks.output import Output

FINEST = 4  # stride of the maps, and of the finest features
GRID = (4, 3)  # cells of the pooling over a fixed grid, down and across


class MaskGuided(OnBody):
    """``pooling`` says what, beside the mean of the coarsest features, the attributes are read off.

    ``regions``: features pooled over each predicted region; ``mean_regions``: over the mean
    regions of the train split, the same for every face (``mean_regions``, which training fills
    in); ``grid``: over 4×3 cells; ``global``: nothing. The last three are controls, and so is
    ``regions`` without a region loss. With a region loss, or where regions are pooled over, the
    network predicts region maps; else it has no maps but those of ``mean_regions``.

    The maps have a quarter of the ``input_size``. ``backbone``: timm's network whose features at
    stride 4 and above it reads; None is an encoder of its own, with ``channels`` of the stem and of
    the three blocks, at strides 2, 4, 8 and 16. ``map_channels``: of the features that are pooled.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.pooling = pooling = settings.pooling
        table = AttributeSet(settings.attributes, settings.attribute_regions).table
        self.table: Tensor
        self.sides: Tensor
        self.register_buffer("table", torch.from_numpy(table).float(), persistent=False)
        self.register_buffer("sides", sides_together(), persistent=False)
        if settings.backbone:
            shapes = self.add_body(settings, FINEST)
            widths, maps = [shape[0] for shape in shapes], tuple(shapes[0][1:])
        else:
            self.encoder = Encoder(settings.channels)
            widths, maps = list(settings.channels[1:]), map_size(settings.input_size)
        self.mean_regions: Tensor | None
        mean = torch.zeros(len(REGIONS), *maps) if pooling == "mean_regions" else None
        self.register_buffer("mean_regions", mean)
        self.laterals = self.regions = None
        region_loss, map_channels = settings.segmentation_weight > 0, settings.map_channels
        if region_loss or pooling != "global":
            self.laterals = nn.ModuleList(nn.Conv2d(c, map_channels, 1) for c in widths)
        if region_loss or pooling == "regions":
            self.regions = nn.Sequential(
                nn.Conv2d(map_channels, map_channels, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(map_channels, len(REGIONS), 1),
            )
        places = {"global": 0, "grid": GRID[0] * GRID[1]}.get(pooling, len(self.sides))
        self.dropout = nn.Dropout(settings.dropout)
        self.attributes = nn.Linear(widths[-1] + places * map_channels, len(table))

    def forward(self, images: Tensor) -> Output:
        scales = self.encoder(images) if self.body is None else self.scales(images)
        read = scales[-1].mean((2, 3))
        region_logits = region_maps = maps = None
        if self.laterals is not None:
            features = self.added_up(scales)
            if self.regions is not None:
                region_logits = self.regions(features)
                region_maps = region_logits.sigmoid()
            elif self.mean_regions is not None:
                region_maps = self.mean_regions.expand(images.shape[0], -1, -1, -1)
            if self.pooling != "global":
                read = torch.cat([read, self.pooled(features, region_maps)], 1)
        logits = self.attributes(self.dropout(read))
        if region_maps is not None:
            maps = logits.sigmoid()[:, :, None, None] * union(region_maps, self.table)
        return Output(logits, maps, region_maps=region_maps, mask_logits=region_logits)

    def added_up(self, scales: list[Tensor]) -> Tensor:
        """Features (B, map_channels, h, w) at the finest of the scales, from all of them."""
        assert self.laterals is not None
        features = self.laterals[-1](scales[-1])
        for lateral, finer in zip(self.laterals[-2::-1], scales[-2::-1], strict=True):
            features = interpolate(features, finer.shape[2:]) + lateral(finer)
        return relu(features)

    def pooled(self, features: Tensor, region_maps: Tensor | None) -> Tensor:
        """Features (B, map_channels, h, w) at their places: (B, places × map_channels)."""
        if self.pooling == "grid":
            return adaptive_avg_pool2d(features, GRID).flatten(1)
        if self.mean_regions is not None:
            region_maps = self.mean_regions.expand(features.shape[0], -1, -1, -1)
        assert region_maps is not None
        weights = torch.einsum("brhw,pr->bphw", region_maps, self.sides)
        weights = weights / (weights.sum((2, 3), keepdim=True) + 1)
        return torch.einsum("bchw,bphw->bpc", features, weights.to(features.dtype)).flatten(1)


def from_settings(settings: ModelSettings) -> MaskGuided:
    if min(settings.input_size) < 16:
        raise UserError(
            f"mask_guided needs an `input_size` of at least 16×16, not {settings.input_size}"
        )
    return MaskGuided(settings)


class Encoder(nn.Module):
    """Images (B, 3, H, W) to features at strides 4, 8 and 16, the finest first.

    Where the side is halved the kernel is even: each cell then sees the pixels about its own
    square, so that maps lie where the masks do, at the left of a face as at its right.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.stem = convolution(3, channels[0], kernel=6, stride=2)
        self.blocks = nn.ModuleList(
            nn.Sequential(convolution(before, after, 4, 2), convolution(after, after, 3, 1))
            for before, after in pairwise(channels)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        scales = [self.stem(images)]
        for block in self.blocks:
            scales.append(block(scales[-1]))
        return scales[1:]


def convolution(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    """A convolution with BatchNorm and ReLU; a side becomes a ``stride``-th of itself."""
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, (kernel - 1) // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


def map_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the maps that the own encoder makes of images of ``size``."""
    return size[0] // FINEST, size[1] // FINEST


def sides_together() -> Tensor:
    """(10, 14) float: the places that features are pooled over, each a region or both sides of it.

    A mirrored face swaps the sides, and its attributes are the same.
    """
    first = torch.tensor([min(pair) for pair in enumerate(MIRRORED)])
    return (first == first.unique()[:, None]).float()


def union(region_maps: Tensor, table: Tensor) -> Tensor:
    """The probability (B, A, h, w) that a pixel lies in any of an attribute's regions.

    ``region_maps`` (B, 14, h, w) are taken as independent probabilities; ``table`` (A, 14).
    """
    outside = torch.log1p(-region_maps.float().clamp(max=1 - 1e-6))
    return 1 - torch.einsum("brhw,ar->bahw", outside, table).exp()
