"""Snakemake itself, killed or told to end at any moment; then the same command."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from faults.counts import count, times
from test_workflow import Project

from pipeline.core.files import sha256

pytestmark = pytest.mark.slow

TARGET = "landmarks"
COMMAND = [sys.executable, "-m", "snakemake", "--cores", "2", TARGET, "--configfile", "tiny.yaml"]
ARTIFACTS = ("faces", "manifest.csv", "faces.json", "landmarks.csv", "landmarks.json")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def undisturbed(project) -> tuple[dict[str, str], float]:
    """The hashes of an undisturbed run, which leaves nothing behind, and its seconds."""
    began = time.monotonic()
    run = subprocess.run(COMMAND, cwd=project.folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return hashes(project.folder), time.monotonic() - began


def hashes(project: Path) -> dict[str, str]:
    return {name: sha256(project / "results/tiny" / name) for name in ARTIFACTS}


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


@pytest.mark.parametrize("name", SIGNALS)
def test_ended_at_any_moment_the_same_command_ends_as_if_it_had_not_been(
    project, undisturbed, name
):
    """SIGKILL takes all processes, as a power failure; the others go to Snakemake alone.

    No process is left, and a lock is named by the next run, with ``--unlock``.
    """
    whole, seconds = undisturbed
    random, tried = np.random.default_rng(SIGNALS.index(name)), times(1, 8)
    for _ in range(tried):
        for folder in ("results", ".snakemake", "logs", "benchmarks"):
            shutil.rmtree(project.folder / folder, ignore_errors=True)
        run = subprocess.Popen(
            COMMAND, cwd=project.folder, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(float(random.uniform(0.2, 1)) * seconds)
        if name == "SIGKILL":
            os.killpg(run.pid, signal.SIGKILL)
        else:
            run.send_signal(signal.Signals[name])
        run.wait(timeout=120)
        deadline = time.monotonic() + 20
        while (left := processes_in(project.folder)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left, left
        again = subprocess.run(COMMAND, cwd=project.folder, capture_output=True, text=True)
        if again.returncode and "--unlock" in again.stderr:
            unlock = subprocess.run([*COMMAND, "--unlock"], cwd=project.folder, capture_output=True)
            assert unlock.returncode == 0
            again = subprocess.run(COMMAND, cwd=project.folder, capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        assert hashes(project.folder) == whole
    kind = "killed" if name == "SIGKILL" else "interrupted"
    count(kind, "Snakemake" if name == "SIGKILL" else f"Snakemake by {name}", tried, tried)
