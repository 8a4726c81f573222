"""What a file is, by its first bytes: for the sentence about a file that was not expected."""

from pathlib import Path


def what_it_is(path: Path) -> str:
    """A file in words: an HTML page, the beginning of a zip, or just its size."""
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError:
        return "nothing that can be read"
    size = f"of {path.stat().st_size:,} bytes"
    if is_html(head):
        return f"an HTML page {size}, as Google Drive and mirrors give when they refuse"
    if head.startswith(b"PK\x03\x04"):
        return f"the beginning of one, {size}: the download was cut off"
    return f"a file {size}"


def is_html(head: bytes) -> bool:
    return (
        head.lstrip(b"\xef\xbb\xbf \r\n\t")[:15].lower().startswith((b"<!doctype html", b"<html"))
    )
