"""ImageNet's weights of MobileNetV2, fetched as the workflow fetches them, start a training."""

import json
from pathlib import Path

import face_sets
import numpy as np
import pytest
import timm
import torch
import torchvision
from conftest import fetched, schema
from sklearn.metrics import roc_auc_score
from small_training import command, settings, weights, write_data

from pipeline import train
from pipeline.core.errors import UserError
from pipeline.core.evaluation.inference import Inference
from pipeline.core.networks import build
from pipeline.core.networks.weights import start_from

NAME = "mobilenetv2_100"
IMAGENET = schema()["properties"]["imagenet"]["properties"][NAME]["properties"]
ENTRY = {key: described["default"] for key, described in IMAGENET.items()}


FROZEN = {
    "network": "backbone",
    "backbone": NAME,
    "pretrained": True,
    "frozen": "all",
    "segmentation_weight": 0,
    "attributes": [],
    "input_size": [109, 89],
    "normalization": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    "optimizer": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.05},
    "schedule": {"name": "one_cycle"},
    "augmentation": {"flip": True},
    "epochs": 4,
    "batch_size": 16,
}


@pytest.fixture(scope="module")
def imagenet() -> Path:
    return fetched(f"{NAME}-imagenet.pth", IMAGENET)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


def test_the_renamed_tensors_are_all_of_timms_network_and_predict_what_torchvisions_do(imagenet):
    """The file is torchvision's network tensor by tensor; so are the features."""
    images = torch.rand(2, 3, 64, 48)
    given = list(torch.load(imagenet, weights_only=True).values())
    published = torchvision.models.mobilenet_v2(weights=None).features.eval()
    published.load_state_dict(dict(zip(published.state_dict(), given, strict=True)))
    network = build(settings_of()).eval()
    start_from(network, imagenet, ENTRY["rename"])
    names = timm.create_model(NAME, num_classes=0).state_dict().keys()
    assert network.body.state_dict().keys() == names
    with torch.inference_mode():
        torch.testing.assert_close(network.scales(images)[-1], published(images))


def test_without_its_renaming_the_file_is_refused(imagenet):
    with pytest.raises(UserError, match="do not fit this network"):
        start_from(build(settings_of()), imagenet)


def settings_of(**changes):
    return settings(
        network="backbone", backbone=NAME, segmentation_weight=0, input_size=[64, 48], **changes
    )


def test_a_frozen_backbone_comes_out_of_a_training_as_imagenet_has_it(imagenet, data, tmp_path):
    small = {"attributes": ["Male", "Smiling"], "input_size": None, "ema": 0.9, "epochs": 1}
    flags = command(data, tmp_path, masks=False, **FROZEN | small)
    train.main([*flags, "--initial", str(imagenet), "--rename", json.dumps(ENTRY["rename"])])
    given = torch.load(imagenet, weights_only=True)
    for old, new in ENTRY["rename"]:
        given = {name.replace(old, new): tensor for name, tensor in given.items()}
    kept = weights(tmp_path)
    assert all(torch.equal(kept[f"body.{name}"], tensor) for name, tensor in given.items())
    assert kept.keys() - {f"body.{name}" for name in given} == {
        "attributes.weight",
        "attributes.bias",
    }
    account = json.loads((tmp_path / "run.json").read_text())
    assert account["parameters_trained"] == 1280 * 2 + 2
    assert account["inputs_sha256"]["initial"] == ENTRY["sha256"]
    assert len(account["inputs_sha256"]["rename"]) == 64


@pytest.mark.slow
def test_a_linear_head_on_frozen_features_tells_the_attributes_of_real_faces(
    imagenet, real_faces, tmp_path
):
    """All faces at their own size are a measurement, which docs/models.md has."""
    few = face_sets.entry(source="celeba", root=real_faces / "celeba-real", limit=400)
    acquired = face_sets.run(tmp_path, few | {"size": [218, 178]}).faces
    flags = command(tmp_path, tmp_path, masks=False, **FROZEN)
    train.main([*flags, "--initial", str(imagenet), "--rename", json.dumps(ENTRY["rename"])])
    rows = acquired.rows("test")
    inference = Inference(tmp_path / "weights.safetensors", accelerator="cpu")
    images = np.stack([acquired.image(row) for row in rows])
    logits = torch.cat([inference.predict(part).logits for part in np.array_split(images, 8)])
    labels = acquired.attributes[rows]
    both = ((labels == 1).sum(0) >= 20) & ((labels == 0).sum(0) >= 20)
    assert both.sum() > 20
    assert roc_auc_score(labels[:, both], logits[:, both], average="macro") > 0.7
