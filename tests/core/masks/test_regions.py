import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.core.attributes import ATTRIBUTES, CELEBA, REGIONS
from pipeline.core.geometry import fitting
from pipeline.core.masks.regions import (
    POLYGONS,
    attribute_masks,
    codes,
    fill_polygons,
    region_polygons,
)

CODES = codes(CELEBA.table)
SIZE = (218, 178)
ALL = np.ones(len(ATTRIBUTES), bool)
anywhere = arrays(np.float64, (68, 2), elements=st.floats(-300, 500, width=32))
any_labels = arrays(bool, len(ATTRIBUTES))

# iBUG's points seen in a mirror: position i holds the number of its partner.
MIRROR = np.concatenate(
    [
        np.r_[16:-1:-1, 26:16:-1, 27:31, 35:30:-1],  # jaw, brows, ridge, nostrils
        np.r_[45:41:-1, 47, 46, 39:35:-1, 41, 40],  # eyes
        np.r_[54:47:-1, 59:54:-1, 64:59:-1, 67:64:-1],  # lips
    ]
)
MIRRORED_REGIONS = [
    name.replace("left", "?").replace("right", "left").replace("?", "right") for name in REGIONS
]


@pytest.fixture(scope="session")
def oracle(real_faces):
    with np.load(real_faces / "mask_oracle" / "oracle.npz") as arrays_of_file:
        return dict(arrays_of_file)


def regions_of(points, size=SIZE):
    """Region bits of an image of ``size``, with the polygons of an aligned face of CelebA's."""
    return fill_polygons(region_polygons(points, SIZE), size)


def published(oracle, i):
    packed = oracle["masks"][i]
    return np.unpackbits(packed, axis=1, count=SIZE[0] * SIZE[1]).reshape(-1, *SIZE).astype(bool)


def test_whole_faces_have_the_published_masks_pixel_for_pixel(oracle):
    for i in np.flatnonzero(oracle["whole"]):
        bits = regions_of(oracle["landmarks"][i].astype(float))
        assert np.array_equal(attribute_masks(bits, ALL, CODES), published(oracle, i)), i


def test_other_faces_differ_from_the_published_masks_only_in_regions_that_left_the_image(oracle):
    for i in np.flatnonzero(~oracle["whole"]):
        points = oracle["landmarks"][i].astype(float)
        polygons = region_polygons(points, SIZE)
        left = {name for name, polygon in polygons.items() if (polygon < 0).any()}
        inside = fill_polygons({n: p for n, p in polygons.items() if n not in left}, SIZE)
        differs = attribute_masks(regions_of(points), ALL, CODES) != published(oracle, i)
        touched = [bool(left & set(CELEBA.to_json()[name])) for name in ATTRIBUTES]
        assert not differs[np.logical_not(touched)].any(), i
        assert not (differs & attribute_masks(inside, ALL, CODES)).any(), i


@settings(max_examples=40)
@given(anywhere, any_labels)
def test_a_mask_is_its_label_and_the_union_of_its_regions(points, labels):
    masks = attribute_masks(regions_of(points), labels, CODES)
    drawn = {}
    for name, polygon in region_polygons(points, SIZE).items():
        drawn[name] = cv2.fillPoly(np.zeros(SIZE, np.uint8), [polygon], 1).astype(bool)
    for k, attribute in enumerate(ATTRIBUTES):
        union = np.zeros(SIZE, bool)
        for name in CELEBA.to_json()[attribute]:
            union |= drawn.get(name, False)
        assert np.array_equal(masks[k], union & labels[k]), attribute
    assert not masks[~labels].any()


def near_edges(points, scale=3):
    """Pixels that touch an edge of a polygon."""
    edges = np.zeros(SIZE, np.uint8)
    for polygon in region_polygons(points, SIZE).values():
        cv2.polylines(edges, [polygon], True, 1, scale)
    return edges.astype(bool)


def mirrored_bits(bits):
    flipped = bits[:, ::-1]
    swapped = np.zeros_like(flipped)
    for r, name in enumerate(MIRRORED_REGIONS):
        swapped |= (flipped >> r & 1) << REGIONS.index(name)
    return swapped


def check_mirror(points):
    points = np.trunc(points)
    points[58, 1] = points[56, 1]  # the neck's depth is measured at one of the two alone
    mirrored = points[MIRROR] * (-1, 1) + np.array([SIZE[1] - 1, 0])
    expected = mirrored_bits(regions_of(points))
    differs = regions_of(mirrored) != expected
    assert not differs[~near_edges(mirrored)].any()
    return differs.mean()


