"""What a killed test run left of its SLURM does not keep the next from starting one."""

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import slurm


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cluster, and where SLURM looks for its files: links into that folder."""
    monkeypatch.setattr(slurm, "PLACE", tmp_path / "etc")
    root = tmp_path / f"{slurm.PREFIX}x"
    for folder in (root, slurm.PLACE):
        folder.mkdir()
    for file in slurm.FILES:
        (root / file).touch()
        (slurm.PLACE / file).symlink_to(root / file)
    (root / "lock").touch()
    return root


@pytest.fixture
def daemons(root: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A daemon of the cluster, and another program that has the number of one that ended."""
    running = []
    for name, pid_file in (("slurmd", "slurmd.pid"), ("other", "munged.pid")):
        program = shutil.copy(shutil.which("sleep") or "", root.parent / name)
        running.append(subprocess.Popen([program, "60"]))
        Thread(target=running[-1].wait).start()  # what has ended is no zombie
        (root / pid_file).write_text(f"{running[-1].pid}\n")
    yield running
    for process in running:
        process.kill()


def test_of_an_abandoned_cluster_nothing_is_left(root, daemons):
    slurm.clear_abandoned()
    assert not root.exists()
    assert not list(slurm.PLACE.iterdir())
    assert daemons[0].poll() is not None
    assert daemons[1].poll() is None


def test_links_into_a_folder_that_is_gone_go_too(root):
    shutil.rmtree(root)
    slurm.clear_abandoned()
    assert not list(slurm.PLACE.iterdir())


def test_a_cluster_that_a_test_run_holds_is_left_alone(root, daemons):
    with (root / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        slurm.clear_abandoned()
    assert {file.name for file in slurm.PLACE.iterdir()} == set(slurm.FILES)
    assert daemons[0].poll() is None


def test_the_files_of_somebody_elses_cluster_are_left_alone(root):
    (slurm.PLACE / slurm.FILES[0]).unlink()
    (slurm.PLACE / slurm.FILES[0]).touch()
    (slurm.PLACE / slurm.FILES[1]).unlink()
    (slurm.PLACE / slurm.FILES[1]).symlink_to(root.parent / "theirs/gres.conf")
    slurm.clear_abandoned()
    assert {file.name for file in slurm.PLACE.iterdir()} == set(slurm.FILES)
