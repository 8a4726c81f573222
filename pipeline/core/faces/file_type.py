"""What a file is by its first bytes, for messages about a file of an unexpected type."""

from pathlib import Path


def describe_file(path: Path) -> str:
    """A file in words: an HTML page, a truncated zip, or its size."""
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError:
        return "not readable"
    size = f"of {path.stat().st_size:,} bytes"
    if is_html(head):
        return f"an HTML page {size}, as servers send in place of a file"
    if head.startswith(b"PK\x03\x04"):
        return f"a truncated zip {size}: the download was cut off"
    return f"a file {size}"


def is_html(head: bytes) -> bool:
    first = head.lstrip(b"\xef\xbb\xbf \r\n\t")[:15].lower()
    return first.startswith((b"<!doctype html", b"<html"))
