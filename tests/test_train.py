"""Training does what plain torch would do, reads what it should, and says what it did."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from small_training import (
    SEED,
    SIZE,
    command,
    entry,
    last,
    settings,
    splits,
    start,
    train_small,
    valid_predictions,
    weights,
    write_data,
)
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from pipeline import train
from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.evaluation.metrics import measure
from pipeline.core.faces.store import Face, faces_sha256, open_faces, write_faces
from pipeline.core.files import sha256
from pipeline.core.masks.store import open_masks
from pipeline.core.networks import build
from pipeline.core.networks.weights import load_network, read_metadata
from pipeline.core.training.checkpoints import finished, ranked
from pipeline.core.training.data import split_rows
from pipeline.core.training.loaders import once, part_of, shuffled

CHOSEN = [ATTRIBUTES.index(name) for name in settings().attributes]
WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
STILL = {"augmentation": {}, "epochs": 1, "normalization": {"mean": [0.5] * 3, "std": [0.2] * 3}}
GUIDED = STILL | {
    "network": "mask_guided",
    "mask_loss": "bce_dice",
    "channels": [4, 4, 6, 8],
    "map_channels": 4,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


def plain_loss(network, folder, rows, weight):
    """The published loss of some faces, by hand from the decoded images and the stored masks."""
    faces, masks = open_faces(folder / "faces"), open_masks(folder / "masks.zarr")
    images = np.stack([faces.image(row) for row in rows]).transpose(0, 3, 1, 2)
    output = network((torch.from_numpy(images) / 255 - 0.5) / 0.2)
    labels = torch.from_numpy(faces.attributes[rows][:, CHOSEN]).float()
    loss = attribute = binary_cross_entropy_with_logits(output.logits, labels)
    if weight:
        height, width = output.maps.shape[2:]
        ys = [int((i + 0.5) * SIZE[0] / height) for i in range(height)]
        xs = [int((i + 0.5) * SIZE[1] / width) for i in range(width)]
        whole = np.stack([masks.masks(row)[CHOSEN] for row in rows])
        targets = torch.from_numpy(whole[:, :, ys][:, :, :, xs]).float()
        found = masks.found[rows]
        loss = attribute + weight * mse_loss(output.maps[found], targets[found])
    return loss, attribute


def plain_training(folder, parts_of, weight=1.0, steps=3, batch_size=4):
    """Fixed steps in plain torch: gradients of a batch's parts averaged, then SGD.

    Returns the network and the mean attribute loss. ``parts_of`` cuts a batch's rows in parts,
    which are seen apart.
    """
    torch.manual_seed(SEED)
    network = build(settings(**STILL, input_size=list(SIZE)))
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    order = np.random.default_rng((SEED, 0)).permutation(splits(folder)[0])
    seen = []
    for rows in order.reshape(-1, batch_size)[:steps]:
        optimizer.zero_grad()
        parts = parts_of(rows)
        for part in parts:
            loss, attribute = plain_loss(network, folder, part, weight)
            (loss / len(parts)).backward()
            seen.append(attribute.item())
        optimizer.step()
    return network, float(np.mean(seen))


def assert_close(found, network, tolerance):
    for name, expected in network.named_parameters():
        torch.testing.assert_close(found[name], expected.detach(), atol=tolerance, rtol=0)


def test_three_steps_are_those_of_plain_torch(tmp_path):
    write_data(tmp_path, train_faces=12)
    history = train_small(tmp_path, tmp_path / "out", **STILL)
    network, attribute_loss = plain_training(tmp_path, lambda rows: [rows])
    assert_close(weights(tmp_path / "out"), network, 1e-6)
    assert history["train_attribute_loss"][0] == pytest.approx(attribute_loss, abs=1e-5)


def test_validation_sees_every_face_once_as_it_is(data, tmp_path):
    history = train_small(data, tmp_path, **STILL)
    network, _ = load_network(tmp_path / "weights.safetensors")
    with torch.inference_mode():
        loss, attribute = plain_loss(network, data, splits(data)[1], weight=1.0)
    assert history["valid_loss"][0] == pytest.approx(loss.item(), abs=1e-5)
    assert history["valid_attribute_loss"][0] == pytest.approx(attribute.item(), abs=1e-5)


def test_parts_of_a_batch_seen_one_after_another_average_their_gradients(tmp_path):
    write_data(tmp_path, train_faces=12)
    train_small(tmp_path, tmp_path / "out", **STILL, accumulate=2)
    network, _ = plain_training(tmp_path, lambda rows: [rows[:2], rows[2:]])
    assert_close(weights(tmp_path / "out"), network, 1e-6)


@pytest.mark.slow
def test_two_processes_average_the_gradients_of_their_halves_also_when_stopped(tmp_path):
    """At the tenth of the eleven steps they ask each other whether to stop."""
    write_data(tmp_path, train_faces=44)
    by_metric = STILL | {"select_by": "valid_balanced_accuracy", "max_minutes": 1e-9}
    flags = command(tmp_path, tmp_path / "out", **by_metric, devices=2)
    for expected in (1, 0):
        process = start(flags)
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == expected, stderr
        assert (last(tmp_path / "out") is None) == (expected == 0)
    halves = plain_training(tmp_path, lambda rows: [rows[0::2], rows[1::2]], steps=11)
    network, attribute_loss = halves
    assert_close(weights(tmp_path / "out"), network, 1e-5)
    history = pd.read_csv(tmp_path / "out" / "history.csv")
    assert history["train_attribute_loss"][0] == pytest.approx(attribute_loss, abs=1e-5)
    values = measure(*valid_predictions(tmp_path, tmp_path / "out"), np.full(3, 0.5))
    expected = np.nanmean(values["balanced_accuracy"])
    assert history["valid_balanced_accuracy"][0] == pytest.approx(expected, abs=1e-6)


def test_without_segmentation_the_masks_are_never_opened(data, tmp_path, monkeypatch):
    for module in ("zarr", "pipeline.core.masks.store"):
        monkeypatch.setitem(sys.modules, module, None)  # an import of it fails
    train_small(data, tmp_path, masks=False, segmentation_weight=0, **STILL)
    account = json.loads((tmp_path / "run.json").read_text())
    assert account["inputs_sha256"]["masks"] is None


def test_a_network_guided_by_masks_learns_its_regions(data, tmp_path):
    quick = {"epochs": 4, "optimizer": {"name": "adamw", "learning_rate": 0.01}}
    losses = train_small(data, tmp_path, **GUIDED | quick)["train_mask_loss"]
    assert losses.is_monotonic_decreasing


def test_mean_regions_are_those_of_the_faces_trained_on(data, tmp_path):
    masks = open_masks(data / "masks.zarr")
    rows = splits(data)[0]
    bits = masks.region_bits(rows[masks.found[rows]])
    regions = (bits[:, None] >> np.arange(14)[:, None, None]) & 1
    train_small(data, tmp_path, **GUIDED, pooling="mean_regions", segmentation_weight=0)
    # The regions are blocks of 4×4 pixels, as large as the cells of the maps.
    expected = regions.mean(0)[:, 2::4, 2::4]
    np.testing.assert_allclose(weights(tmp_path)["mean_regions"], expected, atol=1e-6)


def test_mean_regions_need_masks(data, tmp_path):
    with pytest.raises(SystemExit, match="learns from masks: name them with --masks"):
        train_small(
            data, tmp_path, masks=False, **GUIDED, pooling="mean_regions", segmentation_weight=0
        )


def test_the_baseline_learns_from_attributes_alone(tmp_path):
    write_data(tmp_path, train_faces=12)
    train_small(tmp_path, tmp_path / "out", masks=False, segmentation_weight=0, **STILL)
    network, _ = plain_training(tmp_path, lambda rows: [rows], weight=0)
    assert_close(weights(tmp_path / "out"), network, 1e-6)


def test_the_account_names_inputs_settings_and_code(data, tmp_path):
    train_small(data, tmp_path, **STILL)
    account = json.loads((tmp_path / "run.json").read_text())
    assert account["inputs_sha256"]["faces"] == faces_sha256(data / "faces")
    assert account["inputs_sha256"]["masks"] == sha256(data / "masks.zarr")
    assert account["settings"]["input_size"] == list(SIZE)
    assert account["settings"]["faces_size"] == list(SIZE)
    assert account["seed"] == SEED
    assert account["images"] == {"train": 20, "valid": 7}
    assert account["trained_on"] == {
        "data_set": "small",
        "source": "folder",
        "faces": {"train": 20, "valid": 7},
    }
    assert read_metadata(tmp_path / "weights.safetensors")["trained_on"] == account["trained_on"]
    assert account["images_with_masks"] == {"train": 16, "valid": 5}
    assert account["versions"]["torch"] == str(torch.__version__)
    assert account["git_revision"] is None or len(account["git_revision"]) == 40
    assert len(account["code_sha256"]) == 64
    network, _ = load_network(tmp_path / "weights.safetensors")
    assert account["parameters"] == sum(w.numel() for w in network.parameters())


def test_equal_runs_are_equal_bytes_whatever_the_number_of_workers(data, tmp_path):
    for name, workers in (("a", 0), ("b", 0), ("c", 2)):
        train_small(data, tmp_path / name, workers=workers)
    for name in ("weights.safetensors", "history.csv"):
        first = (tmp_path / "a" / name).read_bytes()
        assert first == (tmp_path / "b" / name).read_bytes()
        assert first == (tmp_path / "c" / name).read_bytes()


def test_the_weights_are_those_of_the_best_epoch_and_the_best_few_are_kept(data, tmp_path):
    history = train_small(data, tmp_path, epochs=4, keep=2, select_by="valid_accuracy")
    best = int(history["epoch"][history["valid_accuracy"].idxmax()])
    kept = {path.name: path for path in (tmp_path / "checkpoints").glob("*/*.safetensors")}
    name = f"epoch-{best:03d}.safetensors"
    assert kept[name].read_bytes() == (tmp_path / "weights.safetensors").read_bytes()
    assert len(kept) == 2
    assert json.loads((tmp_path / "run.json").read_text())["best_epoch"] == best


def test_a_stratified_subset_keeps_the_share_of_positives_in_both_parts(tmp_path):
    random = np.random.default_rng(0)
    labels = np.zeros((400, 40), bool)
    labels[:, ATTRIBUTES.index("Male")] = random.permutation(400) < 100
    faces = (Face(f"{i}.png", "train", -1, row, b"") for i, row in enumerate(labels))
    write_faces(tmp_path / "faces", faces, SIZE)
    chosen = settings(attributes=["Male"], stratified_subset=0.5)
    rows = split_rows(open_faces(tmp_path / "faces"), chosen, SEED)
    male = labels[:, ATTRIBUTES.index("Male")]
    assert (len(rows["train"]), len(rows["valid"])) == (160, 40)
    assert (male[rows["train"]].sum(), male[rows["valid"]].sum()) == (40, 10)
    assert not set(rows["train"]) & set(rows["valid"])


def test_a_share_of_train_follows_from_the_seed_and_leaves_valid_whole(data):
    faces, chosen = open_faces(data / "faces"), settings(share=0.5)
    first, again, other = (split_rows(faces, chosen, seed) for seed in (1, 1, 2))
    assert len(first["train"]) == 10
    assert first["train"].tolist() == again["train"].tolist() != other["train"].tolist()
    assert set(first["train"]) <= set(faces.rows("train"))
    assert first["valid"].tolist() == faces.rows("valid").tolist()


def test_pretrained_layers_that_are_frozen_come_out_as_they_went_in(data, tmp_path):
    given = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(given, tmp_path / "resnet18.pth")
    flags = command(
        data,
        tmp_path,
        masks=False,
        network="cnn_rnn",
        pretrained=True,
        segmentation_weight=0,
        input_size=[32, 32],
        epochs=1,
    )
    train.main([*flags, "--initial", str(tmp_path / "resnet18.pth")])
    found = {
        name.removeprefix("body."): tensor
        for name, tensor in weights(tmp_path).items()
        if name.startswith("body.")
    }
    same = {name.split(".")[0] for name in found if torch.equal(found[name], given[name])}
    changed = {name.split(".")[0] for name in found if not torch.equal(found[name], given[name])}
    assert changed == {"layer2", "layer3"}
    assert same >= {"conv1", "bn1", "layer1"}
    account = json.loads((tmp_path / "run.json").read_text())
    assert account["inputs_sha256"]["initial"] == sha256(tmp_path / "resnet18.pth")
    assert account["parameters_trained"] < account["parameters"]


def test_training_starts_from_weights_of_ones_own(data, tmp_path):
    """With a step too small to change them, they come out as they went in."""
    train_small(data, tmp_path / "first", **STILL)
    given = tmp_path / "first" / "weights.safetensors"
    still = {**STILL, "optimizer": {"learning_rate": 1e-30, "weight_decay": 0}}
    flags = command(data, tmp_path / "second", initial_weights=str(given), **still)
    train.main([*flags, "--initial", str(given)])
    _, kept = load_network(tmp_path / "second" / "weights.safetensors")
    assert kept.initial_weights == sha256(given)
    network, _ = load_network(given)
    assert_close(weights(tmp_path / "second"), network, 0)


def test_weights_of_ones_own_go_before_imagenets_and_the_account_says_so(data, tmp_path):
    own, faces = tmp_path / "own.pth", open_faces(data / "faces")
    own.write_bytes(b"weights")
    chosen = entry(network="backbone", pretrained=True, initial_weights=str(own))
    held = train.resolve(chosen, faces, data / "masks.zarr", own)
    assert (held.pretrained, held.initial_weights) == (False, sha256(own))
    held = train.resolve(chosen | {"initial_weights": None}, faces, data / "masks.zarr", own)
    assert (held.pretrained, held.initial_weights) == (True, None)


@pytest.mark.parametrize("flag", ["--faces", "--masks", "--initial"])
def test_an_input_that_is_not_there_is_named_in_one_sentence(data, tmp_path, flag):
    flags = command(data, tmp_path)
    with pytest.raises(SystemExit, match=f"{tmp_path}/none"):
        train.main([*flags, flag, str(tmp_path / "none")])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch_size": 21}, "20 faces to train on"),
        ({"network": "backbone", "pretrained": True}, "--initial"),
        ({"masks": False}, "--masks"),
        ({"stratified_subset": 0.01}, "stratified"),
        pytest.param({"accelerator": "gpu"}, "Lightning cannot train", marks=WITHOUT_GPU),
    ],
)
def test_settings_that_cannot_be_trained_end_in_one_sentence(data, tmp_path, changes, says):
    with pytest.raises(SystemExit, match=says):
        train_small(data, tmp_path, **changes)
    assert not (tmp_path / "weights.safetensors").exists()


def test_masks_of_other_faces_are_refused(data, tmp_path):
    write_data(tmp_path, train_faces=21)
    (tmp_path / "masks.zarr").rename(tmp_path / "others.zarr")
    (tmp_path / "masks.zarr").symlink_to(data / "masks.zarr")
    with pytest.raises(SystemExit, match="other faces"):
        train_small(tmp_path, tmp_path / "out")


def test_without_a_valid_split_nothing_is_trained(tmp_path):
    write_data(tmp_path, valid_faces=0)
    with pytest.raises(SystemExit, match="no face in the split valid"):
        train_small(tmp_path, tmp_path / "out")


@given(st.integers(1, 60), st.integers(1, 4), st.integers(1, 3), st.integers(0, 9))
def test_processes_share_an_epoch_and_see_no_face_twice(count, world, parts, epoch):
    rows, batch_size = np.arange(100, 100 + count), 2 * world
    batches = shuffled(rows, parts * batch_size, batch_size, SEED, epoch)
    orders = [part_of(batches, rank, world) for rank in range(world)]
    seen = np.concatenate([share.rows for order in orders for share in order] or [rows[:0]])
    assert len({len(order) for order in orders}) == 1
    assert len(set(seen)) == len(seen) == count // (parts * batch_size) * parts * batch_size


def test_the_order_is_a_function_of_seed_and_epoch():
    def rows(seed, epoch):
        return [share.rows.tolist() for share in shuffled(np.arange(40), 4, 4, seed, epoch)]

    assert rows(1, 2) == rows(1, 2)
    assert rows(1, 2) != rows(1, 3)
    assert rows(1, 2) != rows(2, 2)


@given(st.integers(1, 60), st.integers(1, 4), st.integers(1, 3))
def test_validation_counts_every_face_once_whatever_the_number_of_processes(count, world, size):
    batches = once(np.arange(count), size * world, world)
    shares = [part_of(batches, rank, world) for rank in range(world)]
    seen = np.concatenate([share.rows[share.counted] for part in shares for share in part])
    assert sorted(seen) == list(range(count))
    assert len({tuple(len(share.rows) for share in part) for part in shares}) == 1


def test_early_stopping_waits_for_so_many_epochs_without_a_better_one():
    chosen = settings(epochs=9, early_stopping=2, select_by="valid_loss")
    history = [{"epoch": i + 1.0, "valid_loss": v} for i, v in enumerate([3.0, 2.0, 2.5, 2.0])]
    assert [finished(history[:n], chosen) for n in range(5)] == [False, False, False, False, True]
    assert ranked(history, chosen) == [2, 4, 3, 1]
    assert not finished(history, settings(epochs=9))
    assert finished(history, settings(epochs=4))


@pytest.mark.slow
def test_a_compiled_network_learns_the_same_under_the_same_names(data, tmp_path, monkeypatch):
    """Without a compiler behind it: what is traced runs as it is."""
    compiled = []

    def trace(network):
        compiled.append(network)
        compile_module(network, backend="eager")

    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", trace)
    for out, compiling in (("plain", False), ("compiled", True)):
        train_small(data, tmp_path / out, epochs=1, ema=0.9, compile=compiling)
    assert len(compiled) == 1
    plain, traced = weights(tmp_path / "plain"), weights(tmp_path / "compiled")
    assert plain.keys() == traced.keys()
    for name, tensor in plain.items():
        torch.testing.assert_close(traced[name], tensor, msg=name)


def test_deterministic_asks_torch_for_it_and_the_next_training_does_not(data, tmp_path):
    asked = []
    for deterministic in (True, False):
        out = tmp_path / str(deterministic)
        train_small(data, out, epochs=1, deterministic=deterministic, precision="16-mixed")
        asked.append(torch.are_deterministic_algorithms_enabled())
    assert asked == [True, False]
    first, second = weights(tmp_path / "True"), weights(tmp_path / "False")
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
