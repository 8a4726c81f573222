"""Results appear whole or not at all."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

from pipeline.core import files
from pipeline.core.errors import UserError


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


def test_a_file_never_takes_the_place_of_a_folder(tmp_path: Path):
    write(tmp_path / "photographs", "original", folder=True)
    with pytest.raises(OSError, match="directory"):
        files.write_text(tmp_path / "photographs", "table")
    assert read(tmp_path / "photographs", folder=True) == "original"


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


@pytest.mark.parametrize("placed", [False, True])
def test_an_earlier_folder_that_a_kill_left_aside_comes_back_until_its_successor_is_there(
    tmp_path: Path, placed: bool
):
    result = tmp_path / "result"
    write(tmp_path / ".result.earlier", "old", folder=True)
    if placed:
        write(result, "new", folder=True)
    with pytest.raises(RuntimeError), files.replacing(result):
        raise RuntimeError
    assert read(result, folder=True) == ("new" if placed else "old")
    assert list(tmp_path.iterdir()) == [result]


def test_what_another_process_is_writing_is_refused_until_that_has_ended(tmp_path: Path):
    """Whichever way it ends."""
    result = tmp_path / "result"
    program = f"""if True:
        from pathlib import Path
        from pipeline.core.files import replacing
        with replacing(Path({str(result)!r})):
            print("writing", flush=True)
            input()
    """
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "writing\n"
        with pytest.raises(UserError, match="result is being written by another process: wait"):
            files.write_text(result, "mine")
        other.kill()
    files.write_text(result, "mine")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("result", "mine")]


def test_where_the_file_system_has_no_locks_results_are_written_all_the_same(tmp_path, monkeypatch):
    def no_lock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "lockf", no_lock)
    files.write_text(tmp_path / "result", "mine")
    assert [file.name for file in tmp_path.iterdir()] == ["result"]


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


def test_a_folders_hash_leaves_out_what_others_put_there(tmp_path: Path):
    write(tmp_path / "folder", "text", folder=True)
    everything, named = files.sha256(tmp_path / "folder"), files.sha256(tmp_path / "folder", "file")
    assert everything == named
    (tmp_path / "folder/.snakemake_timestamp").touch()
    assert files.sha256(tmp_path / "folder") == everything
    (tmp_path / "folder/cache-1.arrow").touch()
    assert files.sha256(tmp_path / "folder") != everything
    assert files.sha256(tmp_path / "folder", "file") == named


@pytest.mark.parametrize("change", ["replaced", "added below", "removed", "renamed"])
def test_a_listing_changes_with_any_file_below(tmp_path: Path, change: str):
    folder = tmp_path / "photographs"
    files.write_text(folder / "a/b/one.jpg", "one")
    (folder / "a/up").symlink_to(folder)
    before = files.listing_sha256(folder)
    assert files.listing_sha256(folder) == before
    file, times = folder / "a/b/one.jpg", (folder / "a/b").stat()
    if change == "replaced":
        file.write_text("two")
    elif change == "added below":
        (folder / "a/b/two.jpg").touch()
    elif change == "removed":
        file.unlink()
    else:
        file.rename(file.with_name("two.jpg"))
    os.utime(folder / "a/b", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert files.listing_sha256(folder) != before


def test_an_artifact_that_is_not_as_its_summary_describes_it_is_refused(tmp_path: Path):
    files.write_json(tmp_path / "faces.json", {"sha256": "ab"})
    files.check_unchanged(tmp_path / "faces", "ab", tmp_path / "faces.json")
    files.check_unchanged(tmp_path / "faces", "cd", None)
    with pytest.raises(UserError, match=r"faces is not as .*faces\.json describes it.*remove"):
        files.check_unchanged(tmp_path / "faces", "cd", tmp_path / "faces.json")


def test_json_is_refused_that_no_other_reader_takes(tmp_path: Path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []
    files.write_json(tmp_path / "x.json", {"é": 1})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"é": 1}


@pytest.mark.parametrize("content", [None, "{", "[1]", '{"images": 1}'])
def test_json_of_another_kind_ends_in_one_sentence(tmp_path: Path, content: str | None):
    path = tmp_path / "run.json"
    if content:
        path.write_text(content)
    with pytest.raises(UserError, match=r"run\.json is not JSON with images, seed .*: give the"):
        files.read_json(path, "images", "seed")


@pytest.mark.parametrize("content", [None, "", "images\n1\n", '"'])
def test_a_table_of_another_kind_ends_in_one_sentence(tmp_path: Path, content: str | None):
    path = tmp_path / "metrics.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"metrics\.csv is not a table with images, seed .*: give"):
        files.read_table(path, "images", "seed")


def test_a_table_has_fixed_decimals_and_no_value_where_there_is_none(tmp_path: Path):
    table = pd.DataFrame({"name": ["a,b", "c"], "value": [0.1 + 0.2, float("nan")], "n": [1, 2]})
    files.write_table(tmp_path / "six.csv", table)
    files.write_table(tmp_path / "three.csv", table, "%.3f")
    assert (tmp_path / "six.csv").read_bytes() == b'name,value,n\n"a,b",0.300000,1\nc,,2\n'
    assert (tmp_path / "three.csv").read_bytes() == b'name,value,n\n"a,b",0.300,1\nc,,2\n'


def test_names_that_are_no_utf8_can_be_written():
    assert files.written(os.fsdecode(b"caf\xe9.jpg")) == "caf\\xe9.jpg"
    assert files.written("café.jpg") == "café.jpg"


def test_a_name_that_a_spreadsheet_would_run_is_written_as_text():
    assert files.written('=HYPERLINK("x").jpg') == '\'=HYPERLINK("x").jpg'
    assert files.written("-1.jpg") == "-1.jpg"
