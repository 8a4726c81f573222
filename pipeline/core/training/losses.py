"""The mask losses: how far predicted maps are from their masks, or region maps from the regions."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from pipeline.core.model_settings import ModelSettings
from pipeline.core.networks import Output
from pipeline.core.training.transforms import Augmentation, Batch, masks_for, regions_for

DICE_WEIGHT = 0.2


def mask_losses(
    output: Output,
    batch: Batch,
    settings: ModelSettings,
    table: Tensor,
    augmentation: Augmentation | None = None,
) -> Tensor:
    """Each face's mask loss (B,), by ``settings.mask_loss``: ``mse`` or ``bce_dice``.

    Of the 14 region maps against the regions where the network makes these, else of the maps
    against the masks; at the resolution of the maps, moved as the images were. ``table`` (A, 14)
    bool says which regions belong to each attribute. The loss of a face without landmarks is 0,
    for it has no masks to learn from, and of all where the batch has no masks.
    """
    if batch.bits is None or batch.found is None:
        return torch.zeros_like(output.logits[:, 0], dtype=torch.float32)
    predicted = output.maps if settings.mask_loss == "mse" else output.mask_logits
    assert predicted is not None
    height, width = predicted.shape[2:]
    if output.region_maps is not None:
        targets = regions_for(batch, (height, width), augmentation)
    else:
        targets = masks_for(batch, table, (height, width), augmentation)
    if settings.mask_loss == "mse":
        loss = (predicted.float() - targets.float()).square().mean((1, 2, 3))
    else:
        loss = bce_dice(predicted.float(), targets.float(), batch.found & batch.counted)
    return torch.where(batch.found, loss, 0)


def bce_dice(logits: Tensor, targets: Tensor, faces: Tensor) -> Tensor:
    """(B,): a face's binary cross-entropy, and ``DICE_WEIGHT`` times the batch's Dice loss.

    ``logits`` and ``targets`` (B, M, h, w), ``faces`` (B,) bool: which of them count in the Dice
    loss. Of each of the M maps it takes the pixels of all faces together (nnU-Net's batch Dice):
    a map that is white in few places, or on few faces, weighs as much as any other, and one
    that is white on no face asks for little.
    """
    cross_entropy = binary_cross_entropy_with_logits(logits, targets, reduction="none")
    kept = faces.to(logits.dtype)[:, None, None, None]
    predicted, white = logits.sigmoid() * kept, targets * kept
    both, either = (predicted * white).sum((0, 2, 3)), (predicted + white).sum((0, 2, 3))
    dice = 1 - (2 * both + 1) / (either + 1)
    return cross_entropy.mean((1, 2, 3)) + DICE_WEIGHT * dice.mean()
