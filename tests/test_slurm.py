"""The chain on a real SLURM of one node: what jobs ask for, what is killed, and how it goes on.

Runs where ATTPARSE_TEST_SLURM=1 is set, and fails there if a SLURM is configured or runs already.
Everything that Snakemake submits is submitted at once, before the first test looks: a job takes
some 20 seconds even if it has nothing to do.
"""

import filecmp
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from slurm import Cluster, clear_abandoned, missing, taken
from small_training import SEED, entry, weights, write_data
from test_resources import asked
from test_train import STILL, assert_close, plain_training

from pipeline.core.faces.store import faces_sha256
from pipeline.core.masks.store import hash_shards, shards_sha256

pytestmark = pytest.mark.slurm

TINY = {
    "dataset": "tiny",
    "datasets": {"tiny": {"source": "synthetic", "images": 48, "seed": 3}},
    "landmarks": {"parts": 2},
    "masks": {"parts": 2, "shard": 12},
    "models": {
        "attparsenet": {
            "width": 0.0625, "epochs": 2, "batch_size": 24, "workers": 0, "precision": "32-true",
        },
    },
    "evaluate": {"draws": 20},
}  # fmt: skip
MODEL = Path("results/tiny/attparsenet/seed-64")
# Threads decide the order of sums: the same number everywhere. And a scheduler so near is asked
# more often than a profile should.
THREADS = ["--set-threads", "train=2", "--latency-wait", "20"]
SLURM = ["--workflow-profile", "profiles/slurm", "--slurm-status-command", "squeue"]
SLURM += ["--slurm-init-seconds-before-status-checks", "3", *THREADS]
GENERIC = ["--workflow-profile", "profiles/generic", "--max-status-checks-per-second", "5"]
GENERIC += THREADS


