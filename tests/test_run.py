"""The runner of `make test` counts every outcome, whatever ends a test file."""

import os
import runpy
import subprocess
import sys

import pytest
from conftest import ROOT, lacking

FILES = {
    "test_good.py": "def test_one(): pass\n\ndef test_two(): pass\n",
    "test_bad.py": "def test_one(): pass\n\ndef test_two(): assert False\n",
    "test_skipped.py": "import pytest\n\ndef test_one(): pytest.skip('not here')\n",
    "deep/test_broken.py": "import no_such_module\n",
    "deep/test_crashed.py": "import os\n\ndef test_one(): os.abort()\n",
    "deep/test_cut_off.py": "import atexit, sys\n\ndef test_one():\n"
    "    path = next(a for a in sys.argv if a.startswith('--junitxml=')).partition('=')[2]\n"
    "    atexit.register(lambda: open(path, 'w').close())\n",
    "deep/test_slow.py": "import pytest\n\n@pytest.mark.slow\ndef test_one(): pass\n",
    "deep/test_all_slow.py": "import pytest\n\npytestmark = pytest.mark.slow\nimport no_such\n",
    "crash/test_a.py": "import os\n\ndef test_one(): os.environ['SHARED'] = ''\n",
    "crash/test_b.py": "import os\n\ndef test_one():\n    if 'SHARED' in os.environ: os.abort()\n",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -q\nmarkers = slow: takes long\n")
    for name, text in FILES.items():
        file = tmp_path / "tests" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def run(folder, *arguments):
    command = [sys.executable, ROOT / "tests/run.py", *arguments]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # they cost a second each
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_failures_errors_and_crashes_are_counted_and_named(folder):
    files = [f"tests/{name}" for name in FILES if not name.startswith(("crash", "deep/test_all"))]
    done = run(folder, *files)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "4 passed, 4 failed, 1 skipped"
    failed = {line.split("/")[-1] for line in lines if line.startswith("FAILED tests/")}
    assert {"test_bad.py", "test_broken.py", "test_crashed.py", "test_cut_off.py"} <= failed
    assert not failed & {"test_good.py", "test_skipped.py", "test_slow.py"}


def test_files_that_crash_only_together_are_one_failure_that_names_them_all(folder):
    done = run(folder, "tests/crash")
    lines = done.stdout.splitlines()
    assert (done.returncode, lines[-1]) == (1, "2 passed, 1 failed, 0 skipped")
    assert "FAILED tests/crash/test_a.py tests/crash/test_b.py" in lines


def test_files_of_a_folder_share_a_process_but_those_with_demands_of_their_own():
    groups = [
        ["tests/test_workflow.py"],  # takes longest
        ["tests/core/masks/test_store.py", "tests/core/test_files.py"],
        ["tests/core/landmarks/test_detectors.py", "tests/test_predict.py::test_one"],
        ["tests/faults/test_inputs.py"],
        ["tests/faults/test_stages.py"],
        ["tests/test_masks.py"],
    ]
    files = [file for group in reversed(groups) for file in group]
    grouped = runpy.run_path(str(ROOT / "tests/run.py"))["grouped"](files)
    assert grouped[0] == groups[0]
    assert sorted(grouped) == sorted(groups)


def test_files_with_demands_of_their_own_are_there():
    runner = runpy.run_path(str(ROOT / "tests/run.py"))
    there = {file.name for file in (ROOT / "tests").rglob("test_*.py")}
    assert {*runner["LONGEST"], *(f for of in runner["TOGETHER"].values() for f in of)} <= there
    assert list((ROOT / "tests" / runner["ALONE"]).glob("test_*.py"))


def test_a_file_of_which_marks_leave_nothing_is_no_failure_and_is_not_imported(folder):
    done = run(folder, "--marks", "not slow and not browser", "tests/deep/test_slow.py",
               "tests/deep/test_all_slow.py", "tests/test_good.py")  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "2 passed, 0 failed, 0 skipped")


def test_a_single_test_can_be_named(folder):
    done = run(folder, "tests/test_bad.py::test_one")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 passed, 0 failed, 0 skipped")


def test_a_file_that_is_not_there_is_a_failure(folder):
    done = run(folder, "tests/test_absent.py")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "0 passed, 1 failed, 0 skipped")


@pytest.mark.parametrize(
    ("value", "outcome"), [("1", "Failed"), ("0", "Skipped"), (None, "Skipped")]
)
def test_what_a_machine_lacks_is_a_skip_or_a_failure_where_it_is_required(
    monkeypatch, value, outcome
):
    monkeypatch.delenv("ATTPARSE_REQUIRE_X", raising=False)
    if value:
        monkeypatch.setenv("ATTPARSE_REQUIRE_X", value)
    with pytest.raises(BaseException, match="no x here") as raised:  # pytest's own are no Exception
        lacking("no x here", "ATTPARSE_REQUIRE_X")
    assert raised.typename == outcome
