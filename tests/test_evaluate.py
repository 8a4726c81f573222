"""The stage as its users call it: its three results, and what may not influence them."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sklearn.metrics as reference
import torch
import zarr
from small_training import settings
from torch.nn.functional import interpolate

from pipeline import evaluate, masks
from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.evaluation import bootstrap, inference
from pipeline.core.evaluation.bootstrap import cluster_numbers, interval, resampling_weights
from pipeline.core.evaluation.mask_metrics import ENERGY
from pipeline.core.evaluation.predictions import Predictions, read_predictions, write_predictions
from pipeline.core.evaluation.summary import summarise
from pipeline.core.faces.store import Face, faces_sha256, open_faces, write_faces
from pipeline.core.files import sha256, write_json, write_table
from pipeline.core.landmarks.table import Landmarks, write_landmarks
from pipeline.core.masks.regions import REGIONS
from pipeline.core.networks import build
from pipeline.core.networks.weights import load_network, save_weights
from pipeline.core.provenance import made_by

SIZE = (64, 52)
SETTINGS = {
    "batch_size": 16,
    "accelerator": "cpu",
    "precision": "32-true",
    "min_class": 10,
    "draws": 60,
    "seed": 1,
    "threshold": "fixed",
    "groups": [["Blond_Hair", "Male"], ["Male"]],
}
MODEL = {
    "network": "attparsenet",
    "width": 0.05,
    "attributes": list(ATTRIBUTES),
    "segmentation_weight": 1.0,
    "input_size": list(SIZE),
    "normalization": {"mean": [0.5] * 3, "std": [0.5] * 3},
}


def make_faces(
    path: Path, splits: list[str], people: bool = True, size: tuple[int, int] = SIZE
) -> None:
    """Noise with random labels, 20 faces a split; Bald in 5 of them, Bangs in none."""
    rng = np.random.default_rng(len(splits))

    def faces():
        for row, split in enumerate(np.repeat(splits, 20).tolist()):
            image = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
            labels = np.arange(40) % 2 == (row % 2)
            labels[ATTRIBUTES.index("Bald")] = row % 20 < 5
            labels[ATTRIBUTES.index("Bangs")] = False
            jpeg = cv2.imencode(".jpg", image)[1].tobytes()
            yield Face(f"{row:06d}.jpg", split, row // 4 if people else -1, labels, jpeg)

    write_faces(path, faces(), size)


def save_network(path: Path, **changes) -> None:
    chosen = settings(**{**MODEL, **changes})
    torch.manual_seed(0)
    network = build(chosen)
    if chosen.network == "attparsenet":  # untrained maps are all but 0: let them vary
        network.maps[-1].weight.data.fill_(100)
    save_weights(path, network, chosen)


def call(
    folder: Path, faces: str = "faces", *more: str, out: Path | None = None, **changes
) -> tuple[dict, pd.DataFrame]:
    """Run the stage in ``folder`` as a rule does, its results into ``out``, and read these."""
    out = out or folder / "out"
    flags = (
        f"--weights {folder}/weights.safetensors --faces {folder}/{faces} --trained-on"
        f" {folder}/faces --predictions {out}/predictions.parquet --metrics {out}/metrics.json"
        f" --table {out}/metrics.csv"
    )
    evaluate.main([*flags.split(), "--settings", json.dumps(SETTINGS | changes), *more])
    return results(out)


def results(out: Path) -> tuple[dict, pd.DataFrame]:
    """The JSON and the table of an evaluation."""
    summary = json.loads((out / "metrics.json").read_text())
    return summary, pd.read_csv(out / "metrics.csv", index_col="attribute")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Path:
    """A folder with faces and an untrained network, evaluated once, into ``out``."""
    folder = tmp_path_factory.mktemp("evaluated")
    make_faces(folder / "faces", ["train", "valid", "test"])
    save_network(folder / "weights.safetensors")
    call(folder)
    return folder


def test_metrics_json_has_the_keys_that_others_rely_on(evaluated):
    summary, table = results(evaluated / "out")
    assert summary["split"] == "test"
    assert summary["images"] == 20
    assert summary["attributes"] == 38
    assert summary["left_out"] == ["Bald", "Bangs"]
    included = table[table["counted"]]
    for name in ("accuracy", "majority_accuracy", "balanced_accuracy", "auroc"):
        assert summary[name] == pytest.approx(included[name].mean(), abs=1e-6)
    assert summary["intervals"]["few_identities"] is True
    assert summary["intervals"]["over"] == "identities"
    assert summary["intervals"]["units"] == 5
    low, high = summary["intervals"]["accuracy"]
    assert low <= summary["accuracy"] <= high
    assert [group["by"] for group in summary["groups"]] == SETTINGS["groups"]
    assert summary["warnings"] == ["the intervals are over 5 people, fewer than 50, and too narrow"]
    assert summary["ece"] == pytest.approx(included["ece"].mean(), abs=1e-6)
    assert "ece" not in summary["intervals"]
    assert "ece_low" not in table


def test_every_metric_can_be_computed_again_from_the_parquet_alone(evaluated):
    predictions = read_predictions(evaluated / "out/predictions.parquet")
    again, table = summarise(predictions, SETTINGS)
    write_table(evaluated / "again.csv", table)
    assert (evaluated / "again.csv").read_bytes() == (evaluated / "out/metrics.csv").read_bytes()
    written = json.loads((evaluated / "out/metrics.json").read_text())
    inputs = {key: written[key] for key in ("model", "data", "made_by")}
    assert again.to_json() | inputs == written
    assert list(predictions.warnings) == written["warnings"] != []


def test_threads_are_as_many_as_asked_for_and_change_no_byte(evaluated, tmp_path, monkeypatch):
    asked = []

    def pool(threads):
        asked.append(threads)
        return ThreadPoolExecutor(threads)

    for module in (inference, bootstrap):
        monkeypatch.setattr(module, "ThreadPoolExecutor", pool)
    call(evaluated, "faces", "--threads", "3", out=tmp_path)
    assert asked == [3] * 4  # of the images, and of the resamples: of all faces, of both groupings
    assert files(tmp_path) == files(evaluated / "out")


def files(folder: Path) -> dict[str, bytes]:
    """The three results of an evaluation."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(found) == {"predictions.parquet", "metrics.json", "metrics.csv"}
    return found


