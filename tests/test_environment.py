"""The requirement files agree with one another and with what is installed."""

import ast
import importlib.metadata
import json
import re
import runpy
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from conftest import ROOT


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "envs" / name).read_text().splitlines()
    pairs = (line.split("==") for line in lines if re.match(r"^[A-Za-z]", line))
    return {same(name): version for name, version in pairs}


def same(name: str) -> str:
    """A package's name in the one form that all its spellings have."""
    return re.sub(r"[-_.]+", "-", name).lower()


CONSTRAINTS = pins("constraints.txt")


def test_the_conda_environment_has_the_packages_of_the_requirements():
    conda = yaml.safe_load((ROOT / "envs/attparse.yaml").read_text())
    (pip,) = (entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict))
    assert dict(line.split("==") for line in pip) == pins("requirements.txt")
    libraries = {"GL": "libgl", "EGL": "libegl", "GLESv2": "libgles", "glib-2.0": "libglib"}
    asked = runpy.run_path(str(ROOT / "envs/check_system.py"))["LIBRARIES"]
    assert {libraries[name] for name in asked} <= {str(entry) for entry in conda["dependencies"]}


def test_the_package_and_its_citation_have_one_version_and_licence():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    for key in ("version", "license"):
        assert project[key] == citation[key], key


def imported(folders: list[str]) -> set[str]:
    """Top names of everything that the code of these folders imports."""
    names = set()
    for folder in folders:
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    names |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names.add(node.module.split(".")[0])
    return names


def test_all_that_the_pipeline_imports_is_a_direct_requirement():
    """What only another package happens to bring is gone when that package changes."""
    packages = importlib.metadata.packages_distributions()
    direct = pins("requirements.txt").keys() | pins("dlib.txt").keys()
    missing = {
        name: packages[name]
        for name in imported(["pipeline"])
        if name in packages and not direct & {same(package) for package in packages[name]}
    }
    assert missing == {}


@pytest.mark.parametrize("name", ["requirements.txt", "dlib.txt", "development.txt"])
def test_constraints_hold_every_direct_requirement(name):
    assert pins(name).items() <= CONSTRAINTS.items()


@pytest.mark.parametrize("name", ["requirements.txt", "dlib.txt", "development.txt"])
def test_what_is_installed_is_what_is_pinned(name):
    installed = {
        package: importlib.metadata.version(package).split("+")[0] for package in pins(name)
    }
    assert installed == pins(name)


def test_constraints_reach_everything_that_the_requirements_need():
    """No package is left to whatever is newest on the day of the installation."""
    needed = set(pins("requirements.txt"))
    seen: set[str] = set()
    while needed - seen:
        package = (needed - seen).pop()
        seen.add(package)
        for requirement in importlib.metadata.requires(package) or []:
            name = same(re.match(r"[A-Za-z0-9._-]+", requirement)[0])
            try:
                importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue  # an extra, or another platform's
            if "extra ==" not in requirement:
                needed.add(name)
    assert seen <= CONSTRAINTS.keys()


@pytest.mark.slow
def test_the_benchmark_of_training_runs_where_little_more_than_torch_is_installed():
    """A machine with a GPU may have torch, torchvision, lightning, torchmetrics, and no more."""
    missing = [
        *("cv2", "safetensors", "snakemake", "zarr", "numcodecs", "datasets", "pyarrow", "pandas"),
        *("mediapipe", "onnx", "onnxruntime", "jsonschema", "tensorboard", "gdown"),
    ]
    small = "--width 0.02 --size 64 48 --batch 4 --workers 1 --warmup 1 --steps 1 --repeats 1"
    code = (
        f"import runpy, sys; sys.modules |= dict.fromkeys({missing})\n"
        f"sys.argv = ['bench.training', *{small.split()}]\n"
        "runpy.run_module('bench.training', run_name='__main__')"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    rates = json.loads(run.stdout)["images_per_second"]
    assert all(rates[part]["median"] > 0 for part in ("model", "loader", "both"))


@pytest.mark.slow
def test_an_environment_that_was_cut_off_while_it_was_made_is_made_again(tmp_path):
    (tmp_path / "envs").symlink_to(ROOT / "envs")
    shutil.copy(ROOT / "Makefile", tmp_path)
    venv = [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / ".venv")]
    subprocess.run(venv, check=True)
    make = ["make", ".venv/ready", f"PYTHON={sys.executable}", "PIP=true"]
    subprocess.run(make, cwd=tmp_path, check=True)
    subprocess.run([tmp_path / ".venv/bin/python", "-m", "pip", "--version"], check=True)
