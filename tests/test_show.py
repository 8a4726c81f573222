"""What a person reads at the end of a run: the numbers of the files, in 80 columns."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from small_training import settings as model_settings

from pipeline import show
from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.errors import UserError
from pipeline.core.evaluation.predictions import Predictions
from pipeline.core.evaluation.summary import summarise
from pipeline.core.files import write_table
from pipeline.core.presentation.edited import may_be_edited
from pipeline.core.presentation.model_card import model_card
from pipeline.core.presentation.pages import fill
from pipeline.core.trained_on import TrainedOn

MODEL = "attparsenet_without_masks_share_0.01"
SETTINGS = {"min_class": 10, "draws": 20, "seed": 1, "groups": [["Male"]]}
MASKS = {"test": {"images": 60, "attributes": 31, "mean": {"iou": 0.4321}, "by_attribute": {}}}
WARNING = "the splits are train 160,000 · valid 20,000 · test 22,599; CelebA's official ones differ"


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A results folder with the metrics of two models."""
    folder = tmp_path_factory.mktemp("results") / "synthetic"
    rng = np.random.default_rng(0)
    labels = rng.random((60, 40)) < 0.4
    labels[:, ATTRIBUTES.index("Bald")] = False
    predictions = Predictions(
        names=[f"{row}.jpg" for row in range(60)],
        splits=np.full(60, "test"),
        identities=np.arange(60) // 3,
        label_names=list(ATTRIBUTES),
        labels=labels,
        attributes=list(ATTRIBUTES),
        logits=(labels + rng.normal(-0.5, 0.5, labels.shape)).astype(np.float32),
        thresholds=np.full(40, 0.5),
        train_positives=np.full(40, 0.4),
        weights="",
    )
    summary, table = summarise(predictions, SETTINGS)
    for model, masks in ((MODEL, MASKS), ("cnn_rnn", None)):
        run = folder / model / "seed-64" / "on-synthetic"
        run.mkdir(parents=True)
        content = summary.to_json() | {"warnings": [WARNING], "masks": masks}
        (run / "metrics.json").write_text(json.dumps(content))
        write_table(run / "metrics.csv", table)
        for name in ("predictions.parquet", "figures", "../weights.safetensors", "../run.json"):
            (run / name).mkdir()
    for name in ("faces", "drawn", "manifest.csv"):
        (folder / name).mkdir()
    return folder


def printed(capsys, *flags: str) -> str:
    show.main(list(flags))
    return capsys.readouterr().out


def test_the_table_has_the_files_numbers_in_80_columns_without_colour(results, capsys, monkeypatch):
    monkeypatch.chdir(results.parent)  # else the folder's own name is longer than a line
    text = printed(capsys, "--results", results.name, "--model", MODEL)
    summary = json.loads((results / MODEL / "seed-64/on-synthetic/metrics.json").read_text())
    assert f"{summary['auroc']:.3f}" in text
    assert "mean of 39 attributes" in text
    assert "intervals over 20 people" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "cnn_rnn" not in text


def test_an_attribute_outside_the_means_is_marked_and_last(results, capsys):
    lines = printed(capsys, "--results", str(results), "--model", "cnn_rnn").splitlines()
    (bald,) = [line for line in lines if line.startswith("Bald")]
    assert bald.split()[1] == "*"
    assert bald.split()[-1] == "–"
    assert "too few test images of a class" in lines[lines.index(bald) + 1]


def test_warnings_are_shown_whole(results, capsys):
    text = printed(capsys, "--results", str(results), "--model", MODEL)
    assert WARNING in " ".join(text.split())


def test_without_a_model_all_are_shown_with_what_there_is_to_open(results, capsys):
    text = printed(capsys, "--results", str(results))
    assert f"{MODEL}/seed-64/on-synthetic\n" in text
    assert "cnn_rnn/seed-64/on-synthetic\n" in text
    assert "datasets.load_from_disk" in text
    assert "  drawn " in text
    assert "masks.zarr" not in text  # it is not there


def test_one_evaluation_can_be_shown_from_its_two_files(results, capsys):
    folder = results / "cnn_rnn/seed-64/on-synthetic"
    flags = ["--metrics", str(folder / "metrics.json"), "--table", str(folder / "metrics.csv")]
    assert "Mouth_Slightly_Open" in printed(capsys, *flags)


def test_maps_have_one_line_where_there_are_any(results, capsys):
    text = printed(capsys, "--results", str(results), "--model", MODEL)
    assert "  mask IoU                     0.432   maps of 31 attributes\n" in text
    assert "mask IoU" not in printed(capsys, "--results", str(results), "--model", "cnn_rnn")


