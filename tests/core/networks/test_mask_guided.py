"""The network that is guided by masks: what each form reads, and that maps follow from regions."""

import numpy as np
import pytest
import torch
from small_training import settings

from pipeline.core.attributes import ATTRIBUTES, CELEBA, REGIONS
from pipeline.core.masks.regions import MIRRORED, attribute_masks, codes
from pipeline.core.networks import build
from pipeline.core.networks.mask_guided import map_size, sides_together, union
from pipeline.core.networks.weights import load_network, save_weights

CODES = codes(CELEBA.table)
SIZE = (44, 40)
SMALL = {
    "network": "mask_guided",
    "channels": [4, 6, 8, 10],
    "map_channels": 5,
    "attributes": list(ATTRIBUTES),
    "input_size": list(SIZE),
    "mask_loss": "bce_dice",
}
FORMS = {  # pooling, weight of the region loss: predicts regions, makes maps
    ("regions", 1): (True, True),
    ("regions", 0): (True, True),
    ("global", 1): (True, True),
    ("global", 0): (False, False),
    ("mean_regions", 0): (False, True),
    ("grid", 0): (False, False),
}
forms = pytest.mark.parametrize(("pooling", "weight"), FORMS)


def network_of(pooling: str = "regions", weight: float = 1, **changes):
    chosen = settings(**SMALL | changes, pooling=pooling, segmentation_weight=weight)
    return build(chosen).eval()


@forms
@pytest.mark.parametrize("size", [SIZE, (109, 89), (218, 178)])
def test_each_form_makes_the_maps_that_it_predicts_or_knows(pooling, weight, size):
    predicts, maps = FORMS[pooling, weight]
    with torch.inference_mode():
        output = network_of(pooling, weight, input_size=list(size))(torch.rand(2, 3, *size))
    quarter = tuple(side // 4 for side in size)
    assert output.logits.shape == (2, 40)
    assert (output.mask_logits is not None) == predicts
    assert (output.maps is not None) == (output.region_maps is not None) == maps
    if maps:
        assert output.maps.shape == (2, 40, *quarter)
        assert output.region_maps.shape == (2, 14, *quarter)
    if predicts:
        assert torch.equal(output.region_maps, output.mask_logits.sigmoid())


@pytest.mark.parametrize("size", [(32, 32), (112, 80)])
def test_a_mirrored_network_sees_a_mirrored_face_the_same(size):
    """Cells lie symmetrically: no side of a face is seen from farther off than the other."""
    network = network_of(input_size=list(size))
    mirrored = network_of(input_size=list(size))
    state = network.state_dict()
    mirrored.load_state_dict({k: v.flip(3) if v.dim() == 4 else v for k, v in state.items()})
    images = torch.rand(2, 3, *size)
    with torch.inference_mode():
        output, other = network(images), mirrored(images.flip(3))
    torch.testing.assert_close(output.region_maps, other.region_maps.flip(3))


@forms
def test_every_weight_of_a_form_takes_part_in_its_losses(pooling, weight):
    network = network_of(pooling, weight).train()
    output = network(torch.rand(2, 3, *SIZE))
    loss = output.logits.square().sum()
    if weight:
        loss = loss + output.mask_logits.square().sum()
    loss.backward()
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(
    ("pooling", "weight"), [("regions", 1), ("global", 1), ("mean_regions", 0)]
)
def test_a_map_is_the_attributes_probability_times_the_union_of_its_regions(pooling, weight):
    network = network_of(pooling, weight)
    if pooling == "mean_regions":
        network.mean_regions.uniform_()
    with torch.inference_mode():
        output = network(torch.rand(2, 3, *SIZE))
    outside = 1 - output.region_maps.double()
    for k, places in enumerate(CELEBA.table):
        inside = 1 - outside[:, places].prod(1)
        expected = output.logits[:, k].double().sigmoid()[:, None, None] * inside
        torch.testing.assert_close(output.maps[:, k].double(), expected, atol=1e-5, rtol=0)


def test_the_union_of_certain_regions_is_the_mask():
    bits = np.random.default_rng(0).integers(0, 2**14, (6, 5)).astype(np.uint16)
    regions = (bits >> np.arange(14)[:, None, None]) & 1
    masks = attribute_masks(bits, np.ones(40, bool), CODES)
    made = union(torch.from_numpy(regions)[None].float(), torch.from_numpy(CELEBA.table).float())
    np.testing.assert_allclose(made[0], masks, atol=1e-5)


def test_features_are_pooled_over_each_region_both_sides_together():
    network = network_of()
    features, maps = torch.rand(1, 5, 11, 10), torch.zeros(1, 14, 11, 10)
    left, right, nose = (REGIONS.index(name) for name in ("left_eye", "right_eye", "nose"))
    maps[0, left, 2, 2:4] = maps[0, right, 2, 6:9] = maps[0, nose, 5:8, 5] = 1
    read = network.pooled(features, maps).view(10, 5)
    eyes = torch.cat([features[0, :, 2, 2:4], features[0, :, 2, 6:9]], 1).sum(1) / (5 + 1)
    places = sides_together()
    for region, expected in (
        (left, eyes),
        (right, eyes),
        (nose, features[0, :, 5:8, 5].sum(1) / (3 + 1)),
        (REGIONS.index("neck"), torch.zeros(5)),
    ):
        (place,) = places[:, region].nonzero()[0]
        torch.testing.assert_close(read[place], expected)


def test_the_sides_of_a_face_are_pooled_together_and_nothing_else_is():
    together = [{REGIONS[r] for r in row.nonzero()[:, 0]} for row in sides_together()]
    pairs = [{f"left_{name}", f"right_{name}"} for name in ("cheek", "eye", "eyebrow", "ear")]
    single = [{n} for n in ("chin", "upper_lip", "mouth", "nose", "top_of_head", "neck")]
    assert sorted(map(sorted, together)) == sorted(map(sorted, pairs + single))


def test_mirrored_twice_a_region_is_itself():
    assert [MIRRORED[other] for other in MIRRORED] == list(range(14))


def test_mean_regions_are_the_same_for_every_face_and_stay_in_the_weights(tmp_path):
    chosen = settings(**SMALL, pooling="mean_regions", segmentation_weight=0)
    network = build(chosen).eval()
    assert network.mean_regions.shape == (14, *map_size(SIZE))
    network.mean_regions.uniform_()
    save_weights(tmp_path / "weights.safetensors", network, chosen)
    again, _ = load_network(tmp_path / "weights.safetensors")
    images = torch.rand(3, 3, *SIZE)
    with torch.inference_mode():
        output, other = network(images), again(images)
    assert torch.equal(output.logits, other.logits)
    for maps in output.region_maps:
        assert torch.equal(maps, network.mean_regions)
