"""What the device makes of a batch: the masks of the store, moved as the images are."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from small_training import settings
from torch.nn.functional import interpolate
from torchvision.transforms import functional as published

from pipeline.core.attributes import CELEBA, REGIONS
from pipeline.core.masks.regions import attribute_masks, codes
from pipeline.core.model_settings import AugmentationSettings
from pipeline.core.training.transforms import (
    Augmentation,
    Batch,
    augment,
    draw_augmentation,
    expand,
    masks_for,
    nearest,
    prepare,
    regions_for,
)

CODES = codes(CELEBA.table)
HEIGHT, WIDTH = 30, 22
SHIFT = 6


def regions(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**14, (HEIGHT, WIDTH), np.uint16)


def labels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed + 1).random(40) < 0.5


def moved(planes: np.ndarray, flip: bool, down: int, right: int) -> np.ndarray:
    """The same change by hand: pad (…, H, W) by the edge, cut the window out, mirror it."""
    padding = [(0, 0)] * (planes.ndim - 2) + [(SHIFT, SHIFT)] * 2
    padded = np.pad(planes, padding, mode="edge")
    rows = slice(SHIFT + down, SHIFT + down + HEIGHT)
    columns = slice(SHIFT + right, SHIFT + right + WIDTH)
    cut = padded[..., rows, columns]
    return cut[..., ::-1] if flip else cut


def change(flip: bool, down: int, right: int, brightness: float = 1, contrast: float = 1):
    return Augmentation(
        torch.tensor([flip]),
        torch.tensor([down]),
        torch.tensor([right]),
        torch.tensor([float(brightness)]),
        torch.tensor([float(contrast)]),
    )


def batch_of(bits: np.ndarray, positive: np.ndarray, images: torch.Tensor | None = None) -> Batch:
    return Batch(
        torch.zeros(1, 3, HEIGHT, WIDTH, dtype=torch.uint8) if images is None else images,
        torch.from_numpy(positive)[None],
        torch.from_numpy(bits.view(np.int16))[None],
        torch.ones(1, dtype=torch.bool),
        torch.ones(1, dtype=torch.bool),
    )


moves = st.tuples(st.booleans(), st.integers(-SHIFT, SHIFT), st.integers(-SHIFT, SHIFT))


@given(st.integers(0, 2**32), moves)
@hypothesis_settings(max_examples=60)
def test_masks_on_the_device_are_the_drawn_masks_under_every_crop_and_flip(seed, move):
    bits, positive = regions(seed), labels(seed)
    drawn = attribute_masks(bits, positive, CODES)
    made = masks_for(
        batch_of(bits, positive), torch.from_numpy(CELEBA.table), (HEIGHT, WIDTH), change(*move)
    )
    assert np.array_equal(made[0].numpy(), moved(drawn, *move))


@given(st.integers(0, 2**32), moves, st.tuples(st.integers(1, 40), st.integers(1, 40)))
@hypothesis_settings(max_examples=60)
def test_masks_at_the_maps_size_are_the_moved_masks_resized_to_the_nearest(seed, move, size):
    bits, positive = regions(seed), labels(seed)
    rows = [int(Fraction(2 * i + 1, 2 * size[0]) * HEIGHT) for i in range(size[0])]
    columns = [int(Fraction(2 * i + 1, 2 * size[1]) * WIDTH) for i in range(size[1])]
    expected = moved(attribute_masks(bits, positive, CODES), *move)[:, rows][:, :, columns]
    made = masks_for(batch_of(bits, positive), torch.from_numpy(CELEBA.table), size, change(*move))
    assert np.array_equal(made[0].numpy(), expected)


@given(st.integers(0, 2**32), moves, st.sampled_from([(HEIGHT, WIDTH), (8, 6), (15, 11)]))
@hypothesis_settings(max_examples=60)
def test_regions_move_as_masks_do_and_a_mirrored_face_swaps_its_sides(seed, move, size):
    bits, table = regions(seed), torch.eye(14, dtype=torch.bool)
    batch = batch_of(bits, np.ones(14, bool))
    expected = masks_for(batch, table, size, change(*move))[0]
    made = regions_for(batch, size, change(*move))[0]
    for number, name in enumerate(REGIONS):
        side, _, rest = name.partition("_")
        if move[0] and side in ("left", "right"):
            number = REGIONS.index(f"{'right' if side == 'left' else 'left'}_{rest}")
        assert torch.equal(made[REGIONS.index(name)], expected[number])


def test_the_nearest_pixels_at_the_published_sizes_are_torchs():
    planes = torch.arange(218 * 178, dtype=torch.float64).view(1, 1, 218, 178)
    expected = interpolate(planes, (96, 76), mode="nearest-exact")[0, 0]
    assert torch.equal(planes[0, 0][nearest(218, 96)][:, nearest(178, 76)], expected)


@given(st.integers(0, 2**32), moves)
@hypothesis_settings(max_examples=30)
def test_an_image_moves_as_its_masks_do(seed, move):
    bits = regions(seed)
    image = torch.from_numpy((bits % 251).astype(np.uint8)).expand(1, 3, -1, -1)
    seen = augment(image, change(*move))
    assert np.array_equal(seen[0, 0].numpy(), moved((bits % 251).astype(np.uint8), *move))


def test_masks_of_some_attributes_have_the_regions_of_these():
    chosen = [31, 4]
    bits, positive = regions(0), labels(0)
    made = expand(
        torch.from_numpy(bits.view(np.int16))[None],
        torch.from_numpy(positive[chosen])[None],
        torch.from_numpy(CELEBA.table[chosen]),
    )
    assert np.array_equal(made[0].numpy(), attribute_masks(bits, positive, CODES)[chosen])


def test_every_face_of_a_batch_is_changed_in_its_own_way():
    images = torch.randint(0, 256, (3, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    ways = [(False, 0, 0), (True, 2, -3), (False, -6, 6)]
    each = [change(*way) for way in ways]
    together = Augmentation(*(torch.cat(parts) for parts in zip(*each, strict=True)))
    seen = augment(images, together)
    for image, result, way in zip(images, seen, ways, strict=True):
        assert np.array_equal(result.numpy(), moved(image.numpy(), *way))


def test_brightness_and_contrast_are_torchvisions():
    images = torch.randint(0, 256, (1, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    plain = settings(
        input_size=[HEIGHT, WIDTH], normalization={"mean": [0, 0, 0], "std": [1, 1, 1]}
    )
    expected = published.adjust_contrast(published.adjust_brightness(images / 255, 1.2), 0.8)
    torch.testing.assert_close(prepare(images, plain, change(False, 0, 0, 1.2, 0.8)), expected)


def test_without_augmentation_an_image_is_only_normalised():
    images = torch.randint(0, 256, (2, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    normalization = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.5]}
    chosen = settings(input_size=[HEIGHT, WIDTH], normalization=normalization)
    expected = published.normalize(images / 255, **normalization)
    torch.testing.assert_close(prepare(images, chosen), expected)


def test_an_image_of_another_size_is_resized_to_the_networks():
    images = torch.full((1, 3, HEIGHT, WIDTH), 51, dtype=torch.uint8)
    seen = prepare(images, settings(input_size=[64, 50]))
    torch.testing.assert_close(seen, torch.full((1, 3, 64, 50), 0.2))


def test_augmentation_is_drawn_from_its_generator_alone_and_stays_in_its_ranges():
    chosen = AugmentationSettings(flip=True, shift=3, brightness=0.2, contrast=0.1)
    first = draw_augmentation(2000, chosen, torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    again = draw_augmentation(2000, chosen, torch.Generator().manual_seed(1))
    other = draw_augmentation(2000, chosen, torch.Generator().manual_seed(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.down, other.down)
    assert set(first.down.tolist()) == set(first.right.tolist()) == set(range(-3, 4))
    assert first.flip.float().mean() == pytest.approx(0.5, abs=0.05)
    assert 0.8 <= first.brightness.min() < 0.81
    assert 1.09 < first.contrast.max() <= 1.1


def test_augmentation_that_is_off_changes_nothing():
    chosen = settings(augmentation={}, input_size=[HEIGHT, WIDTH])
    images = torch.randint(0, 256, (8, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    drawn = draw_augmentation(8, chosen.augmentation, torch.Generator().manual_seed(1))
    assert torch.equal(prepare(images, chosen, drawn), prepare(images, chosen))
