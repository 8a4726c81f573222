"""docs/own.md as its reader follows it: each block is written, or run, in a copy of the project."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import onnx
import pandas as pd
import pytest
from conftest import ROOT
from face_detection import fetched_model
from test_workflow import Project

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMES = ["Glasses", "Hat", "Smile"]


def follow(folder: Path) -> None:
    """Do what the page says, block by block; ``.venv`` is this Python's."""
    for kind, text in BLOCK.findall((ROOT / "docs/own.md").read_text(encoding="utf-8")):
        if kind == "yaml":
            (folder / "mine.yaml").write_text(text)
        elif kind == "python":
            subprocess.run([sys.executable, "-c", text], cwd=folder, check=True)
        for line in text.splitlines() if kind == "sh" else []:
            program, *words = shlex.split(line)
            module = ["-m", "snakemake"] * (program == ".venv/bin/snakemake")
            command = [sys.executable, *module, *words]
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_the_walk_through_ends_with_a_network_of_ones_own(tmp_path):
    fetched_model()  # skips where there is none
    folder = Project(tmp_path).folder
    follow(folder)
    results, run = folder / "results/mine", folder / "results/mine/mine/seed-64"
    labels = pd.read_csv(folder / "data/mine/labels.csv")
    assert len(labels) == 60
    faces = json.loads((results / "faces.json").read_text())
    unknown = faces["unknown_labels"]
    assert list(unknown) == NAMES
    assert 10 < sum(unknown.values()) < 30
    table = pd.read_csv(run / "on-mine/metrics.csv").set_index("attribute")
    assert list(table.index) == NAMES
    test = labels[labels["split"] == "test"]
    if faces["rejected"] == 0:
        assert table["images"].tolist() == test[NAMES].notna().sum().tolist()
        assert table["positives"].tolist() == (test[NAMES] == 1).sum().tolist()
    assert table["images"].min() < faces["test"]
    assert list(pd.read_csv(run / "predict/faces.csv").columns[-3:]) == NAMES
    about = {p.key: p.value for p in onnx.load(run / "export/model.onnx").metadata_props}
    assert json.loads(about["attributes"]) == NAMES
    page = (run / "on-mine/figures/gallery.html").read_text(encoding="utf-8")
    assert all(name in page for name in NAMES)
