"""Which code makes a stage run again: what a line does, and nothing else."""

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

from pipeline.core.provenance import Code, git_revision

STAGES = [path.stem for path in (ROOT / "pipeline").glob("[a-z]*.py")]


@pytest.fixture(scope="module")
def code():
    return Code(ROOT)


def test_a_stage_is_known_with_all_that_it_imports_however_far(code):
    files = code.of("masks")
    assert {
        "pipeline/masks.py",
        "pipeline/core/masks/regions.py",
        "pipeline/core/faces/store.py",
    } <= set(files)
    assert "pipeline/train.py" not in files
    assert "pipeline/core/synthetic/hair.py" in code.of("synthesize")


def test_a_training_is_known_with_its_own_network_and_no_other(code):
    networks = "pipeline/core/networks/"
    assert not any(
        networks + f"{name}.py" in code.of("train") for name in ("attparsenet", "cnn_rnn")
    )
    assert networks + "attparsenet.py" in code.of("train", "attparsenet")
    assert networks + "cnn_rnn.py" not in code.of("train", "attparsenet")
    assert networks + "cnn_rnn.py" in code.of("train", "cnn_rnn")
    assert code.of("train").items() < code.of("train", "attparsenet").items()


def write(root: Path, **files: str) -> Code:
    for name in ("pipeline/__init__.py", "pipeline/core/__init__.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    for name, text in files.items():
        (root / "pipeline" / name.replace("__", "/", 1)).with_suffix(".py").write_text(text)
    return Code(root)


def test_imports_inside_of_functions_and_data_beside_a_module_count(tmp_path):
    code = write(
        tmp_path, stage="def run():\n    from pipeline.core import table\n", core__table=""
    )
    for name in ("table.json", "table.png", "other.json"):
        (tmp_path / "pipeline/core" / name).write_text("{}")
    before = code.of("stage")
    assert list(before) == [
        "pipeline/__init__.py",
        "pipeline/core/__init__.py",
        "pipeline/core/table.json",
        "pipeline/core/table.png",
        "pipeline/core/table.py",
        "pipeline/stage.py",
    ]
    (tmp_path / "pipeline/core/table.png").write_text("[]")
    after = Code(tmp_path).of("stage")
    assert [file for file in after if after[file] != before[file]] == ["pipeline/core/table.png"]


LINE = 'def area(side):\n    """Square pixels."""\n    return f(side * side, "")\n'


@pytest.mark.parametrize(
    "other",
    [
        LINE.replace("Square pixels.", "In pixels."),
        LINE.replace('    """Square pixels."""\n', ""),
        LINE.replace("return", "# a square\n    return"),
        LINE.replace('f(side * side, "")', "f(\n        (side * side),\n        '',\n    )"),
    ],
)
def test_a_comment_a_docstring_and_layout_change_nothing(tmp_path, other):
    assert write(tmp_path, stage=LINE).of("stage") == write(tmp_path, stage=other).of("stage")


@pytest.mark.parametrize(
    "other",
    [
        LINE.replace("* side", "+ side"),
        LINE.replace(', ""', ""),
        LINE.replace('"")', '"0")'),
        LINE.replace('"")', "0)"),
        LINE.replace("(side)", "(side=1)"),
        LINE.replace("area", "size"),
    ],
)
def test_what_a_line_does_changes_the_hash(tmp_path, other):
    assert write(tmp_path, stage=LINE).of("stage") != write(tmp_path, stage=other).of("stage")


# What the syntax trees of different Pythons have written differently.
SYNTAX = '''
from dataclasses import dataclass, field

@dataclass(frozen=True)
class Face:
    """One face."""
    size: tuple[int, int] = (218, 178)

    async def area(self, *scale: float, **named: object) -> float | None:
        width = 7
        print(f"{self.size[0]!r:>{width}} px {{}} {width=}")
        match self.size:
            case (0, _) | [*_, 0]:
                return None
            case {"height": int(height), **rest} if (n := len(rest)) > 1:
                return height * n
        try:
            await (lambda side, /, *, by=1: side**by)(*scale, **named)
        except* (OSError, ValueError):
            pass
        return [-1.0, *(x for x in scale if x)][:1][0]
'''


def test_every_python_that_runs_this_test_gives_this_hash(tmp_path):
    assert write(tmp_path, stage=SYNTAX).of("stage")["pipeline/stage.py"] == "db6fa279ed44c105"


@pytest.mark.parametrize("python", ["python3.12", "python3.13", "python3.14"])
def test_every_python_gives_the_same_hashes(code, python):
    if not shutil.which(python) or subprocess.run([python, "--version"]).returncode:
        pytest.skip(f"no {python} here")
    line = "from pipeline.core.provenance import Code; from pathlib import Path;"
    line += "print(Code(Path()).of('compare') | Code(Path()).of('train', 'attparsenet'))"
    run = subprocess.run([python, "-c", line], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(code.of("compare") | code.of("train", "attparsenet"))


@pytest.mark.parametrize("stage", STAGES)
def test_every_file_named_is_there(code, stage):
    assert all((ROOT / file).is_file() for file in code.of(stage))


def test_every_data_file_has_the_name_of_the_module_that_reads_it():
    """Else it would be in no stage's hash."""
    files = [path for path in (ROOT / "pipeline").rglob("*.*") if "__pycache__" not in path.parts]
    assert [path for path in files if not path.with_suffix(".py").is_file()] == []


def test_without_git_the_account_names_no_revision(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision() is None
