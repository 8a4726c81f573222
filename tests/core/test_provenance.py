"""Which files of code make a stage run again."""

from pathlib import Path

import pytest
from conftest import ROOT

from pipeline.core.provenance import files_of


def test_a_stage_is_known_with_all_that_it_imports_however_far():
    files = files_of("masks", ROOT)
    assert {
        "pipeline/masks.py",
        "pipeline/core/masks/regions.py",
        "pipeline/core/faces/store.py",
    } <= set(files)
    assert "pipeline/train.py" not in files
    assert "pipeline/core/synthetic/hair.py" in files_of("synthesize", ROOT)


def test_imports_inside_of_functions_and_data_beside_a_module_count(tmp_path: Path):
    (tmp_path / "pipeline/core").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "stage.py": "def run():\n    from pipeline.core import table\n",
        "core/__init__.py": "",
        "core/table.py": "",
        "core/table.json": "{}",
        "core/other.json": "{}",
    }.items():
        (tmp_path / "pipeline" / name).write_text(text)
    assert files_of("stage", tmp_path) == [
        "pipeline/__init__.py",
        "pipeline/core/__init__.py",
        "pipeline/core/table.json",
        "pipeline/core/table.py",
        "pipeline/stage.py",
    ]


@pytest.mark.parametrize("stage", [path.stem for path in (ROOT / "pipeline").glob("[a-z]*.py")])
def test_every_file_named_is_there(stage: str):
    assert all((ROOT / file).is_file() for file in files_of(stage, ROOT))
