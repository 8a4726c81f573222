"""Downloads against a server on loopback: whole and verified under the name, or not at all."""

import contextlib
import errno
import hashlib
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import gdown
import numpy as np
import pytest
import requests
from face_sets import entry, official_set, run

from pipeline.core.errors import UserError
from pipeline.core.faces.download import download
from pipeline.core.faces.sources import celeba
from pipeline.core.files import sha256

CONTENT = np.random.default_rng(0).bytes(3_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"


class Handler(BaseHTTPRequestHandler):
    """Files by path; what is queued for a path (``faults``) is answered first, once each."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        state = self.server.state
        begin = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        state.requests.append((self.path, int(begin[1]) if begin else None))
        fault = state.faults.pop(0) if state.faults else None
        content = state.files.get(self.path)
        if isinstance(fault, int):
            return self.answer(fault, b"try later")
        if self.path.startswith("/moved/"):
            return self.answer(302, b"", Location=self.path.removeprefix("/moved"))
        if content is None:
            return self.answer(404, b"nothing here")
        first = int(begin[1]) if begin and not state.ignores_range else 0
        headers = {"ETag": f'"{hashlib.md5(content).hexdigest()}"'}
        headers["Content-Type"] = "text/html" if content == PAGE else "application/zip"
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        return self.answer(206 if first else 200, content[first:], fault == "cut off", **headers)

    def answer(self, status, body, cut_off=False, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        # gdown asks anew, and hangs up, when it has a part to go on from.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body[: len(body) // 2] if cut_off else body)
            self.wfile.flush()
        self.close_connection = self.close_connection or cut_off


@pytest.fixture
def server(monkeypatch):
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    made.state = SimpleNamespace(files={}, faults=[], requests=[], ignores_range=False)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.state.url = f"http://127.0.0.1:{made.server_address[1]}"
    yield made.state
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def fetch(server, tmp_path):
    """Download ``/file`` of the server to ``here/file``, quickly."""
    server.files["/file"] = CONTENT
    server.path = tmp_path / "here/file"

    def fetched(digest=DIGEST, attempts=4, url="/file"):
        download(server.url + url, server.path, digest, attempts, wait=0.01)

    return fetched


def left(server):
    """What lies in the folder of the download, by name."""
    return {path.name: path.read_bytes() for path in server.path.parent.iterdir()}


def test_a_good_file_gets_its_name_and_leaves_nothing_else(server, fetch):
    fetch()
    assert left(server) == {"file": CONTENT}
    assert server.requests == [("/file", None)]


def test_an_md5_and_any_hash_at_all_are_accepted_too(server, fetch):
    fetch(hashlib.md5(CONTENT).hexdigest().upper())
    server.path.unlink()
    fetch("any")
    assert left(server) == {"file": CONTENT}


def test_an_html_page_with_status_200_is_named_by_its_title_and_not_kept(server, fetch):
    server.files["/file"] = PAGE
    with pytest.raises(UserError) as error:
        fetch()
    assert "an HTML page ('Google Drive - Quota exceeded') of 85 bytes" in str(error.value)
    assert f"sha256 {DIGEST}) and place it at {server.path}" in str(error.value)
    assert left(server) == {}
    server.files["/file"] = CONTENT
    fetch()
    assert left(server) == {"file": CONTENT}


DRIVE = "https://drive.google.com/uc?id=0B7EVK8r0v71pblRyaVFSWGxPY0U"


@pytest.fixture
def drive(server, monkeypatch):
    """Google Drive's addresses lead to ``/file`` of the server."""
    get = requests.Session.get
    monkeypatch.setattr(
        requests.Session, "get", lambda session, _, **how: get(session, f"{server.url}/file", **how)
    )


def test_google_drives_page_is_requested_once_and_keeps_the_bytes_received_before(
    server, fetch, drive
):
    server.faults = ["cut off"]
    with pytest.raises(UserError, match="incomplete"):
        fetch(attempts=1)
    before, server.files["/file"] = left(server), PAGE
    server.requests.clear()
    with pytest.raises(UserError) as error:
        download(DRIVE, server.path, DIGEST, wait=0.01)
    assert len(server.requests) == 1
    assert str(error.value) == (
        f"file could not be fetched from {DRIVE}: Google Drive gave an HTML page in place of the"
        f" file (often its quota). Get it in another way (sha256 {DIGEST}) and place it at"
        f" {server.path}, or name a mirror in the data set's urls: {{file: ...}}."
    )
    assert left(server) == before


def test_a_full_disk_and_a_folder_that_takes_no_file_end_in_a_sentence(
    server, fetch, monkeypatch, tmp_path
):
    def full(*_, **how):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match=r"file/file cannot be written \(.*\); free some"):
        download(f"{server.url}/file", tmp_path / "file/file", attempts=2, wait=0.01)
    monkeypatch.setattr(gdown, "download", full)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\); free"):
        fetch()


def test_a_file_that_is_cut_off_is_resumed_in_the_same_run(server, fetch):
    server.faults = ["cut off"]
    fetch()
    assert left(server) == {"file": CONTENT}
    resumed = [begin for _, begin in server.requests if begin is not None]
    assert len(resumed) == 1
    assert 0 < resumed[0] <= len(CONTENT) // 2


