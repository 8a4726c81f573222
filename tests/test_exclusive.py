"""Columns of more than yes and no: attributes that exclude each other, from the CSV to ONNX."""

import json

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from face_sets import encoded, entry, picture, run
from scipy.special import expit
from small_results import call
from small_training import settings, train_small, write_data

from pipeline import evaluate, export, predict, retrain
from pipeline.core.attributes import UNKNOWN, AttributeSet
from pipeline.core.evaluation.predictions import read_predictions
from pipeline.core.faces.store import open_faces
from pipeline.core.networks import build

REGIONS = {"hair": ["top_of_head"], "Smile": ["mouth"]}
HAIR = {"hair": ["dark brown", "blond", "grey"]}
NAMES = ("Smile", "hair_blond", "hair_dark_brown", "hair_grey")
OWN = AttributeSet.of(REGIONS, HAIR)
EVALUATION = {
    "batch_size": 16, "accelerator": "cpu", "precision": "32-true", "min_class": 2,
    "threshold": "valid", "draws": 5, "seed": 1, "groups": [],
}  # fmt: skip


@pytest.fixture
def table(tmp_path):
    """A table of eight faces, whose images are in the folder ``own`` beside it."""
    (tmp_path / "own/images").mkdir(parents=True)
    for i in range(8):
        (tmp_path / f"own/images/{i}.jpg").write_bytes(encoded(picture(i)))
    words = ["blond", "grey", "", "dark brown", "grey", "grey", "blond", "dark brown"]
    images = [f"{i}.jpg" for i in range(8)]
    return pd.DataFrame({"image_name": images, "Smile": [1, -1] * 4, "hair": words})


def take(table, tmp_path, **changed):
    table.to_csv(tmp_path / "own/labels.csv", index=False)
    own = {"root": tmp_path / "own", "attributes": REGIONS, "unfold": HAIR}
    return run(tmp_path / "out", entry(source="folder", **{**own, **changed}))


def test_a_column_of_words_becomes_an_attribute_a_word_and_an_empty_cell_is_unknown(
    table, tmp_path
):
    got = take(table, tmp_path)
    assert got.faces.attribute_set == OWN
    assert OWN.names == NAMES
    assert OWN.exclusive == {"hair": NAMES[1:]}
    assert OWN.regions == (("mouth",), *[("top_of_head",)] * 3)
    expected = [table["hair"] == word for word in ("blond", "dark brown", "grey")]
    expected = np.where(table["hair"] == "", UNKNOWN, np.array(expected)).T
    assert np.array_equal(got.faces.attributes[:, 1:], expected)
    assert np.array_equal(got.faces.attributes[:, 0], table["Smile"] == 1)
    assert got.summary["unknown_labels"] == dict(zip(NAMES, (0, 1, 1, 1), strict=True))


def test_a_word_that_the_entry_does_not_list_is_named_with_how_many_have_it(table, tmp_path):
    table["hair"] = table["hair"].replace("grey", "white")
    with pytest.raises(SystemExit, match=r"hair: 'white', which 3 rows have, is not among"):
        take(table, tmp_path)


def test_words_that_no_entry_unfolds_are_refused_with_the_line_to_write(table, tmp_path):
    with pytest.raises(SystemExit, match=r"hair: 'blond' .* unfold: \{hair: \[blond, another\]\}"):
        take(table, tmp_path, unfold={})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1.jpg,hair_grey,0\n1.jpg,hair_blond,1", ""),
        ("1.jpg,hair_grey,\n1.jpg,hair_blond,\n1.jpg,hair_dark_brown,", ""),
        ("1.jpg,hair_blond,1", "leaves 1.jpg not with one of hair_blond, hair_dark_brown"),
        ("1.jpg,hair_grey,0", "leaves 1.jpg not with one of"),
        ("1.jpg,hair_blond,", "leaves 1.jpg not with one of"),
    ],
)
def test_corrections_leave_a_face_one_of_the_words_or_none_known(table, tmp_path, rows, message):
    (tmp_path / "corrections.csv").write_text(f"image_name,attribute,value\n{rows}\n")
    labels = {"corrections": str(tmp_path / "corrections.csv")}
    if message:
        with pytest.raises(SystemExit, match=message):
            take(table, tmp_path, labels=labels)
    else:
        assert (
            sum(
                take(table, tmp_path, labels=labels)
                .summary["corrections"]["changed_labels"]
                .values()
            )
            >= 2
        )


