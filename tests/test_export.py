"""The exported model predicts what torch predicts, and the file describes itself."""

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from small_results import call, model, only, small_results

from pipeline import export
from pipeline.core.faces.decoding import decode
from pipeline.core.faces.sources.trees import open_tree
from pipeline.core.networks import build
from pipeline.core.networks.weights import load_network, save_weights
from pipeline.core.training.transforms import prepare


@pytest.fixture(
    scope="module", params=["attparsenet", pytest.param("cnn_rnn", marks=pytest.mark.slow)]
)
def exported(request, tmp_path_factory):
    """(files of the model, folder of the export)."""
    out = tmp_path_factory.mktemp(request.param)
    files = model(request.param)
    call(export, None, **only(files, "weights", "metrics", "table", "run"), out=out,
         terms=small_results() / "TERMS.txt")  # fmt: skip
    return files, out


def session(out):
    return onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])


def real_images(folder, count, size):
    archive = open_tree(folder / "celeba-real/img_align_celeba.zip")
    images = [decode(archive.read(name)) for name in sorted(archive.names)[:count]]
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    small = torch.nn.functional.interpolate(batch, tuple(size), mode="area")
    return small.round().byte().permute(0, 2, 3, 1).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 9])
def test_onnx_equals_torch_on_real_faces_whatever_the_batch(exported, real_faces, count):
    files, out = exported
    compare(files["weights"], out, real_faces, count)


def compare(weights, out, real_faces, count):
    """Torch and ONNX on real faces."""
    network, settings = load_network(weights)
    images = real_images(real_faces, count, settings.input_size)
    with torch.inference_mode():
        output = network(prepare(torch.from_numpy(images).permute(0, 3, 1, 2), settings))
    probabilities, logits, *maps = session(out).run(None, {"images": images})
    np.testing.assert_allclose(logits, output.logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(probabilities, output.logits.sigmoid().numpy(), atol=1e-4)
    assert len(maps) == (output.maps is not None)
    if maps:
        np.testing.assert_allclose(maps[0], output.maps.numpy(), atol=1e-4)


def test_the_file_names_its_attributes_thresholds_and_input(exported):
    files, out = exported
    settings = load_network(files["weights"])[1]
    about = session(out).get_modelmeta().custom_metadata_map
    assert json.loads(about["attributes"]) == list(settings.attributes)
    metrics = json.loads(files["metrics"].read_text())
    thresholds = dict(
        zip(json.loads(about["attributes"]), json.loads(about["thresholds"]), strict=True)
    )
    assert thresholds == metrics["thresholds"]
    assert json.loads(about["input"])["size"] == list(settings.input_size)
    assert "pipeline.align --size 218 178, then resized" in about["geometry"]
    (images,) = session(out).get_inputs()
    assert images.type == "tensor(uint8)"
    assert images.shape[1:] == [*settings.input_size, 3]
    assert isinstance(images.shape[0], str)


def test_the_file_is_valid_and_holds_nothing_of_the_machine(exported):
    _, out = exported
    onnx.checker.check_model(out / "model.onnx")
    content = (out / "model.onnx").read_bytes()
    for words in (b"site-packages", b"/pipeline/", b'.py", line'):
        assert words not in content


def test_the_card_has_data_split_numbers_limits_and_terms(exported):
    files, out = exported
    card = (out / "model_card.md").read_text()
    metrics = json.loads(files["metrics"].read_text())
    for words in ("## Data", "## Limits", "Synthetic faces, drawn by attparse", "test faces",
                  "learnt its attributes from drawings alone", f"{metrics['accuracy']:.3f}",
                  metrics["model"]["weights_sha256"]):  # fmt: skip
        assert words in card
    table = pd.read_csv(files["table"])
    for row in table.to_dict("records"):
        assert f"| {row['attribute']}" in card


def test_weights_alone_suffice(tmp_path):
    call(export, None, weights=model()["weights"], out=tmp_path)
    about = session(tmp_path).get_modelmeta().custom_metadata_map
    assert set(json.loads(about["thresholds"])) == {0.5}
    assert "Not known: no metrics.json" in (tmp_path / "model_card.md").read_text()


@pytest.mark.parametrize("flag", ["metrics", "run", "table", "terms"])
def test_a_file_of_another_kind_ends_in_one_sentence_before_the_work(tmp_path, flag):
    (tmp_path / "empty").touch()
    for path in (tmp_path / "none", tmp_path / "empty", model()["weights"]):
        with pytest.raises(SystemExit, match=rf"{path.name} is not"):
            call(export, None, weights=model()["weights"], out=tmp_path / "out", **{flag: path})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "pooling",
    ["regions", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mean_regions", "grid"))],
)
def test_onnx_equals_torch_for_mask_guided_maps_included(real_faces, tmp_path, pooling):
    torch.manual_seed(0)
    settings = replace(
        load_network(model()["weights"])[1],
        network="mask_guided",
        pooling=pooling,
        mask_loss="bce_dice",
        segmentation_weight=float(pooling == "regions"),
    )
    network = build(settings)
    if pooling == "mean_regions":
        network.mean_regions.uniform_()
    save_weights(tmp_path / "weights.safetensors", network, settings)
    call(export, None, weights=tmp_path / "weights.safetensors", out=tmp_path)
    names = [output.name for output in session(tmp_path).get_outputs()]
    assert ("maps" in names) == (pooling != "grid")
    compare(tmp_path / "weights.safetensors", tmp_path, real_faces, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        {"network": "mask_guided", "backbone": "mobilenetv2_100", "mask_loss": "bce_dice"},
        {"network": "backbone", "backbone": "mobilenetv2_100", "map_stride": 8},
        {"network": "backbone", "backbone": "convnext_atto", "segmentation_weight": 0.0},
    ],
    ids=lambda body: f"{body['network']}-{body['backbone']}",
)
def test_onnx_equals_torch_for_networks_on_a_body_of_timm(real_faces, tmp_path, body):
    torch.manual_seed(0)
    settings = replace(load_network(model()["weights"])[1], input_size=(109, 89), **body)
    save_weights(tmp_path / "weights.safetensors", build(settings), settings)
    call(export, None, weights=tmp_path / "weights.safetensors", out=tmp_path)
    compare(tmp_path / "weights.safetensors", tmp_path, real_faces, 2)


@pytest.mark.slow
def test_onnx_equals_torch_on_real_faces_at_the_width_of_the_demo(real_faces, tmp_path):
    torch.manual_seed(0)
    settings = replace(load_network(model()["weights"])[1], width=0.125)
    save_weights(tmp_path / "weights.safetensors", build(settings), settings)
    call(export, None, weights=tmp_path / "weights.safetensors", out=tmp_path)
    compare((tmp_path / "weights.safetensors"), tmp_path, real_faces, 2)


def test_the_numbers_of_other_weights_are_refused(tmp_path):
    with pytest.raises(SystemExit, match="evaluates other weights"):
        call(export, None, weights=model()["weights"], metrics=model("cnn_rnn")["metrics"],
             out=tmp_path)  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_export_that_differs_from_torch_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(SystemExit, match="differs from torch"):
        call(export, None, weights=model("cnn_rnn")["weights"], out=tmp_path)
    assert not list(tmp_path.iterdir())
