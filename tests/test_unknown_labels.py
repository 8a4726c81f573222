"""An unknown label is left out wherever labels are used; nowhere is it a "no"."""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import load_from_disk
from made_predictions import predictions_of
from small_results import call
from small_training import SIZE, settings, train_small, write_data
from test_own_attributes import EVALUATION

from pipeline import evaluate, figures, gallery, masks
from pipeline.core.attributes import CELEBA, UNKNOWN, AttributeSet
from pipeline.core.classification import enough_faces
from pipeline.core.evaluation import metrics, thresholds
from pipeline.core.evaluation.bootstrap import resample
from pipeline.core.evaluation.groups import by_group, impossible
from pipeline.core.evaluation.label_issues import label_issues
from pipeline.core.evaluation.mask_metrics import MaskCounts
from pipeline.core.evaluation.predictions import Predictions, read_predictions
from pipeline.core.faces.store import open_faces
from pipeline.core.landmarks.table import Landmarks
from pipeline.core.masks.store import open_masks
from pipeline.core.networks import Output, build
from pipeline.core.presentation.figures.faces import most_confident
from pipeline.core.training.last_layer import temperatures
from pipeline.core.training.learner import SUMS, Learner
from pipeline.core.training.selection import mean_metric
from pipeline.core.training.transforms import Batch

NAMES = ["Bald", "Bangs", "Male"]
HALF = np.full(3, 0.5)


def some_labels() -> tuple[np.ndarray, np.ndarray]:
    """Labels (60, 3), a third unknown, and logits that follow the labels, also the unknown ones."""
    random = np.random.default_rng(0)
    labels = (random.random((60, 3)) < 0.4).astype(np.int8)
    logits = (2 * labels - 1 + random.standard_normal(labels.shape)).astype(np.float32)
    labels[random.random(labels.shape) < 0.3] = UNKNOWN
    return labels, logits


def test_metrics_and_thresholds_are_those_of_the_known_faces():
    labels, logits = some_labels()
    found = metrics.measure(labels, logits, HALF)
    chosen = thresholds.best_on_valid(labels, logits, min_class=3)
    for k, column in enumerate(labels.T):  # as if there were no other faces
        known = column[column >= 0, None] == 1, logits[column >= 0][:, [k]]
        for name, values in metrics.measure(*known, HALF[:1]).items():
            np.testing.assert_allclose(found[name][k], values[0], err_msg=name)
        assert chosen[k] == thresholds.best_on_valid(*known, 3)[0]
    least = [min((of == 1).sum(), (of == 0).sum()) for of in labels.T]
    assert enough_faces(labels, max(least)).tolist() == [n == max(least) for n in least]
    changed = np.where(labels < 0, -30 * np.sign(logits), logits)
    assert np.array_equal(temperatures(labels, changed), temperatures(labels, logits))
    for name in ("auroc", "f1", "balanced_accuracy"):
        assert mean_metric(name, labels, logits) == pytest.approx(found[name].mean())


def test_resamples_weigh_the_known_faces_alone():
    labels, logits = some_labels()
    clusters = np.arange(60) // 2
    sample = metrics.Sample(labels, logits, HALF, clusters)
    once = sample.evaluate(np.ones((1, sample.clusters)))
    values = metrics.measure(labels, logits, HALF)
    before = resample(sample, 8, seed=1)
    for name in metrics.BOOTSTRAPPED:
        np.testing.assert_allclose(once[name][0], values[name], err_msg=name)
    for sign in (1, -1):  # surely so, and surely the other way round
        changed = np.where(labels < 0, sign * 50 * np.sign(logits), logits)
        again = resample(metrics.Sample(labels, changed, HALF, clusters), 8, seed=1)
        for name in metrics.BOOTSTRAPPED:
            np.testing.assert_array_equal(again[name], before[name], err_msg=name)


def test_groups_and_contradictions_have_known_labels_alone():
    labels = np.array([[1, 1, 1], [1, -1, 1], [0, 0, -1], [0, 0, 0], [-1, 1, 0]], np.int8)
    predicted = np.ones((5, 3), bool)
    test = predictions_of(labels, NAMES, predicted, NAMES)
    ten = partial(resample, resamples=10, seed=1)
    found = by_group(test, ["Male"], np.ones(3, bool), 1, ten)
    men, women = found["groups"]
    assert (men["images"], women["images"]) == (2, 2)
    assert (men["mean_accuracy"], women["accuracy"]) == (1, 0)
    assert women["mean_accuracy"] == pytest.approx((0 / 1 + 1 / 2 + 0 / 2) / 3)
    rule = impossible(test)["rules"]["Bald with Bangs"]
    assert rule == {"predicted": 1.0, "labelled": 1 / 3}
    unknown = predictions_of(np.full((2, 3), UNKNOWN), NAMES, predicted[:2], NAMES)
    assert np.isnan(impossible(unknown)["any"]["labelled"])


