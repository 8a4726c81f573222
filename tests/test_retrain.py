"""Another last layer is a model like any other: only one attribute's logits differ."""

import json

import pytest
import torch
from small_training import command, train_small, valid_predictions, weights, write_data

from pipeline import retrain, train
from pipeline.core.attributes import AttributeSet
from pipeline.core.faces.store import faces_sha256
from pipeline.core.networks.weights import load_network, read_metadata
from pipeline.core.training.last_layer import temperatures

NETWORK = {"network": "mask_guided", "mask_loss": "bce_dice", "channels": [4, 4, 6, 8]}


def call(folder, out, flags=(), **settings):
    chosen = {"groups": ["Smiling", "Male"], "last_layer_of": "m", **settings}
    given = {"weights": folder / "weights.safetensors", "history": folder / "history.csv",
             "run": folder / "run.json", "faces": folder / "faces", "seed": 4, "out": out,
             "settings": json.dumps(chosen), **dict(flags)}  # fmt: skip
    retrain.main([part for flag, value in given.items() for part in (f"--{flag}", str(value))])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    write_data(folder, valid_faces=80)
    train_small(folder, folder, **NETWORK, epochs=1)
    return folder


def test_one_row_of_the_last_layer_differs_and_the_account_says_how(trained, tmp_path):
    call(trained, tmp_path)
    before, after = weights(trained), weights(tmp_path)
    differing = {name for name in before if not torch.equal(before[name], after[name])}
    assert differing == {"attributes.weight", "attributes.bias"}
    labels, first = valid_predictions(trained, trained)
    _, second = valid_predictions(trained, tmp_path)
    assert (first != second).any(axis=0).tolist() == [False, True, False]  # Male, Smiling, …
    assert (tmp_path / "history.csv").read_bytes() == (trained / "history.csv").read_bytes()
    account = json.loads((tmp_path / "run.json").read_text())
    assert account["last_layer"]["attribute"] == "Smiling"
    assert account["last_layer"]["faces_sha256"] == account["inputs_sha256"]["faces"]
    counts = [group["valid"] for group in account["last_layer"]["groups"]]
    male, smiling = labels[:, 0], labels[:, 1]
    assert counts[0] == (smiling & male).sum()
    assert account["last_layer"]["faces_a_group"] == min(counts)
    assert account["last_layer"]["code_sha256"] != account["code_sha256"]
    _, settings = load_network(tmp_path / "weights.safetensors")
    assert (settings.groups, settings.last_layer_of) == (("Smiling", "Male"), "m")
    kept = (read_metadata(of / "weights.safetensors")["trained_on"] for of in (trained, tmp_path))
    assert len({json.dumps(value) for value in kept}) == 1


def test_a_calibrated_model_is_calibrated_again(trained, tmp_path):
    train_small(trained, tmp_path / "calibrated", **NETWORK, epochs=1, calibration="temperature")
    for name in ("faces", "masks.zarr"):
        (tmp_path / "calibrated" / name).symlink_to(trained / name)
    call(tmp_path / "calibrated", tmp_path)
    account = json.loads((tmp_path / "run.json").read_text())
    assert account["last_layer"]["temperature"] != pytest.approx(1, abs=1e-3)
    labels, logits = valid_predictions(trained, tmp_path)
    assert temperatures(labels, logits)[1] == pytest.approx(1, abs=1e-2)  # Male, Smiling, …


def test_other_faces_are_in_the_account_beside_those_trained_on(trained, tmp_path, capsys):
    attributes = AttributeSet.of({"Male": "all", "Smiling": "all"})  # and no Eyeglasses
    write_data(tmp_path / "other", train_faces=1, valid_faces=90, attributes=attributes)
    call(trained, tmp_path, {"faces": tmp_path / "other/faces"})
    assert "not the faces that the network was trained on" in capsys.readouterr().err
    account, before = (json.loads((of / "run.json").read_text()) for of in (tmp_path, trained))
    assert account["last_layer"]["faces_sha256"] == faces_sha256(tmp_path / "other/faces")
    assert account["inputs_sha256"] == before["inputs_sha256"]
    assert sum(group["valid"] for group in account["last_layer"]["groups"]) == 90


def test_faces_without_labels_of_the_groups_are_refused(trained, tmp_path):
    attributes = AttributeSet.of({"Male": "all"})
    write_data(tmp_path / "other", train_faces=1, valid_faces=1, attributes=attributes)
    with pytest.raises(SystemExit, match="other/faces has no attribute Smiling, which the groups"):
        call(trained, tmp_path / "out", {"faces": tmp_path / "other/faces"})


def test_without_the_history_no_weights_are_written(trained, tmp_path):
    with pytest.raises(SystemExit, match=r"nowhere\.csv is not a table with epoch"):
        call(trained, tmp_path, {"history": tmp_path / "nowhere.csv"})
    assert not list(tmp_path.iterdir())


def test_the_account_and_the_history_of_another_training_are_refused(trained, tmp_path):
    train_small(trained, tmp_path / "other", **NETWORK, epochs=2, ema=0.5)
    for flag, file, words in (
        ("run", "run.json", r"differ in ema, epochs: give the run\.json that lies"),
        ("history", "history.csv", "has 2 epochs, and .* has 1: give the history.csv that lies"),
    ):
        with pytest.raises(SystemExit, match=words):
            call(trained, tmp_path / "out", {flag: tmp_path / "other" / file})
    assert not (tmp_path / "out").exists()


def test_an_account_from_before_a_setting_is_of_the_same_training(trained, tmp_path):
    account = json.loads((trained / "run.json").read_text())
    del account["settings"]["exclusive"]
    (tmp_path / "run.json").write_text(json.dumps(account))
    call(trained, tmp_path / "out", {"run": tmp_path / "run.json"})
    assert (tmp_path / "out/weights.safetensors").exists()


def test_groups_that_the_model_does_not_predict_are_refused(trained, tmp_path):
    with pytest.raises(SystemExit, match="attributes that the model predicts: Male, Smiling"):
        call(trained, tmp_path, groups=["Bald"])
    assert not list(tmp_path.iterdir())


def test_training_a_model_that_is_made_from_another_is_refused(trained, tmp_path):
    *flags, chosen = command(trained, tmp_path, **NETWORK, masks=False, groups=["Smiling"])
    assert flags[-1] == "--settings"
    chosen = json.dumps(json.loads(chosen) | {"last_layer_of": "n"})
    with pytest.raises(SystemExit, match=r"python -m pipeline\.retrain"):
        train.main([*flags, chosen])
    assert {path.name for path in tmp_path.iterdir()} <= {"checkpoints"}
