"""Text files of labels: how they are read, and checks that two of them list the same images."""

from collections.abc import Iterable
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.faces.file_type import is_html


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty; ``UserError`` if it cannot be read as text."""
    try:
        content = path.read_bytes()
        if is_html(content[:512]):
            raise UserError(
                f"{path} is an HTML page of {len(content):,} bytes, as servers send in place of"
                " a file; put the file itself there."
            )
        text = content.decode("utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a text file; put the file of labels there.") from None
    return [line for line in text.splitlines() if line.strip()]


def require_unique(path: Path, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{path} has two rows for {name}; remove the wrong one.")
        seen.add(name)


def require_same_names(path: Path, found: Iterable[str], labels: Path, names: list[str]) -> None:
    """``UserError`` unless both files list the same images."""
    for lacking, other, missing in (
        (path, labels, set(names) - set(found)),
        (labels, path, set(found) - set(names)),
    ):
        if missing:
            raise UserError(
                f"{lacking} has no row for {min(missing)}, which {other.name} names"
                f" ({len(missing)} missing in all); put two files there that belong together."
            )
