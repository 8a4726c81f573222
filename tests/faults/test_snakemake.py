"""Snakemake itself: ended at any moment, twice at once, and in folders of any name."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from face_sets import SMALL
from faults.counts import count, times
from faults.test_inputs import NAMES, write_folder
from test_workflow import Project

from pipeline.core.faces.store import faces_sha256, open_faces
from pipeline.core.files import sha256

pytestmark = pytest.mark.slow

TARGET = "landmarks"
COMMAND = [sys.executable, "-m", "snakemake", "--cores", "2", TARGET, "--configfile", "tiny.yaml"]
ARTIFACTS = ("faces", "manifest.csv", "faces.json", "landmarks.csv", "landmarks.json")
CHAIN = ("faces", "landmarks.csv", "masks.zarr")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("project"))


class Undisturbed(NamedTuple):
    """The hashes that a run has which nothing disturbs, and its seconds up to the landmarks."""

    hashes: dict[str, str]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(project) -> Undisturbed:
    began = time.monotonic()
    run = subprocess.run(COMMAND, cwd=project.folder, capture_output=True, text=True)
    seconds = time.monotonic() - began
    assert run.returncode == 0, run.stderr
    run = project.snakemake("masks")
    assert run.returncode == 0, run.stdout
    return Undisturbed(hashes(project.folder, (*ARTIFACTS, *CHAIN)), seconds)


def hashes(project: Path, artifacts: tuple[str, ...]) -> dict[str, str]:
    return {name: sha256(project / "results/tiny" / name) for name in artifacts}


def assert_equal(project: Path, artifacts: tuple[str, ...], undisturbed: Undisturbed) -> None:
    found = hashes(project, artifacts)
    assert found == {name: undisturbed.hashes[name] for name in artifacts}


def clear(project: Path) -> None:
    for folder in ("results", ".snakemake", "logs", "benchmarks"):
        shutil.rmtree(project / folder, ignore_errors=True)


def processes_in(folder: Path) -> list[str]:
    """The command lines of all processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == folder.resolve():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it has ended, or is another user's
    return found


SIGNALS = ("SIGKILL", "SIGINT", "SIGTERM")


def test_ended_at_any_moment_the_same_command_ends_as_if_it_had_not_been(project, undisturbed):
    """Three times one after another, each time by another signal, then left alone.

    SIGKILL takes all processes, as a power failure; the others go to Snakemake alone. No process
    is left, and a lock is named by the next run, with ``--unlock``.
    """
    random = np.random.default_rng(0)
    for _ in range(times(1, 8)):
        clear(project.folder)
        for name in random.permutation(SIGNALS):
            run = start_unlocked(project.folder)
            time.sleep(float(random.uniform(0.2, 0.8)) * undisturbed.seconds)
            if name == "SIGKILL":
                os.killpg(run.pid, signal.SIGKILL)
            else:
                run.send_signal(signal.Signals[name])
            run.wait(timeout=120)
            deadline = time.monotonic() + 20
            while (left := processes_in(project.folder)) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not left, (name, left)
        assert start_unlocked(project.folder).wait(timeout=600) == 0
        assert_equal(project.folder, ARTIFACTS, undisturbed)
        for name in SIGNALS:
            kind = "killed" if name == "SIGKILL" else "interrupted"
            count(kind, "Snakemake" if name == "SIGKILL" else f"Snakemake by {name}", 1, 1)


def start_unlocked(folder: Path, command: Sequence[str] = COMMAND) -> subprocess.Popen[bytes]:
    """Start the command, after ``--unlock`` where a lock is left."""
    if list(folder.glob(".snakemake/locks/*")):
        refused = subprocess.run(COMMAND, cwd=folder, capture_output=True, text=True)
        assert refused.returncode
        assert "--unlock" in refused.stderr
        unlock = subprocess.run([*COMMAND, "--unlock"], cwd=folder, capture_output=True)
        assert unlock.returncode == 0
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=folder, start_new_session=True, **quiet)


def test_a_second_run_in_the_folder_is_refused_unless_it_is_of_another_data_set(
    project, undisturbed
):
    """Snakemake names the lock; ``--nolock`` is for another data set, whose results lie apart."""
    results, command = project.folder / "results", [*COMMAND, "--until", "acquire"]
    clear(project.folder)
    first = start_unlocked(project.folder, command)
    deadline = time.monotonic() + 120
    while not list(project.folder.glob(".snakemake/locks/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGSTOP)  # it might end before the second looks at the lock
    second = subprocess.run(command, cwd=project.folder, capture_output=True, text=True)
    assert second.returncode
    assert "no other Snakemake process" in second.stderr
    assert "Traceback" not in second.stderr
    os.killpg(first.pid, signal.SIGCONT)
    beside = project.snakemake("--nolock", "results/other/faces.json")
    assert beside.returncode == 0, beside.stdout
    assert first.wait(timeout=600) == 0
    assert_equal(project.folder, ("faces", "manifest.csv", "faces.json"), undisturbed)
    summary = json.loads((results / "other/faces.json").read_text())
    assert summary["sha256"] == faces_sha256(results / "other/faces")
    count("at once", "Snakemake twice, Snakemake on two data sets", 2, 2)


HOSTILE = 'it\'s $(touch evil) `touch evil`; "&" #'


def test_the_chain_has_the_same_bytes_in_any_folder_with_one_core_or_two(undisturbed, tmp_path):
    """The folder's name, that of a data set's root and those in it are what a shell would run."""
    other, root = Project(tmp_path / HOSTILE), tmp_path / f"root {{x}} {HOSTILE}"
    write_folder(root, NAMES)
    folder = {"source": "folder", "root": str(root), "size": list(SMALL)}
    again = other.snakemake(
        "--cores", "1", "masks", "results/hostile/faces.json",
        overlay=json.dumps({"datasets": {"hostile": folder}}),
    )  # fmt: skip
    assert again.returncode == 0, again.stdout
    assert_equal(other.folder, CHAIN, undisturbed)
    assert set(open_faces(other.folder / "results/hostile/faces").names) == set(NAMES)
    assert not list(tmp_path.rglob("evil"))
    for artifact in CHAIN:
        count("again", artifact, 1, 1)
    count("hostile", "names of folders", 2, 2)
