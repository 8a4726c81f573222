"""Attributes of a data set's own, from the training to what people see of a model."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from small_results import call
from small_training import train_small, write_data

from pipeline import data_figures, evaluate, figures, gallery
from pipeline.core.attributes import AttributeSet
from pipeline.core.errors import UserError
from pipeline.core.evaluation.predictions import read_predictions
from pipeline.core.faces.store import Face, open_faces, write_faces
from pipeline.core.masks.store import open_masks
from pipeline.core.networks.weights import load_network

OWN = AttributeSet.of({"Over_40": "all", "Face_Mask": ["mouth", "chin"], "Indoors": "none"})
EVALUATION = {
    "batch_size": 16, "accelerator": "cpu", "precision": "32-true", "min_class": 2,
    "threshold": "valid", "draws": 5, "seed": 1, "groups": [["Blond_Hair", "Male"], ["Over_40"]],
}  # fmt: skip


@pytest.fixture(scope="module")
def own(request, tmp_path_factory):
    """Faces with three attributes of their own, and a network that was trained on them."""
    folder = tmp_path_factory.mktemp(request.param)
    write_data(folder, train_faces=16, valid_faces=12, attributes=OWN, test_faces=16)
    guided = {"mask_loss": "bce_dice", "channels": [4, 4, 4, 4], "map_channels": 4}
    network = {"network": request.param, **(guided if request.param == "mask_guided" else {})}
    train_small(folder, folder, attributes=[], epochs=1, **network)
    call(evaluate, EVALUATION, weights=folder / "weights.safetensors", faces=folder / "faces",
         trained_on=folder / "faces", masks=folder / "masks.zarr",
         predictions=folder / "predictions.parquet", metrics=folder / "metrics.json",
         table=folder / "metrics.csv")  # fmt: skip
    return folder


@pytest.mark.parametrize("own", ["attparsenet", "mask_guided"], indirect=True)
def test_every_artifact_has_the_names_and_the_regions(own):
    assert open_faces(own / "faces").attribute_set == OWN
    masks = open_masks(own / "masks.zarr")
    assert masks.attributes == ["Face_Mask", "Indoors", "Over_40"]
    assert np.array_equal(masks.table, OWN.table)
    assert masks.table.sum(axis=1).tolist() == [2, 0, 14]
    settings = load_network(own / "weights.safetensors")[1]
    assert AttributeSet(settings.attributes, settings.attribute_regions) == OWN
    columns = pq.read_table(own / "predictions.parquet").column_names
    assert columns[3:] == [*OWN.names, *(f"{name}_logit" for name in OWN.names)]
    assert tuple(pd.read_csv(own / "metrics.csv")["attribute"]) == OWN.names
    metrics = json.loads((own / "metrics.json").read_text())
    assert list(metrics["masks"]["test"]["by_attribute"]) == list(OWN.names)
    assert [group["by"] for group in metrics["groups"]] == [["Over_40"]]


@pytest.mark.slow
@pytest.mark.parametrize("own", ["attparsenet"], indirect=True)
def test_figures_and_gallery_show_them(own, tmp_path):
    files = {"weights": own / "weights.safetensors", "faces": own / "faces"}
    predictions = {"predictions": own / "predictions.parquet"}
    call(figures, None, "data", faces=own / "faces", out=tmp_path)
    call(figures, None, "numbers", run=own / "run.json", history=own / "history.csv",
         metrics=own / "metrics.json", table=own / "metrics.csv", out=tmp_path,
         **predictions)  # fmt: skip
    call(figures, None, "where", **files, **predictions, out=tmp_path)
    call(figures, None, "maps", **files, **predictions, masks=own / "masks.zarr", out=tmp_path)
    call(gallery, None, **files, **predictions, out=tmp_path / "gallery.html")
    call(data_figures, None, "face_masks", faces=own / "faces", store=own / "masks.zarr",
         out=tmp_path / "face.png")  # fmt: skip
    for name in ("balance.svg", "attributes.svg", "confusion.svg"):
        assert "<!-- Face Mask" in (tmp_path / name).read_text(), name
    assert "Face Mask" in (tmp_path / "gallery.html").read_text()
    for name in ("grid", "examples", "maps", "panel"):
        assert (tmp_path / f"{name}.png").stat().st_size > 1000


@pytest.mark.parametrize("own", ["attparsenet"], indirect=True)
@pytest.mark.parametrize("trained", [False, True], ids=["of the evaluated", "of the trained on"])
def test_a_model_is_evaluated_in_the_attributes_that_another_set_has_too(own, tmp_path, trained):
    regions = {"Mask": ["mouth", "chin"], "Over_40": "all", "Smiling": ["mouth"]}
    faces, other = open_faces(own / "faces"), AttributeSet.of(regions)
    test = faces.rows("test")
    labels = faces.attributes[test][:, [0, 2, 1]]  # Face_Mask, Over_40 and others
    rows = zip(test.tolist(), labels, strict=True)
    write_faces(
        tmp_path / "faces",
        (Face(faces.names[row], "test", -1, label, faces.encoded(row)) for row, label in rows),
        faces.size,
        other,
    )
    same = (
        {"trained_same_as": {"Face_Mask": "Mask"}}
        if trained
        else {"same_as": {"Mask": "Face_Mask"}}
    )
    call(evaluate, EVALUATION, weights=own / "weights.safetensors", faces=tmp_path / "faces",
         trained_on=own / "faces", predictions=tmp_path / "predictions.parquet",
         metrics=tmp_path / "metrics.json", table=tmp_path / "metrics.csv",
         **{flag: json.dumps(names) for flag, names in same.items()})  # fmt: skip
    found = read_predictions(tmp_path / "predictions.parquet")
    before = read_predictions(own / "predictions.parquet").of("test")
    assert found.label_names == ["Face_Mask", "Over_40", "Smiling"]
    assert found.attributes == ["Face_Mask", "Over_40"]
    np.testing.assert_allclose(found.logits, before.logits[:, [0, 2]], atol=1e-5)
    assert np.array_equal(found.model_labels, before.model_labels[:, [0, 2]])
    np.testing.assert_allclose(found.train_positives[:2], before.train_positives[[0, 2]])
    assert np.isnan(found.train_positives[2])
    call(gallery, None, weights=own / "weights.safetensors", faces=tmp_path / "faces",
         predictions=tmp_path / "predictions.parquet", out=tmp_path / "gallery.html")  # fmt: skip
    assert "Over 40" in (tmp_path / "gallery.html").read_text()


def test_two_labels_that_are_one_attribute_are_refused_by_name():
    names = {"Glasses": "Eyeglasses", "Spectacles": "Eyeglasses"}
    assert evaluate.names_for(["Eyeglasses"], ["Glasses", "Hat"], names, {}) == [
        "Eyeglasses",
        "Hat",
    ]
    with pytest.raises(UserError, match="Glasses and Spectacles both the network's Eyeglasses"):
        evaluate.names_for(["Eyeglasses"], ["Glasses", "Spectacles"], names, {})


def test_a_set_without_any_of_the_models_attributes_is_refused_with_the_line_to_write():
    assert evaluate.shared_attributes(["a", "b"], ["b", "c"], Path("faces")) == ["b"]
    with pytest.raises(UserError, match=r"none of the network's .* as in same_as: \{c: a\}"):
        evaluate.shared_attributes(["a", "b"], ["c"], Path("faces"))


@pytest.mark.parametrize("own", ["attparsenet"], indirect=True)
def test_a_model_asks_for_attributes_that_the_data_set_has(own, tmp_path):
    with pytest.raises(SystemExit, match=r"no attribute 'Male'.*: choose among Face_Mask, Indoors"):
        train_small(own, tmp_path, attributes=["Male"])