def test_a_reader_who_leaves_before_the_end_leaves_no_traceback(results):
    command = [sys.executable, "-m", "pipeline.show", "--results", str(results)]
    shown = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    shown.stdout.close()  # as `| head` does, and before anything is written
    assert shown.stderr.read() == b""
    assert shown.wait() == 0


def test_several_models_are_set_side_by_side_in_the_order_asked_for(results, capsys):
    text = printed(capsys, "--results", str(results), "--model", "cnn_rnn", "--model", MODEL)
    lines = text.splitlines()
    (head,) = [number for number, line in enumerate(lines) if line.startswith("means  ")]
    summary = json.loads((results / MODEL / "seed-64/on-synthetic/metrics.json").read_text())
    means = [f"{summary[name]:.3f}" for name in ("accuracy", "balanced_accuracy", "auroc")]
    assert lines[head].split()[-2:] == ["mask", "IoU"]
    assert lines[head + 1].split() == ["cnn_rnn/seed-64/on-synthetic", *means, "–"]
    assert lines[head + 2] == f"{MODEL}/seed-64/on-synthetic"  # too long for one line
    assert lines[head + 3].split() == [*means, "0.432"]
    assert max(map(len, lines[head : head + 4])) <= 80
    assert "means  " not in printed(capsys, "--results", str(results), "--model", MODEL)


def test_another_json_ends_in_one_sentence(results, tmp_path):
    other, folder = tmp_path / "run.json", results / "cnn_rnn/seed-64/on-synthetic"
    other.write_text('{"seed": 64}')
    with pytest.raises(SystemExit, match=r"run\.json"):
        show.main(["--metrics", str(other), "--table", str(folder / "metrics.csv")])
    with pytest.raises(SystemExit, match=r"metrics\.json"):
        show.main(["--comparison", str(folder / "metrics.json")])


TRAINED_ON = TrainedOn("somebody", "folder", {"train": 8, "valid": 2})


def test_the_card_names_the_data_set_its_split_and_the_maps(results):
    summary = json.loads((results / MODEL / "seed-64/on-synthetic/metrics.json").read_text())
    summary["data"] = {"faces_sha256": "ab"}
    terms = "Faces of somebody & others.\n\nNot for sale."
    run = {"seed": 64, "best_epoch": 3, "epochs": 5, "images": {"train": 8, "valid": 2},
           "inputs_sha256": {"faces": "cd"}}  # fmt: skip

    def card(**settings) -> str:
        account = run | {"settings": {"share": 1, "stratified_subset": None} | settings}
        return model_card(
            model_settings(attributes=["Male"]),
            TRAINED_ON,
            "ef",
            1e-6,
            account,
            summary,
            None,
            terms,
        )

    assert "CelebA shows celebrities" not in card()
    for words in (
        "Data set: Faces of somebody & others.",
        "Trained on 8 faces of the split train of somebody (images and labels of a user's own",
        "how the labels of somebody would describe a picture",
        "Split: the one that the data set came with.",
        "Evaluated on other faces: sha256 `ab`",
        "| mask IoU of 31 maps | 0.432 |",
    ):
        assert words in card()
    assert "came with, 10 % of its train, drawn by the seed" in card(share=0.1)
    assert "1 % of the data set's own train split, cut 80/20" in card(stratified_subset=0.01)


def test_a_value_that_a_template_lacks_is_one_sentence_about_the_file(tmp_path):
    template = tmp_path / "card.md"
    template.write_text("epoch {{ run.best_epoch }}")
    assert fill(template, run={"best_epoch": 3}) == "epoch 3"
    says = r"run\.json: .*not as it was written .*best_epoch"
    with pytest.raises(UserError, match=says), may_be_edited(Path("run.json")):
        fill(template, run={})


def test_pages_are_filled_with_what_commands_print(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- made by: python -c 'print(6 * 7)' -->\n```text\nold\n```\nb\n")
    refill = [sys.executable, ROOT / "docs/refill.py", page]
    subprocess.run(refill, check=True)
    filled = page.read_text()
    assert filled == "a\n<!-- made by: python -c 'print(6 * 7)' -->\n```text\n42\n```\nb\n"
    page.write_text(filled.replace("6 * 7", "6 / 0"))
    assert subprocess.run(refill, check=False, capture_output=True).returncode
    assert "42" in page.read_text()


def test_colours_are_for_terminals(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for terminal, expected in ((False, "text"), (True, "\x1b[1mtext\x1b[0m")):
        monkeypatch.setattr(sys.stdout, "isatty", lambda shown=terminal: shown)
        assert show.paint("text", show.BOLD) == expected


def test_results_without_metrics_end_in_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match="holds no metrics of attparsenet"):
        show.main(["--results", str(tmp_path), "--model", "attparsenet"])