@pytest.mark.parametrize("network", ["attparsenet", "mask_guided", "cnn_rnn", "backbone"])
def test_the_probabilities_of_every_network_are_a_softmax(network):
    small = {"mask_guided": {"mask_loss": "bce_dice"}, "cnn_rnn": {"segmentation_weight": 0}}
    made = settings(network=network, attributes=["Male", "Black_Hair", "Gray_Hair", "Blond_Hair"],
                    exclusive={"hair": ["Blond_Hair", "Black_Hair", "Gray_Hair"]},
                    **small.get(network, {}))  # fmt: skip
    seen = []
    built = build(made).eval()
    images = torch.rand(2, 3, *made.input_size)
    with torch.no_grad():
        head = built.get_submodule("attributes")
        layer = head[-1] if isinstance(head, torch.nn.Sequential) else head
        layer.register_forward_hook(lambda _, given, __: seen.append(given[0]))
        output = built(images)
        raw = torch.nn.functional.linear(seen[0], layer.weight, layer.bias)
    torch.testing.assert_close(output.logits[:, 0], raw[:, 0])
    torch.testing.assert_close(output.logits[:, 1:].sigmoid(), raw[:, 1:].softmax(1))
    if network == "mask_guided":  # an attribute's map is its probability times its regions' maps
        assert (output.maps.amax((2, 3)) <= output.logits.sigmoid() + 1e-6).all()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small network of the attributes, calibrated, and what is made of it."""
    folder = tmp_path_factory.mktemp("exclusive")
    write_data(folder, train_faces=24, valid_faces=20, attributes=OWN, test_faces=18)
    train_small(folder, folder, attributes=[], epochs=2, calibration="temperature")
    call(evaluate, EVALUATION, weights=folder / "weights.safetensors", faces=folder / "faces",
         trained_on=folder / "faces", predictions=folder / "predictions.parquet",
         metrics=folder / "metrics.json", table=folder / "metrics.csv",
         label_issues=folder / "label_issues.csv")  # fmt: skip
    return folder


def test_predictions_of_a_column_sum_to_1_and_two_of_it_are_a_contradiction(trained):
    found = read_predictions(trained / "predictions.parquet")
    assert found.exclusive == {"hair": NAMES[1:]}
    probabilities = expit(found.logits[:, 1:].astype(float))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert len(np.unique(probabilities.round(4))) > 3
    rules = json.loads((trained / "metrics.json").read_text())["impossible"]["rules"]
    two = (found.of("test").predicted[:, 1:].sum(axis=1) > 1).mean()
    assert rules == {"two of hair": {"predicted": pytest.approx(two, abs=1e-6), "labelled": 0.0}}


def test_the_column_has_one_temperature(trained):
    temperatures = json.loads((trained / "run.json").read_text())["temperatures"]
    assert len({temperatures[name] for name in NAMES[1:]}) == 1
    assert temperatures["hair_grey"] not in (1, temperatures["Smile"])


def test_exported_and_predicted_probabilities_sum_to_1(trained, tmp_path):
    call(export, None, weights=trained / "weights.safetensors", out=tmp_path)
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    faces = open_faces(trained / "faces")
    images = np.stack([faces.image(row) for row in range(3)])
    exported = session.run(["probabilities"], {"images": images})[0]
    np.testing.assert_allclose(exported[:, 1:].sum(axis=1), 1, atol=1e-5)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/0.png").write_bytes(faces.encoded(0))
    call(predict, None, weights=trained / "weights.safetensors", photographs=tmp_path / "in",
         out=tmp_path / "out")  # fmt: skip
    row = pd.read_csv(tmp_path / "out/faces.csv")[list(NAMES)].to_numpy()
    np.testing.assert_allclose(row[0], exported[0], atol=1e-4)


def test_some_of_the_words_alone_are_learned_as_yes_and_no():
    assert OWN.only(["Smile", "hair_grey", "hair_blond"]).exclusive == {}
    assert OWN.only([*reversed(NAMES)]).exclusive == OWN.exclusive


def test_a_last_layer_is_not_trained_for_one_of_the_words(trained, tmp_path):
    with pytest.raises(SystemExit, match="hair_grey excludes other attributes by a softmax"):
        call(retrain, {"groups": ["hair_grey", "Smile"], "last_layer_of": "m"},
             weights=trained / "weights.safetensors", faces=trained / "faces",
             run=trained / "run.json", history=trained / "history.csv", seed=1, threads=1,
             out=tmp_path)  # fmt: skip
