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
    for it has no masks to learn from, and of all where the batch has no masks. A map whose label
    is unknown, or whose attribute has no region, is in no loss.
    """
    if batch.bits is None or batch.found is None:
        return torch.zeros_like(output.logits[:, 0], dtype=torch.float32)
    predicted = output.maps if settings.mask_loss == "mse" else output.mask_logits
    assert predicted is not None
    if output.region_maps is not None:
        targets = regions_for(batch, predicted.shape[2:], augmentation)
        known = torch.ones_like(predicted[:, :, 0, 0], dtype=torch.float32)
    else:
        targets = masks_for(batch, table, predicted.shape[2:], augmentation)
        known = ((batch.labels >= 0) & table.any(1)).float()
    if settings.mask_loss == "mse":
        loss = mean_of_known((predicted.float() - targets.float()).square(), known)
    else:
        faces = batch.found & batch.counted
        loss = bce_dice(predicted.float(), targets.float(), known, faces)
    return torch.where(batch.found, loss, 0)


def mean_of_known(losses: Tensor, known: Tensor) -> Tensor:
    """(B,) means of losses (B, M, h, w) over the maps that are ``known`` (B, M), 1 or 0."""
    height, width = losses.shape[2:]
    total = (losses * known[:, :, None, None]).sum((1, 2, 3))
    return total / (known.sum(1) * height * width).clamp(min=1)


def bce_dice(logits: Tensor, targets: Tensor, known: Tensor, faces: Tensor) -> Tensor:
    """(B,): a face's binary cross-entropy, and ``DICE_WEIGHT`` times the batch's Dice loss.

    ``logits`` and ``targets`` (B, M, h, w), ``known`` (B, M): 1 or 0 for each map, ``faces`` (B,)
    bool: which of them count in the Dice loss. Of each of the M maps it takes the pixels of all
    faces together (nnU-Net's batch Dice): a map that is white in few places, or on few faces,
    weighs as much as any other, and one that is white on no face asks for little.
    """
    cross_entropy = binary_cross_entropy_with_logits(logits, targets, reduction="none")
    kept = (known * faces[:, None])[:, :, None, None]
    predicted, white = logits.sigmoid() * kept, targets * kept
    both, either = (predicted * white).sum((0, 2, 3)), (predicted + white).sum((0, 2, 3))
    dice = 1 - (2 * both + 1) / (either + 1)  # 0 of a map that is known of no face
    maps = known.any(0).sum().clamp(min=1)
    return mean_of_known(cross_entropy, known) + DICE_WEIGHT * dice.sum() / maps
