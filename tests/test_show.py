"""What a person reads at the end of a run: the numbers of the files, in 80 columns."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline import evaluate, show
from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.predictions import Predictions

SETTINGS = {"min_class": 10, "draws": 20, "seed": 1, "groups": [["Male"]]}
WARNING = "the splits are train 160,000 · valid 20,000 · test 22,599; CelebA's official ones differ"


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A results folder with the judgement of two models."""
    folder = tmp_path_factory.mktemp("results") / "synthetic"
    rng = np.random.default_rng(0)
    labels = rng.random((60, 40)) < 0.4
    labels[:, ATTRIBUTES.index("Bald")] = False
    said = Predictions(
        names=[f"{row}.jpg" for row in range(60)],
        splits=np.full(60, "test"),
        identities=np.arange(60) // 3,
        labels=labels,
        attributes=list(ATTRIBUTES),
        logits=(labels + rng.normal(-0.5, 0.5, labels.shape)).astype(np.float32),
        thresholds=np.full(40, 0.5),
        train_positives=np.full(40, 0.4),
        weights="",
    )
    summary, table = evaluate.assess(said, SETTINGS)
    for model in ("attparsenet", "cnn_rnn"):
        judged = folder / model / "seed-64" / "on-synthetic"
        judged.mkdir(parents=True)
        (judged / "metrics.json").write_text(json.dumps(summary | {"warnings": [WARNING]}))
        evaluate.write_table(judged / "metrics.csv", table)
    (folder / "faces").mkdir()
    return folder


def printed(capsys, *flags: str) -> str:
    show.main(list(flags))
    return capsys.readouterr().out


def test_the_table_has_the_files_numbers_in_80_columns_without_colour(results, capsys):
    text = printed(capsys, "--results", str(results), "--model", "attparsenet")
    summary = json.loads((results / "attparsenet/seed-64/on-synthetic/metrics.json").read_text())
    assert f"{summary['auroc']:.3f}" in text
    assert "mean of 39 attributes" in text
    assert "intervals over 20 people (few: too narrow)" in text
    assert max(map(len, text.splitlines()[:-20])) <= 80
    assert "\x1b" not in text
    assert "cnn_rnn" not in text


def test_an_attribute_outside_the_means_is_marked_and_last(results, capsys):
    lines = printed(capsys, "--results", str(results), "--model", "cnn_rnn").splitlines()
    (bald,) = [line for line in lines if line.startswith("Bald")]
    assert bald.split()[1] == "*"
    assert bald.split()[-1] == "–"
    assert "too few test images of a class" in lines[lines.index(bald) + 1]


def test_warnings_are_shown_whole(results, capsys):
    text = printed(capsys, "--results", str(results), "--model", "attparsenet")
    assert WARNING in " ".join(text.split())


def test_without_a_model_all_are_shown_with_what_there_is_to_open(results, capsys):
    text = printed(capsys, "--results", str(results))
    assert "attparsenet/seed-64/on-synthetic\n" in text
    assert "cnn_rnn/seed-64/on-synthetic\n" in text
    assert "datasets.load_from_disk" in text
    assert "masks.zarr" not in text  # it is not there


def test_one_judgement_can_be_shown_from_its_two_files(results, capsys):
    judged = results / "cnn_rnn/seed-64/on-synthetic"
    flags = ["--metrics", str(judged / "metrics.json"), "--table", str(judged / "metrics.csv")]
    assert "Mouth_Slightly_Open" in printed(capsys, *flags)


def test_colours_are_for_terminals():
    assert show.Paint(colours=False)("text", show.BOLD) == "text"
    assert show.Paint(colours=True)("text", show.BOLD) == "\x1b[1mtext\x1b[0m"


def test_results_without_metrics_end_in_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match="holds no metrics of attparsenet"):
        show.main(["--results", str(tmp_path), "--model", "attparsenet"])