def test_maps_of_unknown_masks_are_in_no_metric():
    random = torch.Generator().manual_seed(0)
    maps, inside = torch.rand(4, 2, 6, 5, generator=random), torch.ones(4, 2, 6, 5).bool()
    labels = torch.tensor([[1, 0], [0, -1], [-1, 1], [1, -1]])
    found = MaskCounts(2)
    found.add(maps, inside, labels)
    for k, rows in enumerate(([0, 1, 3], [0, 2])):
        known = MaskCounts(1)
        known.add(maps[rows][:, [k]], inside[rows][:, [k]], labels[rows][:, [k]] == 1)
        for name, values in known.metrics().items():
            np.testing.assert_allclose(found.metrics()[name][k], values[0], err_msg=name)


def test_a_face_with_an_unknown_label_is_neither_right_nor_wrong_in_a_picture():
    kinds = most_confident(np.array([1, -1, 0, -1], np.int8), np.array([0.9, 0.9, 0.8, 0.1]), 0.5)
    assert {face for faces in kinds.values() for face in faces.tolist()} == {0, 2}


def learner(**changes) -> Learner:
    chosen = settings(**changes)
    table = CELEBA.only(chosen.attributes).table.copy()
    table[2] = False  # an attribute without a region
    return Learner(build(chosen), chosen, table, np.ones((2, 3)), seed=0, steps=1)


@pytest.mark.parametrize("loss", ["bce", "focal", "asymmetric", "class_balanced"])
def test_an_unknown_label_moves_no_logit(loss):
    logits = torch.zeros(3, 3, requires_grad=True)
    labels = torch.tensor([[1, -1, 0], [-1, -1, -1], [0, 1, 1]], dtype=torch.int8)
    batch = Batch(torch.zeros(3), labels, None, None, torch.ones(3, dtype=torch.bool))
    made = learner(loss=loss)
    attribute_loss, _ = made.losses(batch, Output(logits), None)
    attribute_loss.sum().backward()
    assert ((logits.grad != 0) == (labels >= 0)).all()
    assert attribute_loss[1] == 0
    sums = torch.zeros(len(SUMS))
    made.count(sums, batch, logits.detach(), attribute_loss.detach(), torch.zeros(3))
    correct, faces = sums[2:4].tolist()
    assert faces == 2
    assert correct == pytest.approx(1 / 2 + 1 / 3)  # 0 predicts "no"


@pytest.mark.parametrize("loss", ["mse", "bce_dice"])
def test_a_map_without_a_known_mask_is_in_no_mask_loss(loss):
    maps = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.tensor([[1, -1, 1], [0, 1, 0]], dtype=torch.int8)
    bits = torch.full((2, *SIZE), 2**14 - 1, dtype=torch.int16)
    faces = torch.ones(2, dtype=torch.bool)
    batch = Batch(torch.zeros(2, 3, *SIZE), labels, bits, faces, faces)
    output = Output(torch.zeros(2, 3), maps=maps, mask_logits=maps)
    learner(mask_loss=loss).losses(batch, output, None)[1].sum().backward()
    moved = maps.grad.abs().sum((2, 3)) > 0
    assert moved.tolist() == [[True, False, False], [True, True, False]]


def test_a_store_of_masks_draws_none_for_unknown_labels_and_repairs_none():
    labels = np.array([[1, UNKNOWN, 0, 1]], np.int8)
    attributes = AttributeSet.of({"a": ["left_ear"], "b": ["left_ear"], "c": "all", "d": "none"})
    points = np.random.default_rng(0).uniform(60, 120, (1, 68, 2))
    points[0, 0] = points[0, 17]  # the left ear is hidden
    faces = SimpleNamespace(attributes=labels, size=(218, 178), attribute_set=attributes)
    drawing = masks.Drawing(Landmarks(["a"], points, ["dlib"]), faces)
    assert not drawing.draw(0)[0].any()
    assert drawing.empty == {"a": [0]}  # "d" has no mask, and "b" may be no


