"""Downloads: resumed, retried, and verified before a file gets its name.

gdown transfers the bytes (it handles Google Drive's confirmation pages, resumes with ``Range`` and
compares the size with the announced one). A download is ``.name.unchecked…part`` until it is
complete, and is renamed once it is not an HTML page and has the expected hash.
"""

import hashlib
import logging
import re
import time
from pathlib import Path

import gdown
import requests
from gdown.exceptions import DownloadError, FileURLRetrievalError
from tqdm import tqdm

from pipeline.core.errors import UserError
from pipeline.core.faces.file_type import is_html
from pipeline.core.files import alone, flush

log = logging.getLogger(__name__)

TIMEOUT = 60  # seconds without a byte
TRANSIENT_STATUSES = {408, 425, 429, 500, 502, 503, 504}


class UnobtainableError(OSError):
    """A file could not be downloaded; the message is the reason, in a few words."""


def download(url: str, path: Path, digest: str = "any", attempts: int = 6, wait: float = 2) -> None:
    """``obtain``, but a failure is a ``UserError`` that says where to put the file by hand."""
    try:
        obtain(url, path, digest, attempts, wait)
    except UnobtainableError as reason:
        hash_of_file = "" if digest == "any" else f" ({_kind(digest)} {digest})"
        raise UserError(
            f"{path.name} could not be fetched from {url}: {reason}. Get it in another way"
            f"{hash_of_file} and place it at {path}, or name a mirror in the data set's urls:"
            f" {{{path.name}: ...}}."
        ) from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}); free some space there, or have"
            " the permissions of its folder changed."
        ) from None


def obtain(url: str, path: Path, digest: str, attempts: int, wait: float) -> None:
    """Download ``url`` to ``path``; an interrupted download is resumed.

    ``digest`` is an md5, a sha256 or ``any``. After a transient failure the next attempt follows
    after ``wait`` seconds, then twice that, and so on. ``UnobtainableError`` if the file cannot be
    downloaded or is not the expected one; another ``OSError`` if the disk is full; ``UserError`` if
    another process is downloading it.
    """
    unchecked = path.with_name(f".{path.name}.unchecked")
    log.info("fetching %s from %s", path.name, url)
    with alone(path):
        for attempt in range(1, attempts + 1):
            try:
                _fetch(url, unchecked)
                break
            except FileURLRetrievalError as error:  # a DownloadError that a retry does not mend
                log.info("%s: %s", url, error)
                raise UnobtainableError(
                    "Google Drive gave an HTML page in place of the file (often its quota)"
                ) from None
            except (DownloadError, requests.RequestException) as error:
                log.info("attempt %d of %d for %s: %s", attempt, attempts, url, error)
                if attempt == attempts or not _is_transient(error):
                    raise UnobtainableError(_reason(error)) from None
            time.sleep(wait * 2 ** (attempt - 1))
        if fault := _fault(unchecked, digest):
            unchecked.unlink()
            raise UnobtainableError(fault)
        flush(unchecked)
        unchecked.replace(path)


def require_hash(path: Path, expected: str) -> None:
    """``UserError`` unless the file has this md5 or sha256; ``any`` accepts every file."""
    if found := wrong_hash(path, expected):
        raise UserError(
            f"{path} has the {_kind(expected)} {found}, expected {expected}: it is damaged or not"
            " the official file; download it again, or, if it is meant to differ, give its own hash"
            f" (or 'any') as hashes: {{{path.name}: ...}} in the data set's entry."
        )


def wrong_hash(path: Path, expected: str) -> str | None:
    """The file's hash if it differs from the expected md5 or sha256, else None."""
    if expected == "any":
        return None
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, _kind(expected)).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read to compare its hash: {error.strerror}.") from None
    return found if found != expected.lower() else None


def _kind(digest: str) -> str:
    return "sha256" if len(digest) == 64 else "md5"


def _fetch(url: str, unchecked: Path) -> None:
    """One attempt. The bytes received stay for the next one, unless it cannot be resumed."""
    before = _bytes_received(unchecked)
    if unchecked.exists():  # complete, but the process ended before it was verified
        return
    with tqdm(unit="B", unit_scale=True, desc=unchecked.name, disable=None, leave=False) as bar:

        def progress(received: int, total: int | None) -> None:
            bar.total = total
            bar.update(received - bar.n)

        try:
            gdown.download(
                url, str(unchecked), quiet=True, resume=True, use_cookies=False,
                timeout=TIMEOUT, progress=progress,
            )  # fmt: skip
        except FileURLRetrievalError:  # the bytes received so far are still good
            raise
        except DownloadError:
            if _bytes_received(unchecked) <= before:  # the server cannot resume it: start again
                for part in _parts(unchecked):
                    part.unlink()
            raise


def _parts(unchecked: Path) -> list[Path]:
    return list(unchecked.parent.glob(f"{unchecked.name}*.part"))


def _bytes_received(unchecked: Path) -> int:
    return sum(part.stat().st_size for part in _parts(unchecked))


def _is_transient(error: Exception) -> bool:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code in TRANSIENT_STATUSES
    return not isinstance(error, requests.exceptions.SSLError | requests.exceptions.InvalidURL)


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server responded with {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.ConnectionError):
        return "the server cannot be reached"
    return str(error).splitlines()[0].rstrip(".")  # the other lines are advice on gdown's own flags


def _fault(unchecked: Path, digest: str) -> str | None:
    with unchecked.open("rb") as stream:
        head = stream.read(65536)
    if is_html(head):
        title = re.search(rb"<title>(.*?)</title>", head, re.DOTALL | re.IGNORECASE)
        quoted = f" ({' '.join(title[1].decode(errors='replace').split())!r})" if title else ""
        size = unchecked.stat().st_size
        return f"an HTML page{quoted} of {size:,} bytes came in place of the file"
    if found := wrong_hash(unchecked, digest):
        return f"a file of {unchecked.stat().st_size:,} bytes with the {_kind(digest)} {found} came"
    return None