def test_a_file_that_was_cut_off_for_good_is_resumed_by_the_next_run(server, fetch):
    server.faults = ["cut off"]
    with pytest.raises(
        UserError,
        match=r"incomplete: received \d+ bytes but the server announced 3000000 bytes\. Get it",
    ):
        fetch(attempts=1)
    assert "file" not in left(server)
    (part,) = left(server).values()
    assert part
    assert CONTENT.startswith(part)
    fetch()
    assert left(server) == {"file": CONTENT}
    assert server.requests[-1] == ("/file", len(part))


def test_a_server_that_cannot_resume_gives_the_file_from_its_beginning(server, fetch):
    server.faults, server.ignores_range = ["cut off"], True
    fetch()
    assert left(server) == {"file": CONTENT}


def test_a_file_that_changed_on_the_server_is_not_joined_to_its_old_half(server, fetch):
    server.faults, server.files["/file"] = ["cut off"], CONTENT[::-1]
    with pytest.raises(UserError):
        fetch(attempts=1)
    server.files["/file"] = CONTENT
    with pytest.raises(UserError, match="a file of 3,000,000 bytes with the sha256"):
        fetch()
    assert left(server) == {}
    fetch()
    assert left(server) == {"file": CONTENT}


def test_a_wrong_hash_is_reported_with_both_hashes_and_the_file_is_not_kept(server, fetch):
    server.files["/file"] = other = CONTENT[:-1] + b"x"
    with pytest.raises(UserError) as error:
        fetch()
    assert hashlib.sha256(other).hexdigest() in str(error.value)
    assert DIGEST in str(error.value)
    assert left(server) == {}


def test_503_twice_and_then_good_is_good(server, fetch):
    server.faults = [503, 503]
    fetch()
    assert left(server) == {"file": CONTENT}
    assert len(server.requests) == 3


def test_503_for_ever_and_404_at_once_end_in_a_sentence(server, fetch):
    server.faults = [503] * 9
    with pytest.raises(UserError, match="the server responded with 503 Service Unavailable"):
        fetch(attempts=4)
    assert len(server.requests) == 4
    server.faults, server.requests = [], []
    with pytest.raises(UserError, match="the server responded with 404"):
        fetch(url="/other")
    assert len(server.requests) == 1
    assert left(server) == {}


def test_a_redirect_is_followed(server, fetch):
    fetch(url="/moved/file")
    assert left(server) == {"file": CONTENT}


def test_a_server_that_is_not_there_ends_in_a_sentence(server, tmp_path):
    with pytest.raises(UserError, match=r"the server cannot be reached\. Get it in another way"):
        download("http://127.0.0.1:9/file", tmp_path / "file", attempts=2, wait=0.01)


def test_a_kill_between_download_and_verification_needs_no_second_download(server, fetch):
    server.path.parent.mkdir()
    (server.path.parent / ".file.unchecked").write_bytes(CONTENT)
    fetch()
    assert left(server) == {"file": CONTENT}
    assert server.requests == []


# Acquisition with files from the network.

FILES = list(celeba.FILES)


@pytest.fixture
def mirrored(server, tmp_path):
    """A set in CelebA's form on the server, and the entry that fetches all of it."""
    official_set(tmp_path / "mirror", 12)
    server.mirror = tmp_path / "mirror"
    server.files = {f"/{name}": (server.mirror / name).read_bytes() for name in FILES}
    urls = {name: f"{server.url}/{name}" for name in FILES}
    hashes = {name: sha256(server.mirror / name) for name in FILES}
    return entry(source="celeba", urls=urls, hashes=hashes)


def test_what_root_lacks_is_fetched_into_downloads_and_never_into_root(
    server, mirrored, tmp_path, capsys
):
    root = tmp_path / "root"
    root.mkdir()
    for name in ("img_align_celeba.zip", "list_attr_celeba.txt"):
        (root / name).write_bytes(server.files[f"/{name}"])
    got = run(tmp_path / "out", {**mirrored, "root": str(root), "download": True})
    assert len(got.faces) == 12
    assert sorted(path.name for path in root.iterdir()) == [
        "img_align_celeba.zip",
        "list_attr_celeba.txt",
    ]
    fetched = {path.name for path in (tmp_path / "out/downloads").iterdir()}
    assert fetched == {"list_eval_partition.txt", "identity_CelebA.txt"}
    assert "non-commercial research" in capsys.readouterr().err


def test_without_root_all_is_fetched_once(server, mirrored, tmp_path):
    first = run(tmp_path / "out", mirrored)
    assert sorted(path for path, _ in server.requests) == sorted(f"/{name}" for name in FILES)
    server.requests.clear()
    again = run(tmp_path / "out", mirrored)
    assert server.requests == []
    assert first.bytes == again.bytes


def test_a_fetched_file_that_is_not_the_official_one_never_gets_its_name(
    mirrored, tmp_path, capsys
):
    with pytest.raises(SystemExit) as ended:
        run(tmp_path / "out", {**mirrored, "hashes": {}})
    assert "expected" not in str(ended.value.code).split("could not be fetched")[0]
    assert "(md5 75e246fa4810816ffd6ee81facbd244c)" in str(ended.value.code)
    assert list((tmp_path / "out/downloads").iterdir()) == []
