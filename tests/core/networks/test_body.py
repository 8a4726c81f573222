"""Networks on a body of timm: which there are, what they return, and what a frozen one learns."""

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from small_training import settings

from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.evaluation.class_activation import class_activation_maps, last_features
from pipeline.core.networks import build
from pipeline.core.networks.weights import load_network, save_weights, start_from

SIZE = (109, 89)  # odd, as no network of timm was made for
# Convolutional, and hierarchical transformers: with fixed sizes of the image, and channels last.
BODIES = [
    "resnet18", "mobilenetv2_100", "mobilenetv3_small_050", "regnety_002", "convnext_atto",
    "efficientnet_lite0", "pvt_v2_b0", "edgenext_xx_small", "swin_tiny_patch4_window7_224",
]  # fmt: skip
# Whose stride of 4 leaves a rest of the side out.
COARSER = {"convnext_atto", "edgenext_xx_small", "swin_tiny_patch4_window7_224"}
QUICK = {"mobilenetv3_small_050", "convnext_atto", "pvt_v2_b0"}  # the others are slow
BASE = {"attributes": list(ATTRIBUTES), "input_size": list(SIZE)}


def network_of(kind: str, backbone: str, **changes):
    mask_loss = {"mask_loss": "bce_dice"} if kind == "mask_guided" else {"map_stride": 4}
    return build(settings(network=kind, backbone=backbone, **BASE, **mask_loss, **changes))


@pytest.mark.parametrize("kind", ["backbone", "mask_guided"])
@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BODIES],
)
def test_a_body_of_timm_has_maps_at_a_quarter_and_all_of_it_learns(kind, name):
    """A weight without a gradient would end a training on several devices."""
    network = network_of(kind, name)
    output = network(torch.rand(2, 3, *SIZE))
    cells = (27, 22) if name in COARSER else (28, 23)
    assert output.logits.shape == (2, 40)
    assert output.maps.shape == (2, 40, *cells)
    assert (output.region_maps is not None) == (kind == "mask_guided")
    (output.logits.sum() + output.maps.sum()).backward()
    assert [name for name, w in network.named_parameters() if w.grad is None] == []


def test_a_backbone_has_maps_only_with_segmentation_and_at_the_stride_asked_for():
    images = torch.rand(2, 3, *SIZE)
    for stride, cells in {2: (55, 45), 8: (14, 12), 32: (4, 3)}.items():
        changes = {"network": "backbone", "backbone": "mobilenetv3_small_050", **BASE}
        network = build(settings(**changes, map_stride=stride)).eval()
        assert network(images).maps.shape == (2, 40, *cells)
    plain = build(settings(**changes, segmentation_weight=0)).eval()
    assert plain(images).maps is None


def test_mean_regions_and_region_maps_of_a_body_have_one_size():
    network = network_of(
        "mask_guided", "resnet18", pooling="mean_regions", segmentation_weight=0
    ).eval()
    assert network.mean_regions.shape == (14, 28, 23)
    assert network(torch.rand(1, 3, *SIZE)).maps.shape == (1, 40, 28, 23)


def test_the_features_are_those_that_timms_classifier_averages():
    network, images = network_of("backbone", "mobilenetv2_100").eval(), torch.rand(2, 3, *SIZE)
    seen = {}
    network.last_features.register_forward_hook(lambda _m, _i, out: seen.update(last=out))
    whole = timm.create_model("mobilenetv2_100", num_classes=0).eval()
    whole.load_state_dict(network.body.state_dict())
    with torch.inference_mode():
        network(images)
        assert torch.equal(seen["last"].mean((2, 3)), whole(images))
    assert seen["last"].shape == (2, 1280, 4, 3)


def test_torchvisions_resnet18_fills_timms_and_has_the_same_features(tmp_path):
    """So weights, and trained networks, of earlier versions stay what they were."""
    given, images = torchvision.models.resnet18(weights=None).eval(), torch.rand(1, 3, *SIZE)
    torch.save(given.state_dict(), tmp_path / "resnet18.pth")
    network = network_of("backbone", "resnet18").eval()
    start_from(network, tmp_path / "resnet18.pth")
    given.fc = torch.nn.Identity()
    with torch.inference_mode():
        features = network.scales(images)[-1].mean((2, 3))
        torch.testing.assert_close(features, given(images))


def test_safetensors_of_timms_hub_fill_the_body(tmp_path):
    given = timm.create_model("mobilenetv3_small_050", num_classes=7)
    safetensors.torch.save_file(given.state_dict(), tmp_path / "x.pth", metadata={"format": "pt"})
    network = network_of("mask_guided", "mobilenetv3_small_050")
    start_from(network, tmp_path / "x.pth")
    kept = network.body.state_dict()
    assert all(torch.equal(tensor, given.state_dict()[name]) for name, tensor in kept.items())


@pytest.mark.parametrize("kind", ["backbone", "mask_guided"])
def test_a_frozen_body_keeps_weights_and_batch_statistics_and_the_rest_learns(kind):
    network = network_of(kind, "mobilenetv2_100", pretrained=True, frozen="all").train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    output = network(torch.rand(2, 3, *SIZE))
    (output.logits.sum() + output.maps.sum()).backward()
    torch.optim.AdamW(learning, 0.1).step()
    after = network.state_dict()
    same = {name for name, tensor in before.items() if torch.equal(tensor, after[name])}
    assert same == {name for name in before if name.startswith("body.")}


def test_a_weights_file_gives_a_network_on_a_body_back(tmp_path):
    chosen = settings(
        network="mask_guided", backbone="mobilenetv3_small_050", mask_loss="bce_dice", **BASE
    )
    network, images = build(chosen).eval(), torch.rand(1, 3, *SIZE)
    save_weights(tmp_path / "weights.safetensors", network, chosen)
    again, _ = load_network(tmp_path / "weights.safetensors")
    with torch.inference_mode():
        assert torch.equal(again(images).logits, network(images).logits)


@pytest.mark.parametrize("frozen", ["none", "all"])
def test_class_activation_of_a_body_adds_up_to_its_logits(frozen):
    changes = {"frozen": frozen, "pretrained": True, "segmentation_weight": 0}
    network = network_of("backbone", "mobilenetv2_100", **changes).eval()
    torch.nn.init.zeros_(network.attributes.bias)
    images = torch.rand(1, 3, *SIZE)
    with torch.no_grad():
        logits = network(images).logits
    # What speaks against a prediction is left out of the map.
    maps = class_activation_maps(network, last_features(network), images)
    assert (maps.sum((2, 3)) >= logits.abs() - 1e-4).all()
    assert (maps.sum((2, 3)) > 0).all()
