"""Killed anywhere, training resumes and reaches the weights of an undisturbed run."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from itertools import count

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, lacking
from small_training import Harmful, command, last, start, train_small, weights, write_data

from pipeline import train
from pipeline.core import provenance
from pipeline.core.faces.store import Face, write_faces
from pipeline.core.training.checkpoints import Checkpoints
from pipeline.core.training.data import FaceData
from pipeline.core.training.learner import Learner

pytestmark = pytest.mark.slow

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


BY_STEP = {  # what changes at every step: the rate, the momentum, the average of the weights
    "optimizer": {"name": "adamw", "learning_rate": 1e-3, "decay_norms": False},
    "schedule": {"name": "one_cycle"},
    "ema": 0.9,
    "gradient_clip": 1.0,
    "select_by": "valid_auroc",
    "loss": "asymmetric",
    "logit_adjustment": 1.0,
}
MASK_GUIDED = BY_STEP | {  # with batch statistics, which are averaged too
    "network": "mask_guided",
    "channels": [4, 4, 6, 8],
    "mask_loss": "bce_dice",
    "loss": "focal",
    "calibration": "temperature",
}
BALANCED = BY_STEP | {"schedule": {"name": "cosine"}, "loss": "class_balanced"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


@pytest.mark.parametrize(
    "changes", [{}, BY_STEP, MASK_GUIDED], ids=["published", "by step", "mask_guided"]
)
def test_killed_in_mid_epoch_and_run_again_equals_an_undisturbed_run(tmp_path, changes):
    write_data(tmp_path, train_faces=160)
    often = {"epochs": 1, "checkpoint_minutes": 1e-9, **changes}
    train_small(tmp_path, tmp_path / "undisturbed", **often)
    flags = command(tmp_path, tmp_path / "killed", **often)
    process = start(flags)
    while not last(tmp_path / "killed"):
        assert process.poll() is None, "it ended before there was a checkpoint"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    state = torch.load(last(tmp_path / "killed"), weights_only=True)
    assert (state["epoch"], state["batch"] < 40) == (0, True)
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    train.main(flags)
    for name in RESULTS:
        killed, undisturbed = (tmp_path / run / name for run in ("killed", "undisturbed"))
        assert killed.read_bytes() == undisturbed.read_bytes(), name


@pytest.mark.parametrize(
    "changes",
    [{"epochs": 2, "accumulate": 2}, CNN_RNN, BY_STEP, BALANCED, MASK_GUIDED],
    ids=["published", "cnn_rnn", "one_cycle", "cosine", "mask_guided"],
)
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
    assert last(tmp_path) is None
    (tmp_path / "weights.safetensors").unlink()
    train_small(data, tmp_path, epochs=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(tmp_path).items())


def test_the_log_beside_the_checkpoints_still_says_why_the_last_start_ended(data, tmp_path):
    with pytest.raises(SystemExit, match="run the same command again"):
        train_small(data, tmp_path, epochs=1, max_minutes=1e-9)
    train_small(data, tmp_path, epochs=1)
    log = (tmp_path / "checkpoints/train.log").read_text()
    found = re.findall("started: |stopped: .* run the same command again|resuming after", log)
    assert [words[:8] for words in found] == ["started:", "stopped:", "started:", "resuming"]


def test_processes_wait_for_each_other_before_a_finished_trainings_checkpoint_goes(
    tmp_path, monkeypatch
):
    """Killed before its results were there; as on a cluster, each process is started from outside.

    The first is at its port, where it waits, before the second begins to look for the checkpoint.
    """
    write_data(tmp_path)
    flags = command(tmp_path, tmp_path, epochs=1, devices=2)
    (tmp_path / "history.csv").mkdir()  # no file can take this name: it ends there
    process = start(flags)
    _, stderr = process.communicate(timeout=120)
    assert "history.csv" in stderr
    before = last(tmp_path)
    (tmp_path / "history.csv").rmdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("MASTER_PORT", str(port))
    monkeypatch.setenv("LOCAL_RANK", "0")
    first = start(flags)
    while not listening(port):
        assert first.poll() is None, "it did not wait"
        time.sleep(0.05)
    monkeypatch.setenv("LOCAL_RANK", "1")
    second = start(flags)
    for process in (first, second):
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
    assert not before.exists()
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [1]
    assert not (before.parent / "epoch-002.safetensors").exists()


def listening(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_who_changes_a_setting_and_changes_it_back_goes_on(data, tmp_path):
    few = {"epochs": 2, "keep": 1, "augmentation": {}}
    train_small(data, tmp_path / "whole", **few)
    for _ in range(5):  # the last of them ends the first epoch
        with pytest.raises(SystemExit, match="run the same command again"):
            train_small(data, tmp_path / "out", max_minutes=1e-9, **few)
    train_small(data, tmp_path / "out", **{**few, "width": 0.02, "epochs": 1})
    state = torch.load(last(tmp_path / "out"), weights_only=True)
    assert (state["epoch"], state["batch"]) == (1, 0)
    train_small(data, tmp_path / "out", **few)
    for name in RESULTS:
        out, whole = ((tmp_path / run / name).read_bytes() for run in ("out", "whole"))
        assert out == whole, name


@pytest.mark.parametrize("of", ["code", "version"])
def test_other_code_or_packages_do_not_go_on_from_a_checkpoint(data, tmp_path, monkeypatch, of):
    with pytest.raises(SystemExit, match="run the same command again"):
        train_small(data, tmp_path, max_minutes=1e-9)
    first = last(tmp_path)
    if of == "code":
        monkeypatch.setattr(provenance.Code, "of", lambda *stage: {"pipeline/train.py": ""})
    else:
        monkeypatch.setattr(provenance.importlib.metadata, "version", lambda name: "0")
    train_small(data, tmp_path, epochs=2)
    assert last(tmp_path) == first  # it lies where it lay


def test_the_weights_that_a_checkpoint_needs_outlive_a_kill_before_the_next_one(
    data, tmp_path, monkeypatch
):
    """The second epoch is better and displaces the first; the kill comes before its checkpoint."""
    save = Checkpoints.save

    def killed(checkpoints, learner):
        if learner.epoch == 2:
            raise RuntimeError("killed")
        save(checkpoints, learner)

    monkeypatch.setattr(Checkpoints, "save", killed)
    with pytest.raises(RuntimeError, match="killed"):
        train_small(data, tmp_path, keep=1)
    monkeypatch.undo()
    folder = last(tmp_path).parent
    assert pd.read_csv(folder / "history.csv")["epoch"].tolist() == [1]
    assert kept_epochs(folder) == [1, 2]
    train_small(data, tmp_path, keep=1)
    assert kept_epochs(folder) == [2]


def kept_epochs(folder):
    return sorted(int(path.stem[-3:]) for path in folder.glob("epoch-*.safetensors"))


def test_a_checkpoint_that_needs_code_to_be_read_is_refused_and_runs_nothing(data, tmp_path):
    with pytest.raises(SystemExit, match="run the same command again"):
        train_small(data, tmp_path, max_minutes=1e-9)
    trap = tmp_path / "sprung"
    torch.save({"epoch": 0, "batch": 1, "more": Harmful(trap)}, last(tmp_path))
    with pytest.raises(SystemExit, match="was refused"):
        train_small(data, tmp_path)
    assert not trap.exists()


PLACES = {  # where SIGTERM arrives: the method, and which of its calls
    "before the first step": (FaceData, "train_dataloader", 1),
    "in mid-accumulate": (Learner, "training_step", 3),
    "in the last batch": (Learner, "training_step", 10),
    "while validating": (Learner, "validation_step", 1),
}


@pytest.mark.parametrize("place", PLACES)
def test_told_to_end_anywhere_it_keeps_what_it_did_and_says_so(data, tmp_path, monkeypatch, place):
    changes = {"accumulate": 2, "epochs": 2}
    train_small(data, tmp_path / "whole", **changes)
    owner, name, call = PLACES[place]
    method, calls = getattr(owner, name), count(1)

    def signalled(*given):
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGTERM)
        return method(*given)

    monkeypatch.setattr(owner, name, signalled)
    with pytest.raises(SystemExit, match="SIGTERM"):
        train_small(data, tmp_path / "out", **changes)
    monkeypatch.undo()
    done = last(tmp_path / "out")
    state = torch.load(done, weights_only=True) if done else {"epoch": 0, "batch": 0}
    stood = {"before the first step": (0, 0), "in mid-accumulate": (0, 4)}
    assert (state["epoch"], state["batch"]) == stood.get(place, (1, 0))
    train_small(data, tmp_path / "out", **changes)
    out, whole = ((tmp_path / run / RESULTS[0]).read_bytes() for run in ("out", "whole"))
    assert out == whole


def test_told_to_end_while_threads_read_it_says_so_and_keeps_a_checkpoint(tmp_path):
    """As a scheduler does it: the signal goes to every process of the job."""
    write_data(tmp_path, train_faces=160)
    process = start(command(tmp_path, tmp_path, workers=2, checkpoint_minutes=1e-9))
    while not last(tmp_path):
        assert process.poll() is None, "it ended before there was a checkpoint"
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "SIGTERM" in stderr
    assert "Traceback" not in stderr
    assert last(tmp_path)


WITHOUT_SHARED_MEMORY = "mount -t tmpfs -o size=64m tmpfs /dev/shm"


def test_with_little_shared_memory_the_published_batch_trains_to_its_end(tmp_path):
    """As in a container: 16 batches of 40 published faces, read ahead, are more than 64 MB."""
    if subprocess.run(["unshare", "--mount", "sh", "-c", WITHOUT_SHARED_MEMORY]).returncode:
        lacking("this machine may not mount", "ATTPARSE_REQUIRE_MOUNTS")
    encoded = cv2.imencode(".png", np.full((218, 178, 3), 99, np.uint8))[1].tobytes()
    labels = np.random.default_rng(0).random((840, 40)) < 0.5
    faces = (
        Face(f"{i}.png", "train" if i < 800 else "valid", i, row, encoded)
        for i, row in enumerate(labels)
    )
    write_faces(tmp_path / "faces", faces, (218, 178))
    changes = {"batch_size": 40, "workers": 4, "input_size": [32, 32], "segmentation_weight": 0}
    line = [sys.executable, "-m", "pipeline.train"]
    line += command(tmp_path, tmp_path, masks=False, epochs=1, **changes)
    script = f"{WITHOUT_SHARED_MEMORY} && exec {shlex.join(line)}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "weights.safetensors").exists()
