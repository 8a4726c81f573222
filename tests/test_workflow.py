"""The workflow as its users meet it: plans, runs, reruns, mistakes."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

TINY = """
dataset: tiny
datasets:
  tiny: {source: synthetic, images: 40, seed: 3}
landmarks: {parts: 2}
masks: {parts: 2, shard: 10}
models:
  attparsenet: {width: 0.05, epochs: 1, batch_size: 14, workers: 0, precision: 32-true}
  cnn_rnn: {epochs: 1, batch_size: 14, input_size: [64, 64], workers: 0, pretrained: false}
evaluate: {draws: 20}
"""


class Project:
    """A copy of the project with a tiny configuration, and Snakemake in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("workflow", "pipeline", "envs", "profiles"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name in ("Snakefile", "config.yaml"):
            shutil.copy(ROOT / name, folder)
        (folder / "tiny.yaml").write_text(TINY)
        if (ROOT / "downloads/face_landmarker.task").exists():  # saves a download, changes nothing
            (folder / "downloads").mkdir()
            shutil.copy2(ROOT / "downloads/face_landmarker.task", folder / "downloads")

    def snakemake(self, *arguments: str, overlay: str = "{}") -> subprocess.CompletedProcess[str]:
        """Run Snakemake with the tiny configuration and an overlay over that."""
        (self.folder / "overlay.yaml").write_text(overlay)
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        return subprocess.run(
            [*command, "--configfile", "tiny.yaml", "overlay.yaml"],
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # a dry run reports on stdout, a real one on stderr
            check=False,
        )

    def ran(self, *arguments: str) -> Counter[str]:
        """Run Snakemake; how often each rule ran that did work."""
        run = self.snakemake(*arguments)
        assert run.returncode == 0, run.stdout
        finished = re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", run.stdout)
        targets = {"all", "faces", "landmarks", "masks"}
        return Counter(r for r in finished if r not in targets and not r.startswith("train_"))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def finished(project):
    """The project after a run of everything."""
    run = project.snakemake()
    assert run.returncode == 0, run.stdout
    return project


def test_a_fresh_checkout_plans_every_stage(project):
    plan = project.snakemake("train_attparsenet", "--dry-run")
    assert plan.returncode == 0, plan.stdout
    for rule in ("synthesize", "acquire", "landmarks_part", "masks_gather", "train", "evaluate"):
        assert f"\n{rule} " in plan.stdout


def test_everything_is_made_and_then_nothing_is_to_be_done(finished):
    for model in ("attparsenet", "cnn_rnn"):
        judged = finished.folder / f"results/tiny/{model}/seed-64/on-tiny"
        metrics = json.loads((judged / "metrics.json").read_text())
        assert metrics["split"] == "test"
        assert metrics["images"] > 0
        assert (judged / "predictions.parquet").exists()
        assert len(pd.read_csv(judged / "metrics.csv")) == (40 if model == "attparsenet" else 1)
    assert "Nothing to be done" in finished.snakemake().stdout


def test_row_i_is_the_same_face_everywhere(finished):
    import datasets
    import zarr

    results = finished.folder / "results/tiny"
    names = datasets.load_from_disk(str(results / "faces"))["image_name"]
    landmarks = pd.read_csv(results / "landmarks.csv")
    store = zarr.open_group(str(results / "masks.zarr"), mode="r")
    assert list(names) == landmarks["image_name"].tolist() == list(store["names"][:])
    # An order that all three share by mistake would still not fit the drawn faces.
    truth = pd.read_csv(results / "drawn/landmarks.csv").set_index("image_name")
    for i, name in enumerate(names):
        eyes = [f"{axis}_{point}" for axis in "xy" for point in (36, 45)]
        found = landmarks.loc[i, eyes].to_numpy(dtype=float)
        assert abs(found - truth.loc[name, eyes].to_numpy(dtype=float)).max() < 8
        x, y = (int(landmarks.loc[i, f"{axis}_36"]) for axis in "xy")
        assert store["regions"][i][y - 2 : y + 3, x - 2 : x + 3].any()


@pytest.mark.parametrize(
    ("forced", "expected"),
    [
        ("results/tiny/landmarks/2-of-2.csv", {"landmarks_part": 1, "landmarks_gather": 1}),
        ("results/tiny/masks/1-of-2.json", {"masks_part": 1, "masks_gather": 1}),
        ("train", {"train": 1, "evaluate": 1}),
    ],
)
def test_a_stage_that_is_run_again_reruns_only_what_it_reaches(finished, forced, expected):
    assert finished.ran("train_attparsenet", "-R", forced) == expected
    assert "Nothing to be done" in finished.snakemake("train_attparsenet").stdout


def test_the_number_of_parts_changes_no_result(finished):
    before = (finished.folder / "results/tiny/landmarks.csv").read_bytes()
    run = finished.snakemake("landmarks", overlay="landmarks: {parts: 3}")
    assert "Finished jobid" in run.stdout
    assert (finished.folder / "results/tiny/landmarks.csv").read_bytes() == before
    assert finished.ran("train_attparsenet") == {"landmarks_gather": 1}


def test_a_changed_stage_is_run_again(finished):
    with (finished.folder / "pipeline/evaluate.py").open("a") as file:
        file.write("# changed\n")
    assert finished.ran("train_attparsenet") == {"evaluate": 1}


@pytest.mark.parametrize(
    ("overlay", "says"),
    [
        ("datset: tiny", "did you mean 'dataset'"),
        ("models: {attparsenet: {epoch: 2}}", "did you mean 'epochs'"),
        ("{dataset: gone, datasets: {gone: {source: celeba, root: nowhere}}}", "nowhere"),
    ],
)
def test_a_mistake_ends_in_one_sentence_before_any_work(project, overlay, says):
    run = project.snakemake("train_attparsenet", overlay=overlay)
    assert run.returncode != 0
    (sentence,) = {line for line in run.stdout.splitlines() if line.startswith("attparse: ")}
    assert says in sentence
    assert "Traceback" not in run.stdout


def test_another_working_folder_is_refused_in_one_sentence(project, tmp_path):
    run = project.snakemake("--directory", str(tmp_path), "--dry-run")
    assert run.returncode != 0
    assert "without --directory" in run.stdout
