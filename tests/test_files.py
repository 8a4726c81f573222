"""Results appear whole or not at all."""

import json
from pathlib import Path

import pytest

from pipeline.core import files


@pytest.mark.parametrize("folder", [False, True])
def test_after_an_error_the_old_result_stands_and_nothing_lies_beside_it(tmp_path, folder):
    result = tmp_path / "result"
    write(result, "old", folder)

    def fail():
        with files.replacing(result) as partial:
            write(partial, "new", folder)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert read(result, folder) == "old"
    assert list(tmp_path.iterdir()) == [result]


@pytest.mark.parametrize("folder", [False, True])
def test_what_a_killed_attempt_left_is_not_taken_over(tmp_path: Path, folder: bool):
    result = tmp_path / "result"
    write(result, "old", folder)
    write(tmp_path / ".result.partial", "half", folder)
    with files.replacing(result) as partial:
        assert not partial.exists()
        write(partial, "new", folder)
    assert read(result, folder) == "new"
    assert list(tmp_path.iterdir()) == [result]


def write(path: Path, text: str, folder: bool) -> None:
    if folder:
        path.mkdir()
    (path / "file" if folder else path).write_text(text)


def read(path: Path, folder: bool) -> str:
    return (path / "file" if folder else path).read_text()


def test_a_folders_hash_knows_names_and_bytes_and_not_times(tmp_path: Path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        write(folder, "text", folder=True)
    assert files.sha256(one) == files.sha256(other)
    (other / "file").rename(other / "renamed")
    assert files.sha256(one) != files.sha256(other)


def test_json_is_refused_that_no_other_reader_takes(tmp_path: Path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []
    files.write_json(tmp_path / "x.json", {"é": 1})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"é": 1}