@settings(max_examples=40)
@given(arrays(np.int64, (68, 2), elements=st.integers(0, 170)))
def test_a_flipped_face_gives_flipped_masks_but_for_the_rounding_of_edges(points):
    check_mirror(points.astype(float))


def test_flipped_real_faces_differ_on_fewer_than_one_pixel_in_fifty(oracle):
    assert np.mean([check_mirror(points.astype(float)) for points in oracle["landmarks"]]) < 0.02


def test_a_region_is_clipped_alike_on_the_left_and_on_the_right(oracle):
    points = oracle["landmarks"][np.flatnonzero(oracle["whole"])[0]].astype(float)
    for shift in (-110, 110):
        moved = points + np.array([shift, 0])
        wide = regions_of(points + np.array([300, 0]), (SIZE[0], 800))
        expected = wide[:, 300 - shift : 300 - shift + SIZE[1]]
        assert expected.any()
        differs = regions_of(moved) != expected
        assert not differs[~near_edges(moved)].any()


def ears_of(points, size):
    return {"left_ear", "right_ear"} & set(region_polygons(points, size))


def at_size(points, size):
    """Points of an image of CelebA's size in the same image at another, pixel centres and all."""
    scale, shift = fitting(size)
    return points * scale + shift


@pytest.mark.parametrize("size", [SIZE, (109, 89), (436, 356), (224, 224), (300, 178)])
def test_an_ear_is_absent_where_the_head_is_turned_at_any_size(size):
    points = np.zeros((68, 2))
    points[[0, 17, 16, 26], 0] = 40.2, 45.2, 140.2, 134.2
    assert ears_of(at_size(points, size), size) == {"right_ear"}
    points[[0, 16], 0] = 39.2, 139.2
    assert ears_of(at_size(points, size), size) == {"left_ear"}


def test_at_half_the_size_200_real_faces_have_the_same_ears_and_regions(oracle):
    half = SIZE[0] // 2, SIZE[1] // 2
    for points in oracle["landmarks"][:200].astype(float):
        small = at_size(points, half)
        assert ears_of(small, half) == ears_of(points, SIZE)
        large = regions_of(points)[1::2, 1::2]
        bits = fill_polygons(region_polygons(small, half), half)
        for r, name in enumerate(REGIONS):
            one, other = bits >> r & 1 > 0, large >> r & 1 > 0
            if other.sum() > 100:
                assert (one & other).sum() / (one | other).sum() > 0.8, name


@pytest.mark.parametrize("size", [(109, 89), (436, 356), (300, 178), (224, 400)])
def test_every_vertex_lies_at_any_size_where_it_lies_at_celebas(oracle, size):
    points = oracle["landmarks"][0].astype(float)
    polygons = region_polygons(points, SIZE)
    for name, polygon in region_polygons(at_size(points, size), size).items():
        assert np.abs(polygon - at_size(polygons[name], size)).max() <= max(1, size[0] / SIZE[0])


def test_coordinates_are_cut_towards_zero(oracle):
    points = oracle["landmarks"][0].astype(float)
    away = points + 0.9 * np.sign(points)
    assert np.array_equal(regions_of(away), regions_of(points))


def test_no_landmarks_give_no_region():
    points = np.full((68, 2), np.nan)
    assert not regions_of(points).any()


def test_a_code_has_the_bits_of_its_attributes_regions_in_numpy_and_in_torch():
    table = np.random.default_rng(0).random((9, 14)) < 0.4
    packed = np.packbits(table, axis=1, bitorder="little").view("<u2")[:, 0]
    assert np.array_equal(codes(table), packed)
    assert np.array_equal(codes(torch.from_numpy(table)).numpy(), packed)


def test_masks_follow_the_table_that_is_given():
    bits = np.random.default_rng(0).integers(0, 2**14, (6, 5), np.uint16)
    table = np.random.default_rng(1).random((40, 14)) < 0.2
    for k, mask in enumerate(attribute_masks(bits, ALL, codes(table))):
        assert np.array_equal(mask, sum(bits >> r & table[k, r] for r in range(14)) > 0)


def test_the_attributes_are_those_of_celebas_label_file_in_its_order():
    line = """
    5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose
    Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee
    Gray_Hair Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard
    Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair
    Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young
    """
    assert ATTRIBUTES == CELEBA.names == tuple(line.split())


def test_every_attribute_has_a_region_and_every_region_an_attribute():
    assert CELEBA.table.shape == (40, 14)
    assert CELEBA.table.any(axis=0).all()
    assert CELEBA.table.any(axis=1).all()


def test_the_polygons_are_in_the_order_of_the_regions():
    assert tuple(POLYGONS) == REGIONS
