"""What happens to a batch on the device: augmentation, normalisation, the masks.

Images travel as uint8 and masks as region bits, an int16 a pixel (bit r is region r), which is
some 40 times less than 40 float masks. Everything here is indexing and arithmetic on tensors,
wherever they lie.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pipeline.core.masks.regions import MIRRORED, codes
from pipeline.core.model_settings import AugmentationSettings, ModelSettings


class Batch(NamedTuple):
    """B faces as the loader delivers them.

    ``images`` (B, 3, H, W) uint8 RGB, in channels-last memory. ``labels`` (B, A) int8, -1 where
    unknown. ``bits`` (B, H, W) int16, and ``found`` (B,) bool, which faces have landmarks; both
    None where no masks are used. ``counted`` (B,) bool: False for a face that is there only to give
    every process equally many.
    """

    images: Tensor
    labels: Tensor
    bits: Tensor | None
    found: Tensor | None
    counted: Tensor


class Augmentation(NamedTuple):
    """One random change a face, drawn on the CPU so that no device matters.

    ``flip`` (B,) bool; ``down`` and ``right`` (B,) int64, by how many pixels the window onto
    the face moves; ``brightness`` and ``contrast`` (B,) float factors.
    """

    flip: Tensor
    down: Tensor
    right: Tensor
    brightness: Tensor
    contrast: Tensor


def draw_augmentation(
    count: int, settings: AugmentationSettings, generator: torch.Generator
) -> Augmentation:
    """Draw what happens to each of ``count`` faces.

    ``flip``: half of the faces are mirrored. ``shift``: the window moves by up to so many
    pixels each way, which is a random crop with padding. ``brightness``, ``contrast``: factors
    from 1 − x to 1 + x.
    """
    steps = 2 * settings.shift + 1
    uniform = torch.rand(5, count, generator=generator)
    return Augmentation(
        flip=(uniform[0] < 0.5) & settings.flip,
        down=(uniform[1] * steps).long() - settings.shift,
        right=(uniform[2] * steps).long() - settings.shift,
        brightness=1 + settings.brightness * (2 * uniform[3] - 1),
        contrast=1 + settings.contrast * (2 * uniform[4] - 1),
    )


def moved(pixels: Tensor, to: Sequence[int], augmentation: Augmentation | None) -> Tensor:
    """Of faces' pixels (B, H, W, …) those that a view of the size ``to`` shows: (B, h, w, …).

    The view is the whole face, or what augmentation makes of it: the window moves, then mirrors;
    where it leaves the face it repeats the edge. ``to`` other than H and W takes the nearest
    pixels of that view.
    """
    count, height, width = pixels.shape[:3]
    rows, columns = nearest(height, to[0])[None], nearest(width, to[1])[None]
    if augmentation is not None:
        rows = (rows + augmentation.down[:, None]).clamp(0, height - 1)
        columns = torch.where(augmentation.flip[:, None], width - 1 - columns, columns)
        columns = (columns + augmentation.right[:, None]).clamp(0, width - 1)
    rows, columns = on(pixels, (rows, columns))
    faces = torch.arange(count, device=pixels.device)[:, None, None]
    return pixels[faces, rows[:, :, None], columns[:, None, :]]


def nearest(side: int, cells: int) -> Tensor:
    """Indices (cells,) of the pixels nearest to the centres of ``cells`` cells of a side.

    The same as torch's ``interpolate(mode="nearest-exact")``: mirrored, they stay the nearest.
    """
    return (2 * torch.arange(cells) + 1) * side // (2 * cells)


def nearest_bits(bits: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Region bits (B, H, W) uint16 at the nearest pixels of a smaller size: (B, h, w) int16."""
    rows, columns = (nearest(*sides).numpy() for sides in zip(bits.shape[1:], size, strict=True))
    return torch.from_numpy(bits[:, rows[:, None], columns].view(np.int16))


def augment(images: Tensor, augmentation: Augmentation) -> Tensor:
    """Move and mirror uint8 images (B, 3, H, W), each in its own way."""
    return moved(images.permute(0, 2, 3, 1), images.shape[2:], augmentation).permute(0, 3, 1, 2)


def prepare(
    images: Tensor, settings: ModelSettings, augmentation: Augmentation | None = None
) -> Tensor:
    """What a network sees of uint8 RGB images (B, 3, H, W): float (B, 3, height, width).

    Resized (bilinear) to ``settings.input_size`` where they differ, then normalised by
    ``settings.normalization``, whose ``mean`` and ``std`` are of values from 0 to 1. For
    training ``augmentation`` comes first; evaluation and prediction leave it out.
    """
    if augmentation is not None:
        images = augment(images, augmentation)
    values = images.float().div_(255)
    if augmentation is not None:
        values = light(values, augmentation)
    if tuple(values.shape[2:]) != settings.input_size:
        values = interpolate(values, settings.input_size, mode="bilinear", antialias=True)
    mean, std = (
        torch.tensor(channels, device=values.device).view(3, 1, 1)
        for channels in (settings.normalization.mean, settings.normalization.std)
    )
    return values.sub_(mean).div_(std)


def light(values: Tensor, augmentation: Augmentation) -> Tensor:
    """Change brightness, then contrast about an image's mean grey; values stay in 0 to 1."""
    brightness, contrast = on(values, (augmentation.brightness, augmentation.contrast))
    if bool((augmentation.brightness == 1).all() and (augmentation.contrast == 1).all()):
        return values
    values = (values * brightness.view(-1, 1, 1, 1)).clamp_(0, 1)
    weights = torch.tensor((0.2989, 0.587, 0.114), device=values.device).view(3, 1, 1)
    grey = (values * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    return torch.lerp(grey, values, contrast.view(-1, 1, 1, 1)).clamp_(0, 1)


def masks_for(
    batch: Batch, table: Tensor, size: Sequence[int], augmentation: Augmentation | None = None
) -> Tensor:
    """The masks (B, A, h, w) bool that fit maps of ``size``, moved as the images were.

    ``table`` (A, 14) bool says which regions belong to each of the batch's attributes.
    """
    assert batch.bits is not None
    return expand(moved(batch.bits, size, augmentation), batch.labels, table)


def regions_for(
    batch: Batch, size: Sequence[int], augmentation: Augmentation | None = None
) -> Tensor:
    """The regions (B, 14, h, w) bool that fit maps of ``size``, moved as the images were.

    A mirrored face has its left regions at the right of the image: there they are right regions.
    """
    assert batch.bits is not None
    regions = separate(moved(batch.bits, size, augmentation))
    if augmentation is None:
        return regions
    flip = augmentation.flip.to(regions.device, non_blocking=True)[:, None, None, None]
    return torch.where(flip, regions[:, MIRRORED], regions)


def expand(bits: Tensor, labels: Tensor, table: Tensor) -> Tensor:
    """Masks (B, A, H, W) bool from region bits (B, H, W) int16, labels (B, A), table (A, 14).

    A mask is true where one of its attribute's regions is, if the label is 1.
    """
    positive = (codes(table) * (labels == 1)).to(bits.dtype)
    return (bits[:, None] & positive[:, :, None, None]) != 0


def separate(bits: Tensor) -> Tensor:
    """Regions (B, 14, H, W) bool from region bits (B, H, W) int16."""
    numbers = torch.arange(len(MIRRORED), dtype=bits.dtype, device=bits.device)
    return (bits[:, None] >> numbers[:, None, None]) & 1 != 0


def on(tensor: Tensor, others: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """``others``, on the device of ``tensor``."""
    first, second = (other.to(tensor.device, non_blocking=True) for other in others)
    return first, second
