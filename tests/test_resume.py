"""Killed anywhere, training goes on and reaches the weights of an undisturbed run."""

import logging
import signal
import time

import pytest
import torch
from small_training import command, start, train_small, weights, write_data
from test_networks import Harmful

from pipeline import train

RESULTS = ("weights.safetensors", "history.csv")
CNN_RNN = {
    "network": "cnn_rnn",
    "segmentation_weight": 0,
    "batch_size": 8,
    "optimizer": {"name": "adamw", "learning_rate": 1e-3},
    "schedule": {"name": "plateau", "patience": 0},
    "select_by": "valid_accuracy",
    "epochs": 2,
    "input_size": [32, 32],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


def test_killed_in_mid_epoch_and_run_again_equals_an_undisturbed_run(tmp_path):
    write_data(tmp_path, train_faces=160)
    often = {"epochs": 1, "checkpoint_minutes": 1e-9}
    train_small(tmp_path, tmp_path / "undisturbed", **often)
    flags = command(tmp_path, tmp_path / "killed", **often)
    last = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    process = start(flags)
    while not last.exists():
        assert process.poll() is None, "it ended before there was a checkpoint"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    state = torch.load(last, weights_only=True)
    assert (state["epoch"], state["batch"] < 40) == (0, True)
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    train.main(flags)
    for name in RESULTS:
        killed, undisturbed = (tmp_path / run / name for run in ("killed", "undisturbed"))
        assert killed.read_bytes() == undisturbed.read_bytes(), name


@pytest.mark.parametrize("changes", [{"epochs": 2, "accumulate": 2}, CNN_RNN])
def test_stopped_after_every_step_it_still_reaches_the_same_weights(data, tmp_path, changes):
    train_small(data, tmp_path / "whole", **changes)
    steps = 20 // changes.get("batch_size", 4) * 2
    for _ in range(steps - 1):
        with pytest.raises(SystemExit, match="run the same command again"):
            train_small(data, tmp_path / "pieces", max_minutes=1e-9, **changes)
    train_small(data, tmp_path / "pieces", max_minutes=1e-9, **changes)  # the last step
    for name in RESULTS:
        pieces, whole = ((tmp_path / run / name).read_bytes() for run in ("pieces", "whole"))
        assert pieces == whole, name


def test_a_finished_training_leaves_nothing_to_resume_and_can_be_done_anew(data, tmp_path):
    train_small(data, tmp_path, epochs=1)
    before = weights(tmp_path)
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()
    (tmp_path / "weights.safetensors").unlink()
    train_small(data, tmp_path, epochs=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(tmp_path).items())


def test_a_checkpoint_of_other_settings_is_put_aside_with_a_warning(data, tmp_path, caplog):
    with pytest.raises(SystemExit):
        train_small(data, tmp_path / "out", max_minutes=1e-9)
    with caplog.at_level(logging.WARNING):
        train_small(data, tmp_path / "out", epochs=1, width=0.02)
    train_small(data, tmp_path / "fresh", epochs=1, width=0.02)
    out, fresh = (tmp_path / run / "weights.safetensors" for run in ("out", "fresh"))
    assert out.read_bytes() == fresh.read_bytes()
    assert len(list((tmp_path / "out" / "checkpoints").glob("*.ckpt"))) == 1


def test_a_checkpoint_that_needs_code_to_be_read_is_refused_and_runs_nothing(data, tmp_path):
    checkpoints, trap = tmp_path / "checkpoints", tmp_path / "sprung"
    checkpoints.mkdir()
    torch.save({"fingerprint": "", "more": Harmful(trap)}, checkpoints / "last.ckpt")
    with pytest.raises(SystemExit, match="was refused"):
        train_small(data, tmp_path)
    assert not trap.exists()


def test_told_to_end_it_keeps_a_checkpoint_and_says_so(data, tmp_path):
    flags = command(data, tmp_path, epochs=500)
    process = start(flags)
    while not (tmp_path / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "SIGTERM" in said
    assert "Traceback" not in said
    assert (tmp_path / "checkpoints" / "last.ckpt").exists()