class Project:
    """A copy of the project with a tiny configuration, from which Snakemake is called."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        for name in ("workflow", "pipeline", "envs", "profiles"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name in ("Snakefile", "config.yaml"):
            shutil.copy(ROOT / name, folder)
        (folder / "tiny.yaml").write_text(yaml.safe_dump({**TINY, **changes}))
        (folder / "downloads").mkdir()
        detector = ROOT / "downloads/face_landmarker.task"
        if detector.exists():  # saves a download, changes nothing
            shutil.copy2(detector, folder / "downloads")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "snakemake", "--configfile", "tiny.yaml", *arguments]
        pipe: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(line, cwd=self.folder, **pipe)

    def run(self, *arguments: str) -> str:
        """Run Snakemake, which must succeed; its output."""
        process = self.start(*arguments)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return output

    def ask(self, rule: str, resource: str, value: str) -> None:
        """Change what a rule asks for where users do, in the profile."""
        file = self.folder / "profiles/slurm/config.yaml"
        profile = yaml.safe_load(file.read_text())
        profile["set-resources"][rule][resource] = value
        file.write_text(yaml.safe_dump(profile))

    def json(self, path: Path) -> Any:
        return json.loads((self.folder / path).read_text())


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if os.environ.get("ATTPARSE_TEST_SLURM") != "1":
        pytest.skip("set ATTPARSE_TEST_SLURM=1 to start a SLURM here")
    if missing():
        pytest.fail(missing())
    clear_abandoned()
    if taken():
        pytest.fail(
            "a SLURM is configured or runs here: it is somebody's, and no second one is started;"
            " unset ATTPARSE_TEST_SLURM"
        )
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def done(cluster, tmp_path_factory) -> dict[str, Any]:
    """What each way of running came to, by its name."""
    ways = {"cores": by_cores, "slurm": by_slurm, "generic": by_generic, "tasks": by_two_tasks}
    with ThreadPoolExecutor(len(ways)) as pool:
        running = {
            name: pool.submit(way, tmp_path_factory.mktemp(name), cluster)
            for name, way in ways.items()
        }
        return {name: result.result() for name, result in running.items()}


def by_cores(folder: Path, _: Cluster) -> Project:
    """An undisturbed run on two cores."""
    project = Project(folder / "project")
    project.run("--cores", "2", "--", "train_attparsenet")
    return project


def by_slurm(folder: Path, cluster: Cluster) -> tuple[Project, str, str]:
    """A part is cancelled; the next run mends it, stops its training, and lacks memory once."""
    model = {**TINY["models"]["attparsenet"], "max_minutes": 0.001}
    project = Project(folder / "project", models={"attparsenet": model})
    first = project.start(*SLURM, "--retries", "0", "--", "landmarks")
    wait_for(lambda: running(cluster, "1-of-2") and running(cluster, "2-of-2"))
    cluster.cancel(running(cluster, "1-of-2")[0]["JobId"])
    failed, _ = first.communicate()
    project.ask("evaluate", "mem_mb", "300*4**(attempt-1)")
    return project, failed, project.run(*SLURM, "--", "train_attparsenet")


def by_generic(folder: Path, _: Cluster) -> Project:
    """The whole through submit, status and cancel, with the big folders linked to scratch."""
    project = Project(folder / "project")
    (project.folder / "results").mkdir()
    for name in ("results", "downloads"):
        shutil.move(project.folder / name, folder / name)
        (project.folder / name).symlink_to(folder / name)
    project.run(*GENERIC, "--", "train_attparsenet")
    return project


def by_two_tasks(folder: Path, _: Cluster) -> Project:
    """A training of two processes as one SLURM job of two tasks, of faces that lie ready."""
    model = entry(**STILL, devices=2, accelerator="auto")
    halves = {"source": "synthetic", "images": 19}
    project = Project(
        folder / "project", dataset="halves", datasets={"halves": halves},
        models={"pair": model, "other": model}, train=["pair"],
        compare={"pairs": [["pair", "other"]]},
    )  # fmt: skip
    results = project.folder / "results/halves"
    write_data(results, train_faces=12)
    shards = shards_sha256(hash_shards(results / "masks.zarr"))
    for name, digest in (("faces", faces_sha256(results / "faces")), ("masks", shards)):
        (results / f"{name}.json").write_text(json.dumps({"sha256": digest}))
    (results / "landmarks.json").write_text("{}")
    weights_file = f"results/halves/pair/seed-{SEED}/weights.safetensors"
    project.run(*SLURM, "--allowed-rules", "train", "--", weights_file)
    return project


def running(cluster: Cluster, part: str) -> list[dict[str, str]]:
    jobs = cluster.jobs_of("landmarks_part", "tiny", part)
    return [job for job in jobs if job["JobState"] == "RUNNING"]


def wait_for(condition: Callable[[], Any], seconds: int = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.3)


def states(jobs: list[dict[str, str]]) -> list[str]:
    return [job["JobState"] for job in jobs]


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_same_results(project: Project, reference: Project) -> None:
    """Equal bytes up to training and in its weights; the same metrics after it."""
    ours, theirs = project.folder / "results/tiny", reference.folder / "results/tiny"
    names = [name for name in files_below(theirs) if not name.startswith("attparsenet/")]
    assert names == [name for name in files_below(ours) if not name.startswith("attparsenet/")]
    assert len(names) > 48  # the drawn faces are among them
    names.append("attparsenet/seed-64/weights.safetensors")
    _, different, unreadable = filecmp.cmpfiles(ours, theirs, names, shallow=False)
    assert (different, unreadable) == ([], [])
    metrics = MODEL / "on-tiny/metrics.json"
    assert project.json(metrics) == reference.json(metrics)


def test_results_from_slurm_are_those_of_two_cores(done):
    assert_same_results(done["slurm"][0], done["cores"])


def test_results_of_any_scheduler_in_linked_folders_are_those_of_two_cores(done):
    assert_same_results(done["generic"], done["cores"])
    for name in ("results", "downloads"):
        assert (done["generic"].folder / name).is_symlink()


def test_jobs_get_the_cpus_memory_time_and_gpu_that_their_rules_ask_for(done, cluster):
    resources = asked(TINY)
    part = cluster.jobs_of("landmarks_part", "tiny")[0]
    train, evaluate = (cluster.jobs_of(rule, "tiny")[0] for rule in ("train", "evaluate"))
    for job, rule, cpus in ((part, "landmarks_part", 1), (train, "train", 2)):
        assert (job["NumCPUs"], job["MinMemoryNode"]) == (str(cpus), f"{resources(rule)[0]}M")
        hours, minutes = divmod(resources(rule)[1], 60)
        assert job["TimeLimit"] == f"{hours:02}:{minutes:02}:00"
    assert evaluate["NumCPUs"] == "16"
    for job in (train, evaluate):
        assert (job["TresPerJob"], job["Partition"]) == ("gres:gpu:1", "gpu")
    assert "TresPerJob" not in part


def test_a_cancelled_part_fails_the_run_and_is_all_that_the_next_one_repeats(done, cluster):
    _, failed, mended = done["slurm"]
    assert "CANCELLED" in failed
    assert states(cluster.jobs_of("landmarks_part", "tiny", "1-of-2")) == ["CANCELLED", "COMPLETED"]
    assert states(cluster.jobs_of("landmarks_part", "tiny", "2-of-2")) == ["COMPLETED"]
    assert "Drawing the faces" not in mended


def test_a_job_without_enough_memory_is_submitted_again_and_succeeds(done, cluster):
    jobs = cluster.jobs_of("evaluate", "tiny")
    assert [job["MinMemoryNode"] for job in jobs] == ["300M", "1200M"]
    assert states(jobs) == ["FAILED", "COMPLETED"]
    (log,) = done["slurm"][0].folder.glob("logs/slurm/rule_evaluate/**/*.log")
    assert "exceeded memory limit" in log.read_text()


def test_a_training_that_stops_itself_is_submitted_again_and_goes_on(done, cluster):
    """It stops itself after its first epoch. That its weights are the same is looked at above."""
    assert states(cluster.jobs_of("train", "tiny")) == ["FAILED", "COMPLETED"]
    output = done["slurm"][2]
    assert "training stopped itself" in output
    minutes = asked(TINY)("train")[1]
    assert f"--job-minutes {minutes} " in output


def test_two_tasks_of_a_job_equal_one_process_that_averages_the_halves(done, cluster):
    (job,) = cluster.jobs_of("train", "halves")
    assert (job["NumTasks"], job["TresPerJob"]) == ("2", "gres:gpu:2")
    assert job["JobState"] == "COMPLETED"
    results = done["tasks"].folder / "results/halves"
    network, _ = plain_training(results, lambda rows: [rows[0::2], rows[1::2]])
    assert_close(weights(results / f"pair/seed-{SEED}"), network, 1e-5)