def test_the_parquet_read_by_anyone_gives_the_tables_numbers(evaluated):
    _, table = results(evaluated / "out")
    frame = pd.read_parquet(evaluated / "out/predictions.parquet")
    test = frame[frame["split"] == "test"]
    for name in ("Male", "Young"):
        auroc = reference.roc_auc_score(test[name], test[f"{name}_logit"])
        assert table.loc[name, "auroc"] == pytest.approx(auroc, abs=1e-6)
        accuracy = (test[name] == (test[f"{name}_logit"] > 0)).mean()
        assert table.loc[name, "accuracy"] == pytest.approx(accuracy, abs=1e-6)


def test_logits_are_the_networks_own_whatever_the_batch(evaluated, tmp_path):
    call(evaluated, batch_size=7, out=tmp_path)
    found = read_predictions(tmp_path / "predictions.parquet")
    network, _ = load_network(evaluated / "weights.safetensors")
    faces = open_faces(evaluated / "faces")
    images = np.stack([faces.image(row) for row in range(20, 60)]).transpose(0, 3, 1, 2)
    with torch.no_grad():
        expected = network(torch.from_numpy(images / 255).float() * 2 - 1).logits.numpy()
    assert found.names == faces.names[20:]
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)


def test_equal_inputs_give_equal_bytes(evaluated, tmp_path):
    call(evaluated, out=tmp_path)
    assert files(tmp_path) == files(evaluated / "out")


def test_majority_is_that_of_the_split_trained_on_even_on_another_data_set(evaluated, tmp_path):
    """In ``other`` every face is bald; the faces trained on mostly are not."""
    faces = open_faces(evaluated / "faces")
    labels = faces.attributes.copy()
    labels[:, ATTRIBUTES.index("Bald")] = True
    rows = range(40, 60)
    write_faces(
        evaluated / "other",
        (Face(faces.names[r], "test", -1, labels[r], faces.encoded(r)) for r in rows),
        SIZE,
    )
    summary, table = call(evaluated, "other", threshold="valid", out=tmp_path)
    assert table.loc["Bald", "majority_accuracy"] == 0
    assert summary["intervals"]["over"] == "images"
    assert set(summary["thresholds"].values()) == {0.5}
    assert "there is no valid face to choose thresholds on: each is 0.5" in summary["warnings"]