def test_label_issues_are_the_known_labels_that_are_contradicted_the_surest_first():
    labels = np.array([[1, 1], [0, -1], [0, 1], [1, 0]], np.int8)
    logits = np.array([[-2, 3], [4, -9], [-1, -1], [0.5, 1]], np.float32)
    found = label_issues(
        Predictions(
            names=list("abcd"),
            splits=np.array(["valid", "test", "test", "test"]),
            identities=np.arange(4),
            label_names=["Bald", "Male"],
            labels=labels,
            attributes=["Bald", "Male"],
            logits=logits,
            thresholds=HALF[:2],
            train_positives=HALF[:2],
            weights="",
        )
    )
    rows = found[["image_name", "split", "attribute", "value"]].to_numpy().tolist()
    assert rows == [
        ["b", "test", "Bald", 0],
        ["a", "valid", "Bald", 1],
        ["c", "test", "Male", 1],
        ["d", "test", "Male", 0],
    ]
    assert found["confidence"][0] == pytest.approx(1 - found["probability"][0])
    assert found["probability"][1] == found["confidence"][1] == pytest.approx(0.119203)


def test_planted_wrong_labels_come_first():
    random = np.random.default_rng(0)
    labels = random.random((200, 3)) < 0.4
    logits = (4 * labels - 2 + random.standard_normal(labels.shape)).astype(np.float32)
    planted = random.random(labels.shape) < 0.05
    made = Predictions(
        names=[str(row) for row in range(200)],
        splits=np.full(200, "test"),
        identities=np.arange(200),
        label_names=NAMES,
        labels=(labels ^ planted).astype(np.int8),
        attributes=NAMES,
        logits=logits,
        thresholds=HALF,
        train_positives=HALF,
        weights="",
    )
    first = label_issues(made).head(20)
    where = zip(first["image_name"].astype(int), first["attribute"], strict=True)
    assert sum(planted[row, NAMES.index(name)] for row, name in where) >= 18


@pytest.fixture(scope="module")
def partly(tmp_path_factory):
    """A training and an evaluation with a third of the labels unknown."""
    folder = tmp_path_factory.mktemp("partly")
    own = AttributeSet.of({"Over_40": "all", "Face_Mask": ["mouth"], "Indoors": "none"})
    write_data(folder, 16, 12, own, test_faces=24, unknown=0.3)
    train_small(folder, folder, attributes=[], epochs=1)
    call(evaluate, EVALUATION, weights=folder / "weights.safetensors", faces=folder / "faces",
         trained_on=folder / "faces", masks=folder / "masks.zarr",
         predictions=folder / "predictions.parquet", metrics=folder / "metrics.json",
         table=folder / "metrics.csv", label_issues=folder / "label_issues.csv")  # fmt: skip
    return folder


def test_artifacts_keep_what_is_unknown(partly):
    faces, store = open_faces(partly / "faces"), open_masks(partly / "masks.zarr")
    assert 0.15 < (faces.attributes == UNKNOWN).mean() < 0.45
    read = load_from_disk(str(partly / "faces"))
    for k, name in enumerate(faces.attribute_set.names):
        column = [UNKNOWN if value is None else int(value) for value in read[name]]
        assert column == faces.attributes[:, k].tolist()
    assert np.array_equal(store.labels, faces.attributes)
    test = read_predictions(partly / "predictions.parquet").of("test")
    assert np.array_equal(test.labels, faces.attributes[faces.rows("test")])
    assert (pd.read_csv(partly / "label_issues.csv")["confidence"] < 0.5).all()
    table = pd.read_csv(partly / "metrics.csv")
    assert table["images"].tolist() == (test.labels >= 0).sum(axis=0).tolist()
    assert table["positives"].tolist() == (test.labels == 1).sum(axis=0).tolist()
    train = faces.attributes[faces.rows("train")]
    majority = [(of == 1).sum() > (of == 0).sum() for of in train.T]
    right = [(of[of >= 0] == m).mean() for of, m in zip(test.labels.T, majority, strict=True)]
    np.testing.assert_allclose(table["majority_accuracy"], right, atol=1e-6)


def test_figures_and_gallery_say_what_is_known(partly, tmp_path):
    predictions = {"predictions": partly / "predictions.parquet"}
    call(figures, None, "data", faces=partly / "faces", out=tmp_path)
    call(figures, None, "numbers", run=partly / "run.json", history=partly / "history.csv",
         metrics=partly / "metrics.json", table=partly / "metrics.csv", out=tmp_path,
         **predictions)  # fmt: skip
    call(gallery, None, weights=partly / "weights.safetensors", faces=partly / "faces",
         out=tmp_path / "gallery.html", **predictions)  # fmt: skip
    row = pd.read_csv(partly / "metrics.csv").sort_values("images").iloc[0]
    shown = f"{row['attribute'].replace('_', ' ')} ({row['positives']} of {row['images']})"
    assert f"<!-- {shown}" in (tmp_path / "attributes.svg").read_text()
    assert "% unknown)" in (tmp_path / "balance.svg").read_text()
    page = (tmp_path / "gallery.html").read_text()
    assert f" of {row['images']} test faces are predicted correctly" in page
    assert json.loads((partly / "metrics.json").read_text())["images"] == 24
