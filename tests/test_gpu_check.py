"""The prepared check for a GPU (bench/gpu.sh): small, on a CPU, beside little more than torch."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from small_training import write_data

from bench import gpu

MISSING = [
    *("snakemake", "zarr", "numcodecs", "datasets", "pyarrow", "pandas", "mediapipe", "onnx"),
    *("onnxruntime", "jsonschema", "tensorboard", "gdown"),
]
SMALL = "--device cpu --precision 32-true --small --batch 4 --workers 0 --steps 4 --no-compile"
SMALL += " --minutes 60 --limit 900"  # however busy the machine is


@pytest.fixture
def packed(tmp_path):
    """Small faces as --pack writes them, with valid as the test split."""
    write_data(tmp_path)
    path = tmp_path / "faces.npz"
    gpu.pack(tmp_path, 20, path)
    with np.load(path) as file:
        content = dict(file)
    assert content["images"].shape == (27, 44, 40, 3)
    assert content["splits"].tolist() == [0] * 20 + [1] * 7
    np.savez(path, **content | {"splits": content["splits"] * 2})
    return path


def check(folder, *arguments):
    """Run the check where the modules ``MISSING`` cannot be imported; its rows."""
    (folder / "sitecustomize.py").write_text(
        f"import sys\nsys.modules |= dict.fromkeys({MISSING})\n"
    )
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(folder)}
    command = ["sh", ROOT / "bench/gpu.sh", *SMALL.split(), *arguments]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    return run, dict(line.strip("|").split("|", 1) for line in run.stdout.splitlines())


@pytest.mark.slow
def test_every_step_of_the_check_runs_and_has_its_row(packed, tmp_path):
    run, rows = check(tmp_path, "--models", "best", "--faces", str(packed), "--epochs", "1")
    assert run.returncode == 0, run.stdout + run.stderr
    rows = {what.strip(): value for what, value in rows.items()}
    assert "equal weights" in rows["killed and resumed, deterministic"]
    assert "mean AUROC 0." in rows["fast on 20 faces given, 1 epochs"]
    assert "images/s alone" in rows["best: training"]
    assert "images/s" in rows["best: evaluation"]
    assert "TFLOP/s" in rows["large matrix product"]
    assert "as bf16-mixed" in rows["16-mixed"]


def test_what_fails_has_a_row_that_says_so_and_ends_the_check_with_1(monkeypatch, capsys):
    args = gpu.make_parser().parse_args([*SMALL.split(), "--models", "best"])
    step = ("best: training", lambda left: gpu.speed(args, "best", [], left))
    monkeypatch.setattr(gpu, "steps", lambda args: [step])
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    assert gpu.measure(args) == 1
    assert "| best: training | FAILED: timm is not installed |" in capsys.readouterr().out


def test_a_step_without_time_left_says_so(capsys):
    args = gpu.make_parser().parse_args([*SMALL.split(), "--minutes", "0", "--models"])
    assert gpu.measure(args) == 1
    assert capsys.readouterr().out.count("FAILED: no time was left for it") == 3
