"""The mask losses: MSE as published, and cross-entropy with Dice, map by map."""

import numpy as np
import pytest
import torch
from small_training import settings

from pipeline.core.attributes import CELEBA
from pipeline.core.networks import Output
from pipeline.core.training.mask_losses import DICE_WEIGHT, bce_dice, mask_losses
from pipeline.core.training.transforms import Augmentation, Batch, masks_for, regions_for

FACES, HEIGHT, WIDTH = 3, 12, 10
ALL_REGIONS = torch.from_numpy(CELEBA.table)


def batch(seed: int = 0, found: tuple[bool, ...] = (True, True, True)) -> Batch:
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2**14, (FACES, HEIGHT, WIDTH)).astype(np.int16)
    return Batch(
        torch.zeros(FACES, 3, HEIGHT, WIDTH, dtype=torch.uint8),
        torch.from_numpy(random.random((FACES, 40)) < 0.4),
        torch.from_numpy(bits),
        torch.tensor(found),
        torch.ones(FACES, dtype=torch.bool),
    )


def output(maps: int, seed: int = 1) -> Output:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(FACES, maps, 6, 5, generator=generator)
    chances = logits.sigmoid()
    given = {"region_maps": chances} if maps == 14 else {}
    return Output(torch.zeros(FACES, 40), maps=chances, mask_logits=logits, **given)


FLIP = Augmentation(
    torch.tensor([True, False, True]),
    *torch.tensor([[1, 0, -2], [0, 3, -1]]),
    *torch.ones(2, FACES),
)


def test_mse_is_the_mean_square_between_maps_and_masks_that_moved_with_the_image():
    faces, predicted = batch(), output(40)
    masks = masks_for(faces, ALL_REGIONS, (6, 5), FLIP)
    loss = mask_losses(predicted, faces, settings(mask_loss="mse"), ALL_REGIONS, FLIP)
    torch.testing.assert_close(loss, ((predicted.maps - masks.float()) ** 2).mean((1, 2, 3)))


@pytest.mark.parametrize("maps", [40, 14])
def test_bce_dice_compares_maps_with_masks_and_region_maps_with_regions(maps):
    faces, predicted = batch(), output(maps)
    masks = masks_for(faces, ALL_REGIONS, (6, 5), FLIP)
    targets = regions_for(faces, (6, 5), FLIP) if maps == 14 else masks
    loss = mask_losses(predicted, faces, settings(mask_loss="bce_dice"), ALL_REGIONS, FLIP)
    p, t = predicted.mask_logits.sigmoid().double().numpy(), targets.double().numpy()
    entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean((1, 2, 3))
    both, either = (p * t).sum((0, 2, 3)), (p + t).sum((0, 2, 3))
    dice = (1 - (2 * both + 1) / (either + 1)).mean()
    np.testing.assert_allclose(loss, entropy + DICE_WEIGHT * dice, rtol=1e-5)


@pytest.mark.parametrize(("kind", "maps"), [("mse", 40), ("bce_dice", 40), ("bce_dice", 14)])
def test_a_face_without_landmarks_teaches_nothing_to_itself_or_to_others(kind, maps):
    predicted, chosen, second = output(maps), settings(mask_loss=kind), torch.tensor([1])
    faces = batch(found=(True, False, True))
    losses = mask_losses(predicted, faces, chosen, ALL_REGIONS)
    others = faces._replace(bits=faces.bits.index_fill(0, second, 2**14 - 1))
    changed = predicted._replace(
        maps=predicted.maps.index_fill(0, second, 0.9),
        mask_logits=predicted.mask_logits.index_fill(0, second, 2.0),
    )
    torch.testing.assert_close(losses, mask_losses(changed, others, chosen, ALL_REGIONS))
    assert losses[1] == 0
    assert bool((losses[[0, 2]] > 0).all())


def test_without_masks_there_is_no_mask_loss():
    faces = batch()._replace(bits=None, found=None)
    loss = mask_losses(output(40), faces, settings(), ALL_REGIONS)
    assert torch.equal(loss, torch.zeros(FACES))


def test_an_empty_map_of_few_white_pixels_costs_as_much_dice_as_one_of_many():
    targets = torch.zeros(2, 2, 20, 20)
    targets[:, 0, :3, :3], targets[:, 1, :15] = 1, 1
    every = torch.ones(2, dtype=torch.bool)
    surely = 40 * (2 * targets - 1)

    def dice(logits):
        pixels = torch.nn.functional.binary_cross_entropy_with_logits
        entropy = pixels(logits, targets, reduction="none").mean((1, 2, 3))
        return float(
            (bce_dice(logits, targets, torch.ones(2, 2), every) - entropy)[0] / DICE_WEIGHT
        )

    few, many = surely.clone(), surely.clone()
    few[:, 0], many[:, 1] = -40, -40
    assert dice(surely) == pytest.approx(0, abs=1e-6)
    assert dice(few) == pytest.approx(dice(many), abs=0.05)
    assert dice(few) > 0.45
