"""torchvision can be imported beside any torch, and costs nothing where nobody imports it."""

import subprocess
import sys

import pytest
from conftest import ROOT

# What torchvision's import does with its operators: its library declares them, or nobody has.
LIKE_TORCHVISION = """
import torch
if {loads}:
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float threshold) -> Tensor")
from torchvision import registered
"""
REGISTERED = """
import torch
@torch.library.register_fake("torchvision::nms")
def nms(dets, scores, threshold):
    return dets
"""


def python(code: str, path: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": path} if path else {},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_torchvision_of_this_installation_can_be_imported():
    code = "import pipeline, torchvision; print(torchvision.models.resnet18().fc.out_features)"
    assert python(code) == "1000\n"


@pytest.mark.slow
@pytest.mark.parametrize("loads", [True, False], ids=["library of its own", "no library"])
def test_operators_are_declared_only_where_the_library_does_not_load(tmp_path, loads):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text(LIKE_TORCHVISION.format(loads=loads))
    (tmp_path / "torchvision/registered.py").write_text(REGISTERED)
    code = (
        "import pipeline, torchvision; from pipeline.core.torchvision_on_cpu import _declared;"
        "print(torchvision.registered.nms(1, 2, 3), len(_declared))"
    )
    assert python(code, str(tmp_path)) == f"1 {int(not loads)}\n"


def test_another_error_of_its_import_is_not_hidden(tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('built for another torch')")
    code = "import pipeline, torchvision"
    with pytest.raises(AssertionError, match="built for another torch"):
        python(code, str(tmp_path))


def test_the_guard_imports_no_torch_until_torchvision_is_imported():
    code = (
        "import sys, pipeline, importlib.util; importlib.util.find_spec('torchvision');"
        "print('torch' in sys.modules)"
    )
    assert python(code) == "False\n"
