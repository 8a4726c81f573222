"""Text files of labels: how they are read, and checks that two of them list the same images."""

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.faces.file_type import describe_file, is_html
from pipeline.core.faces.sources.trees import normalized_label

SEPARATORS = (",", ";", "\t")


class Table(NamedTuple):
    """A list of images: ``header`` has the names of the columns after the first, None if the file
    has none; ``rows`` are image name, cells and line number; ``announced`` is the number of rows
    that the first line announces, None if it does not.
    """

    header: list[str] | None
    rows: list[tuple[str, list[str], int]]
    announced: int | None


def read_text(path: Path) -> str:
    """A text file in UTF-8, or UTF-16 as Windows writes it; ``UserError`` if it is not one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    if is_html(content[:512]):
        raise UserError(f"{path} is {describe_file(path)}; put the file itself there.")
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a text file; put the file of labels there.") from None


def separator_of(text: str) -> str | None:
    """The separator of a table by its last line; None if words are separated by spaces."""
    last = text.rstrip("\r\n,; \t").rsplit("\n", 1)[-1]
    best = max(SEPARATORS, key=last.count)
    return best if best in last else None


def read_table(path: Path) -> Table:
    """A list in CelebA's form (a count, column names, rows), without either, or as CSV.

    Cells are separated by spaces, tabs, commas or semicolons. Names of images are normalized.
    ``UserError`` if an image has two rows, or if there are not as many as announced.
    """
    text = read_text(path)
    separator = separator_of(text)
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    announced = header = None
    if lines and lines[0][1].strip(" \t,;").isdecimal():
        announced = int(lines.pop(0)[1].strip(" \t,;"))
    cells = [
        (line.split() if separator is None else next(csv.reader([line], delimiter=separator)), n)
        for n, line in lines
    ]
    cells = [([cell.strip() for cell in words], n) for words, n in cells]
    if cells and not any(_is_number(cell) for cell in cells[0][0]):
        header = cells.pop(0)[0]
        if cells and len(header) == len(cells[0][0]):  # CSV names the column of names, too
            header = header[1:]
    rows = [(normalized_label(words[0]), words[1:], n) for words, n in cells]
    if announced not in (None, len(rows)):
        raise UserError(
            f"{path} announces {announced} images in line 1 and has {len(rows)} rows; it is"
            " truncated or was changed: put the complete file there."
        )
    require_unique(path, [name for name, *_ in rows])
    return Table(header, rows, announced)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_numbers(path: Path, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The numbers of each image by its name, float64 of a ``shape``.

    The form of ``list_bbox_celeba.txt``, (4,): left, top, width, height, and of
    ``list_landmarks_celeba.txt``, (5, 2): x and y of five points; or Kaggle's CSV of the same.
    """
    table = read_table(path)
    if table.announced is None and table.header is None:
        raise UserError(
            f"{path} does not start with the number of its rows or the names of its columns, as"
            " CelebA's lists do."
        )
    values = {}
    for name, cells, line in table.rows:
        try:
            values[name] = np.array([float(cell) for cell in cells]).reshape(shape)
        except ValueError:
            count = np.prod(shape)
            raise UserError(f"{path}, line {line}: expected a name and {count} numbers.") from None
    return values


def require_unique(path: Path, names: list[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"{path} has two rows for {name}; remove the wrong one.")


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