def test_the_test_split_chooses_no_threshold(evaluated):
    """Whatever the test labels and logits are, thresholds come out the same; valid's decide."""
    before = read_predictions(evaluated / "out/predictions.parquet")
    on_valid = SETTINGS | {"threshold": "valid"}
    rng, test = np.random.default_rng(0), before.splits == "test"
    labels, logits = before.labels.copy(), before.logits.copy()
    labels[test] = rng.random(labels[test].shape) < 0.5
    logits[test] = rng.normal(3, 5, logits[test].shape)
    chosen = evaluate.with_thresholds(before, on_valid).thresholds
    other = evaluate.with_thresholds(replace(before, labels=labels, logits=logits), on_valid)
    assert len(set(chosen.tolist())) > 10
    np.testing.assert_array_equal(chosen, other.thresholds)
    labels[~test] = 1 - labels[~test]
    other = evaluate.with_thresholds(replace(before, labels=labels), on_valid)
    assert (chosen != other.thresholds).any()


def test_thresholds_chosen_on_valid_are_kept_and_used(evaluated, tmp_path):
    summary, table = call(evaluated, threshold="valid", out=tmp_path)
    kept = read_predictions(tmp_path / "predictions.parquet").thresholds
    assert list(summary["thresholds"].values()) == kept.tolist()
    frame = pd.read_parquet(tmp_path / "predictions.parquet")
    test = frame[frame["split"] == "test"]
    probability = 1 / (1 + np.exp(-test["Male_logit"].astype(float)))
    accuracy = ((probability > summary["thresholds"]["Male"]) == test["Male"]).mean()
    assert table.loc["Male", "accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert summary["thresholds"]["Bald"] == 0.5  # too few bald faces in valid


def test_a_model_of_one_attribute_is_evaluated_on_that_one(tmp_path):
    make_faces(tmp_path / "faces", ["train", "valid", "test"], people=False)
    save_network(tmp_path / "weights.safetensors", attributes=["Male"])
    summary, table = call(tmp_path)
    assert list(table.index) == ["Male"]
    assert summary["attributes"] == 1
    blond, male = summary["groups"]
    assert blond["worst"] is None
    assert male["worst"] is not None
    assert summary["intervals"]["over"] == "images"


def test_people_in_two_splits_are_reported_in_json_and_log(evaluated, tmp_path):
    faces = open_faces(evaluated / "faces")
    people = faces.identities.copy()
    people[40] = people[0]
    write_faces(
        evaluated / "leaky",
        (
            Face(name, split, person, labels, faces.encoded(row))
            for row, (name, split, person, labels) in enumerate(
                zip(faces.names, faces.splits.tolist(), people, faces.attributes, strict=True)
            )
        ),
        SIZE,
    )
    summary, _ = call(evaluated, "leaky", "--log", str(tmp_path / "log"), out=tmp_path)
    warning = summary["warnings"][0]
    assert "1 of 15 people" in warning
    assert warning in (tmp_path / "log").read_text()


def make_masks(folder: Path) -> None:
    """Masks from points that are no face's; the last face of test has none."""
    faces = open_faces(folder / "faces")
    points = np.random.default_rng(0).integers(0, 50, (len(faces), 68, 2)).astype(float)
    points[-1] = np.nan
    detectors = ["drawn"] * (len(faces) - 1) + [""]
    write_landmarks(folder / "landmarks.csv", Landmarks(faces.names, points, detectors))
    common = f"--faces {folder}/faces --shards {folder}/part"
    given = ["--settings", json.dumps({"shard": 32, "repair_labels": False})]
    part = f"{folder}/part.json"
    draw = f"draw {common} --landmarks {folder}/landmarks.csv --part 1-of-1 --out {part}"
    masks.main([*draw.split(), *given])
    gather = f"gather {common} --parts {part} --store {folder}/masks.zarr"
    masks.main([*gather.split(), "--summary", f"{folder}/masks.json", *given])


@pytest.fixture(scope="module")
def with_masks(tmp_path_factory) -> Path:
    """A folder with faces, masks and an untrained network, evaluated once, into ``out``."""
    folder = tmp_path_factory.mktemp("with_masks")
    make_faces(folder / "faces", ["train", "valid", "test"])
    make_masks(folder)
    save_network(folder / "weights.safetensors")
    call(folder, "faces", "--masks", str(folder / "masks.zarr"), min_class=6)
    return folder


def maps_and_masks(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and target masks (19, 40, h, w) of test's faces with landmarks, at maps' size."""
    network, _ = load_network(folder / "weights.safetensors")
    faces = open_faces(folder / "faces")
    images = np.stack([faces.image(row) for row in range(40, 59)]).transpose(0, 3, 1, 2)
    with torch.no_grad():
        maps = network(torch.from_numpy(images / 255).float() * 2 - 1).maps.numpy() > 0.5
    whole = torch.from_numpy(zarr.open_group(folder / "masks.zarr", mode="r")["masks"][40:59])
    return maps, interpolate(whole.float(), maps.shape[2:], mode="nearest-exact").bool().numpy()


def test_metrics_say_from_which_inputs_and_by_what_code_they_were_made(evaluated, with_masks):
    summary, _ = results(with_masks / "out")
    faces = faces_sha256(with_masks / "faces")
    masks = sha256(with_masks / "masks.zarr")
    assert summary["data"] == {
        "faces_sha256": faces, "trained_on_sha256": faces, "masks_sha256": masks,
    }  # fmt: skip
    assert summary["model"]["weights_sha256"] == sha256(with_masks / "weights.safetensors")
    assert summary["made_by"]["versions"]["torch"] == torch.__version__
    assert summary["made_by"] == made_by("evaluate", MODEL["network"])
    assert summary["made_by"]["code_sha256"] != made_by("evaluate", "cnn_rnn")["code_sha256"]
    assert results(evaluated / "out")[0]["data"]["masks_sha256"] is None


def test_maps_are_compared_with_the_stores_masks_face_by_face(with_masks):
    summary, _ = results(with_masks / "out")
    assert summary["masks"]["valid"]["images"] == 20
    assert summary["masks"]["test"]["images"] == 19  # one has no landmarks

    maps, truth = maps_and_masks(with_masks)
    assert 0.2 < maps.mean() < 0.8
    for name in ("Male", "Bald", "Bangs"):
        a, found = ATTRIBUTES.index(name), summary["masks"]["test"]["by_attribute"][name]
        assert found["positives"] == truth[:, a].any(axis=(1, 2)).sum()
        assert found["pixel_accuracy"] == pytest.approx((truth == maps)[:, a].mean(), abs=1e-6)
        iou = reference.jaccard_score(truth[:, a].ravel(), maps[:, a].ravel(), zero_division=0)
        assert (found["iou"] or 0) == pytest.approx(iou, abs=1e-6)


def test_means_of_masks_leave_out_attributes_with_too_few_of_them(with_masks):
    test = results(with_masks / "out")[0]["masks"]["test"]
    rows = test["by_attribute"]
    included = [row["iou"] for row in rows.values() if row["positives"] >= 6]
    assert 0 < rows["Bald"]["positives"] < 6
    assert test["attributes"] == len(included) > 0
    assert test["mean"]["iou"] == pytest.approx(np.mean(included), abs=1e-6)


def test_the_mean_iou_of_maps_has_an_interval_over_people(with_masks):
    test = results(with_masks / "out")[0]["masks"]["test"]

    maps, truth = maps_and_masks(with_masks)
    included = truth.any(axis=(2, 3)).sum(axis=0) >= 6
    people = cluster_numbers(open_faces(with_masks / "faces").identities[40:59])
    means = []
    draws = resampling_weights(people.max() + 1, SETTINGS["draws"], SETTINGS["seed"])
    for weights in np.concatenate(list(draws)):
        repeated = np.repeat(np.arange(19), weights[people].astype(int))
        both = (truth & maps)[repeated][:, included].sum(axis=(0, 2, 3))
        means.append((both / (truth | maps)[repeated][:, included].sum(axis=(0, 2, 3))).mean())
    low, high = map(float, interval(np.array(means), people.max() + 1))
    assert test["intervals"]["iou"] == pytest.approx([low, high], abs=1e-6)
    assert low < test["mean"]["iou"] < high


def test_a_device_that_is_not_there_ends_in_one_sentence(evaluated, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SystemExit, match="cannot evaluate with accelerator 'gpu'"):
        call(evaluated, accelerator="gpu")


def test_masks_of_other_faces_are_refused(with_masks, tmp_path):
    make_faces(with_masks / "other", ["valid", "test"])
    with pytest.raises(SystemExit, match="holds the masks of other faces"):
        call(with_masks, "other", "--masks", str(with_masks / "masks.zarr"), out=tmp_path)


@pytest.mark.parametrize("artifact", ["faces", "trained-on", "masks"])
def test_an_artifact_that_is_not_that_of_its_summary_is_refused_before_the_work(tmp_path, artifact):
    make_faces(tmp_path / "faces", ["train", "valid", "test"])
    save_network(tmp_path / "weights.safetensors")
    write_json(tmp_path / "summary.json", {"sha256": "ab"})
    make_faces(tmp_path / "other", ["valid", "test"])
    other = "other" if artifact == "trained-on" else "faces"
    flags = [f"--{artifact}-summary", str(tmp_path / "summary.json")]
    if artifact == "masks":
        make_masks(tmp_path)
        flags += ["--masks", str(tmp_path / "masks.zarr")]
    with pytest.raises(SystemExit, match=r"is not as .*summary\.json describes it"):
        call(tmp_path, other, *flags)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "network",
    [
        pytest.param({"network": "backbone", "backbone": "resnet18"}, marks=pytest.mark.slow),
        pytest.param({"network": "cnn_rnn"}, marks=pytest.mark.slow),
        {"network": "mask_guided", "pooling": "grid", "channels": [4, 6, 8, 10]},
    ],
    ids=lambda network: network["network"],
)
def test_a_network_without_maps_has_the_energy_of_its_class_activation_alone(tmp_path, network):
    make_faces(tmp_path / "faces", ["train", "valid", "test"])
    make_masks(tmp_path)
    save_network(tmp_path / "weights.safetensors", segmentation_weight=0, **network)
    summary, _ = call(tmp_path, "faces", "--masks", str(tmp_path / "masks.zarr"))
    assert summary["masks"] is None
    test = summary["class_activation"]["test"]
    assert set(test["mean"]) == set(ENERGY)
    assert all(0 < share < 1 for share in test["mean"].values())
    assert call(tmp_path)[0]["class_activation"] is None


def test_region_maps_are_compared_with_the_stores_regions(tmp_path):
    make_faces(tmp_path / "faces", ["train", "valid", "test"])
    make_masks(tmp_path)
    guided = {"network": "mask_guided", "pooling": "regions", "channels": [4, 6, 8, 10]}
    save_network(tmp_path / "weights.safetensors", mask_loss="bce_dice", **guided)
    summary, _ = call(tmp_path, "faces", "--masks", str(tmp_path / "masks.zarr"))
    test = summary["masks"]["test"]
    network, _ = load_network(tmp_path / "weights.safetensors")
    faces = open_faces(tmp_path / "faces")
    images = np.stack([faces.image(row) for row in range(40, 59)]).transpose(0, 3, 1, 2)
    with torch.no_grad():
        maps = network(torch.from_numpy(images / 255).float() * 2 - 1).region_maps.numpy() > 0.5
    bits = zarr.open_group(tmp_path / "masks.zarr", mode="r")["regions"][40:59].astype(np.int32)
    regions = torch.from_numpy((bits[:, None] >> np.arange(14)[:, None, None]) & 1).float()
    truth = interpolate(regions, maps.shape[2:], mode="nearest-exact").bool().numpy()
    for r, name in enumerate(REGIONS):
        iou = reference.jaccard_score(truth[:, r].ravel(), maps[:, r].ravel(), zero_division=0)
        assert (test["by_region"][name] or 0) == pytest.approx(iou, abs=1e-6)
    found = [iou for iou in test["by_region"].values() if iou is not None]
    assert test["mean"]["region_iou"] == pytest.approx(np.mean(found), abs=1e-6)


@pytest.mark.parametrize(
    ("splits", "word"), [(["train", "valid"], "split test"), (["test"], "train")]
)
def test_a_data_set_without_the_split_that_is_needed_ends_in_one_sentence(
    tmp_path, capsys, splits, word
):
    make_faces(tmp_path / "faces", splits)
    save_network(tmp_path / "weights.safetensors")
    with pytest.raises(SystemExit) as stopped:
        call(tmp_path)
    assert word in str(stopped.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flag", ["--faces-summary", "--trained-on-summary"])
def test_faces_evaluated_and_trained_on_alike_are_checked_against_either_summary(tmp_path, flag):
    make_faces(tmp_path / "faces", ["train", "valid", "test"])
    (tmp_path / "faces.json").write_text('{"sha256": "of others"}')
    with pytest.raises(SystemExit, match=r"faces is not as .*faces\.json describes it"):
        call(tmp_path, "faces", flag, str(tmp_path / "faces.json"))


def test_faces_of_other_proportions_than_those_trained_on_are_refused(tmp_path):
    make_faces(tmp_path / "faces", ["train", "valid", "test"])
    save_network(tmp_path / "weights.safetensors")
    make_faces(tmp_path / "square", ["test"], size=(64, 64))
    with pytest.raises(SystemExit, match=r"64 × 64 pixels and .* 64 × 52 .* stretched.*\[64, 52\]"):
        call(tmp_path, "square")
    assert not (tmp_path / "out").exists()
    for size in ((128, 104), (218, 178)):  # the same but for whole pixels
        make_faces(tmp_path / "larger", ["test"], size=size)
        assert call(tmp_path, "larger")[0]["images"] == 20


def test_a_diverged_network_ends_in_one_sentence(tmp_path):
    make_faces(tmp_path / "faces", ["train", "valid", "test"])
    torch.manual_seed(0)
    network = build(settings(**MODEL))
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    save_weights(tmp_path / "weights.safetensors", network, settings(**MODEL))
    with pytest.raises(SystemExit, match="diverged"):
        call(tmp_path)


def test_a_file_that_is_no_table_of_predictions_is_named(tmp_path):
    for name, content in (("page", b"<html>"), ("other", None)):
        path = tmp_path / name
        if content is None:
            pd.DataFrame({"a": [1]}).to_parquet(path)
        else:
            path.write_bytes(content)
        with pytest.raises(evaluate.UserError, match=name):
            read_predictions(path)


def test_a_column_whose_type_was_changed_is_refused(evaluated, tmp_path):
    """A flipped byte of Parquet's schema makes text of bytes, which no checksum covers."""
    table = pq.read_table(evaluated / "out/predictions.parquet")
    names = table["image_name"].cast(pa.binary())
    pq.write_table(table.set_column(0, "image_name", names), tmp_path / "p.parquet")
    with pytest.raises(evaluate.UserError, match="the type of a column was changed"):
        read_predictions(tmp_path / "p.parquet")


def test_predictions_are_read_as_they_were_written(tmp_path):
    rng = np.random.default_rng(0)
    written = Predictions(
        names=["b.jpg", "a.jpg"],
        splits=np.array(["valid", "test"]),
        identities=np.array([-1, 12]),
        label_names=list(ATTRIBUTES),
        labels=rng.random((2, 40)) < 0.5,
        attributes=["Young", "Male"],
        logits=rng.normal(size=(2, 2)).astype(np.float32),
        thresholds=np.array([0.5, 0.123456]),
        train_positives=rng.random(40),
        weights="ab" * 32,
    )
    write_predictions(tmp_path / "p.parquet", written)
    found = read_predictions(tmp_path / "p.parquet")
    for field, value in vars(written).items():
        np.testing.assert_array_equal(getattr(found, field), value, err_msg=field)
