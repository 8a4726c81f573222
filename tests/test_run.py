"""The runner of `make test` counts every outcome, whatever ends a test file."""

import subprocess
import sys

import pytest
from conftest import ROOT

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
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_failures_errors_and_crashes_are_counted_and_named(folder):
    done = run(folder)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "4 passed, 4 failed, 1 skipped"
    failed = {line.split("/")[-1] for line in lines if line.startswith("FAILED tests/")}
    assert {"test_bad.py", "test_broken.py", "test_crashed.py", "test_cut_off.py"} <= failed
    assert not failed & {"test_good.py", "test_skipped.py", "test_slow.py"}


def test_a_file_of_which_marks_leave_nothing_is_no_failure(folder):
    done = run(folder, "--marks", "not slow", "tests/deep/test_slow.py", "tests/test_good.py")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "2 passed, 0 failed, 0 skipped")


def test_a_single_test_can_be_named(folder):
    done = run(folder, "tests/test_bad.py::test_one")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 passed, 0 failed, 0 skipped")


def test_a_file_that_is_not_there_is_a_failure(folder):
    done = run(folder, "tests/test_absent.py")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "0 passed, 1 failed, 0 skipped")
