"""The requirement files agree with one another, with what is installed, and with every Python."""

import ast
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from types import ModuleType, SimpleNamespace

import pytest
import yaml
from conftest import ROOT
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

# As Debian 12 and 13, Ubuntu 22.04, 24.04 and 26.04 bring it, and the oldest of all.
PYTHONS = ["3.11.0", "3.11.2", "3.12.0", "3.13.0", "3.14.0"]
DIRECT = ["requirements.txt", "dlib.txt", "development.txt"]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "envs" / name).read_text().splitlines()
    pairs = (line.split("==") for line in lines if re.match(r"^[A-Za-z]", line))
    return {same(name): version for name, version in pairs}


def same(name: str) -> str:
    """A package's name in the one form that all its spellings have."""
    return re.sub(r"[-_.]+", "-", name).lower()


CONSTRAINTS = pins("constraints.txt")


def program(name: str) -> ModuleType:
    """A program of envs/, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"envs/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


INSTALLED = {same(found.name) for found in importlib.metadata.distributions()}
check_system, install = program("check_system"), program("install")


def test_the_conda_environment_has_the_packages_of_the_requirements():
    conda = yaml.safe_load((ROOT / "envs/attparse.yaml").read_text())
    (pip,) = (entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict))
    assert dict(line.split("==") for line in pip) == pins("requirements.txt")
    libraries = {"libGL.so.1": "libgl", "libEGL.so.1": "libegl", "libGLESv2.so.2": "libgles"}
    libraries |= {"libglib-2.0.so.0": "libglib"}
    asked = {libraries[name] for name in check_system.LIBRARIES}
    assert asked <= {str(entry) for entry in conda["dependencies"]}


def test_every_file_names_the_same_pythons():
    (oldest, newest), after = (check_system.OLDEST, check_system.NEWEST), "3.15"
    assert (oldest, newest) == ((3, 11), (3, 14))
    expected = f">={oldest[0]}.{oldest[1]},<{after}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == expected
    conda = yaml.safe_load((ROOT / "envs/attparse.yaml").read_text())
    assert f"python {expected}" in conda["dependencies"]
    assert "Python 3.11 to 3.14" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(SpecifierSet(expected).contains(python) for python in PYTHONS)


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


@pytest.mark.parametrize("name", DIRECT)
def test_constraints_hold_every_direct_requirement(name):
    assert pins(name).items() <= CONSTRAINTS.items()


@pytest.mark.parametrize("name", DIRECT)
def test_what_is_installed_is_what_is_pinned(name):
    installed = {
        package: importlib.metadata.version(package).split("+")[0] for package in pins(name)
    }
    assert installed == pins(name)


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_reach_everything_that_the_requirements_need(python):
    """No package is left to whatever is newest on the day of the installation."""
    environment = default_environment() | {
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
    }
    todo = [(package, "") for name in DIRECT for package in pins(name)]
    seen: set[tuple[str, str]] = set()
    while todo:
        package, extra = todo.pop()
        if (package, extra) in seen or package not in INSTALLED:
            continue  # known already, or needed by another Python alone
        seen.add((package, extra))
        for text in importlib.metadata.requires(package) or []:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate(environment | {"extra": extra}):
                assert need.specifier.contains(CONSTRAINTS[same(need.name)]), (package, text)
                todo += [(same(need.name), extra) for extra in ("", *need.extras)]
    assert len(seen) > 100


@pytest.mark.parametrize("python", PYTHONS)
def test_every_pinned_package_admits_every_python(python):
    """Soupsieve 4.1.2 asked for 3.11.5, which Debian 12 does not have, and nobody here saw it."""
    admitted = {
        package: importlib.metadata.metadata(package).get("Requires-Python") or ""
        for package in CONSTRAINTS.keys() & INSTALLED
    }
    assert [p for p, text in admitted.items() if not SpecifierSet(text).contains(python)] == []


UV = "uv==0.13.9"  # resolves for a Python that is not here; pip takes markers from its own
# Pure Python, as source alone; and what has no wheel for 3.14, so that it needs a C compiler.
SOURCES, COMPILED = ["connection-pool", "face-recognition-models"], {"3.14.0": ["immutables"]}


@pytest.fixture(scope="module")
def uv(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uv")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, UV]
    subprocess.run(pip, check=True)
    return folder / "bin/uv"


@pytest.mark.skipif(
    os.environ.get("ATTPARSE_TEST_INDEX") != "1",
    reason="asks the package index (set ATTPARSE_TEST_INDEX=1)",
)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_index_has_every_pin_for_every_python(python, uv, monkeypatch):
    """With the index's own torch, for CUDA; what is resolved is what is pinned, all of it."""
    monkeypatch.chdir(ROOT)
    index = install.reach(dict(os.environ)).get("PIP_INDEX_URL")
    sources = [*SOURCES, *COMPILED.get(python, [])]
    command = [uv, "pip", "compile", "--quiet", "--no-config", "--no-header", "--no-annotate"]
    command += ["--python-version", python, "--python-platform", "x86_64-manylinux_2_28"]
    command += ["--only-binary", ":all:", *(w for s in sources for w in ("--no-binary", s))]
    command += ["--constraint", "envs/constraints.txt", *(f"envs/{name}" for name in DIRECT)]
    command += ["--index-url", index] if index else []
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    resolved = dict(line.split("==") for line in run.stdout.split() if "==" in line)
    assert {same(name): version for name, version in resolved.items()} == CONSTRAINTS
    assert "triton" in resolved


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


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A project whose environment was cut off while it was made; envs/ alone is there."""
    folder = tmp_path_factory.mktemp("fresh") / "Projekt für attparse"
    (folder / "envs").mkdir(parents=True)
    shutil.copy(ROOT / "envs/install.py", folder / "envs")
    venv = [sys.executable, "-m", "venv", "--without-pip", str(folder / ".venv")]
    subprocess.run(venv, check=True)
    with zipfile.ZipFile(folder / "tiny-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr(
            "tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n"
        )
        wheel.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    (folder / "envs/constraints.txt").write_text("tiny==1\n")
    (folder / "tiny.txt").write_text("tiny\n")
    (folder / "newer.txt").write_text("tiny>1\n")
    (folder / "pip.conf").write_text("[global]\nno-index = true\nuser = true\nfind-links = .\n")
    return folder


def installation(folder, *files, **environment):
    environment = {**os.environ, "PIP_CONFIG_FILE": str(folder / "pip.conf"), **environment}
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, "envs/install.py", *files],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_what_a_shell_sets_for_other_projects_does_not_reach_the_installation(fresh):
    """And an environment that was cut off while it was made is made again."""
    elsewhere = fresh / "elsewhere"
    (elsewhere / "pip").mkdir(parents=True)
    (elsewhere / "pip/__init__.py").write_text("raise SystemExit('not this pip')")
    run = installation(
        fresh, "tiny.txt", PYTHONPATH=str(elsewhere), PIP_TARGET=str(elsewhere), PIP_USER="1",
        PIP_PREFIX=str(elsewhere), PYTHONUSERBASE=str(elsewhere), PIP_REQUIRE_VIRTUALENV="1",
        PIP_DRY_RUN="1", PIP_CONSTRAINT="nowhere.txt", TMPDIR="/nowhere",
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert [path.name for path in elsewhere.iterdir()] == ["pip"]
    subprocess.run([fresh / ".venv/bin/python", "-c", "import tiny"], check=True)
    assert not (fresh / ".venv/tmp").exists()


@pytest.mark.slow
def test_a_failed_installation_shows_pips_own_reason(fresh):
    run = installation(fresh, "newer.txt")
    assert run.returncode == 1
    assert "The user requested (constraint) tiny==1" in run.stderr
    assert "pip failed for newer.txt" in run.stderr.splitlines()[-1]
    assert "Traceback" not in run.stderr


def test_how_to_reach_the_index_is_kept_and_the_environment_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://one.test\ntimeout = 7\nuser = true\ntarget = /nowhere\n"
        "[install]\nindex-url = https://two.test\nextra-index-url = a\n  b\n"
    )
    given = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_TIMEOUT": "9", "PIP_USER": "1"}
    expected = {"PIP_INDEX_URL": "https://two.test", "PIP_EXTRA_INDEX_URL": "a\nb"}
    expected["PIP_TIMEOUT"] = "9"
    found = install.reach({"HOME": str(tmp_path), "PIP_PREFIX": "/nowhere", **given})
    assert expected.items() <= found.items()
    assert not {"PIP_USER", "PIP_TARGET", "PIP_PREFIX"} & found.keys()


def test_a_disk_too_small_is_one_sentence_before_the_installation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".venv").mkdir()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5e9))
    with pytest.raises(SystemExit, match=r"needs 10 GB of disk space at .* and 5\.0 GB are free"):
        install.check_space({})
    install.check_space({"PIP_EXTRA_INDEX_URL": "https://without-cuda.test"})


@pytest.mark.parametrize(
    ("version", "manager", "packages"),
    [
        ((3, 12), "apt-get", "libegl1 python3.12-venv"),
        ((3, 14), "apt-get", "libegl1 python3.14-venv gcc libc6-dev python3.14-dev"),
        ((3, 14), "dnf", "libglvnd-egl python3.14 gcc python3.14-devel"),
    ],
)
def test_the_system_check_names_the_packages_of_the_interpreter_asked_for(
    version, manager, packages, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "version_info", (*version, 1))
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setattr(check_system, "loads", lambda library: library != "libEGL.so.1")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("sysconfig.get_path", lambda name: "/nowhere")
    monkeypatch.setattr("shutil.which", lambda name: name if name == manager else None)
    with pytest.raises(SystemExit, match=rf"install .*{packages}` \(as root\)"):
        check_system.main()


def test_the_system_check_refuses_other_pythons_and_says_which_it_knows(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 12))
    with pytest.raises(SystemExit, match=r"Python 3\.11 to 3\.14 .*make demo PYTHON=python3"):
        check_system.main()


def test_make_hands_on_neither_foreign_python_settings_nor_a_home_it_cannot_write(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "show.mk").write_text("include Makefile\nshow:\n\t@env\n")
    given = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "PYTHONPATH": "/x", "PYTHONHOME": "/x"}
    make = ["make", "--silent", "--file", "show.mk", "show"]
    run = subprocess.run(make, cwd=tmp_path, env=given, capture_output=True, text=True, check=True)
    seen = dict(line.split("=", 1) for line in run.stdout.splitlines())
    assert {name for name in seen if name.startswith("PYTHON")} == set()
    assert seen["HOME"] == str(tmp_path / ".home")
    assert seen["LOGNAME"]


def test_an_environment_whose_python_is_gone_is_made_again(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/ready").touch()
    subprocess.run(["make", "--question", "format"], cwd=tmp_path, capture_output=True)
    assert not (tmp_path / ".venv/ready").exists()


@pytest.mark.parametrize("name", ["Dockerfile", "apptainer.def"])
def test_a_container_installs_what_the_system_check_asks_for(name):
    packages = {debian for debian, _ in check_system.LIBRARIES.values()}
    assert packages | {"python3.13-venv", "make"} <= set((ROOT / name).read_text().split())
