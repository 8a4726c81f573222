"""A user's own labelled faces: a CSV and a folder of images. Documented in docs/faces.md.

``labels.csv`` has the columns ``image_name`` and the attributes of the data set's entry, or
CelebA's 40, with the labels 1 and -1 or 1 and 0 throughout, or words where the entry unfolds the
column, and an empty cell where a label is unknown. Optional are ``split`` (train, valid, test;
without the column all is test) and ``identity`` (a number), and, for photographs to be aligned, the
box (``x_1``, ``y_1``, ``width``, ``height``) and five points (``lefteye_x`` … ``rightmouth_y``), as
CelebA names them.
"""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.attributes import CELEBA, UNKNOWN, AttributeSet, value_name
from pipeline.core.errors import UserError
from pipeline.core.faces.file_type import describe_file
from pipeline.core.faces.sources.images import LabelledImages
from pipeline.core.faces.sources.labels import Labels
from pipeline.core.faces.sources.layout import Layout, required_root
from pipeline.core.faces.sources.text import read_text, require_unique, separator_of
from pipeline.core.faces.sources.trees import may_be_image, normalized_label
from pipeline.core.faces.store import SPLITS

LABELS, IMAGES = "labels.csv", "images"
BOX = ["x_1", "y_1", "width", "height"]
PARTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
POINTS = [f"{part}_{axis}" for part in PARTS for axis in "xy"]
OPTIONAL = {"split": "test", "identity": "-1"}  # and what stands for a column that is missing
TERMS = """The faces come from the user's own folder: their terms are those of whoever made them.
"""


def open_folder(settings: dict[str, Any]) -> LabelledImages:
    """The faces below ``settings["root"]``: ``labels.csv`` and ``images`` (a folder, or a zip)."""
    root = required_root(settings["root"], f"{LABELS} and {IMAGES}/")
    layout = Layout(root, {LABELS, IMAGES, f"{IMAGES}.zip"})
    images, path = layout.require(IMAGES, f"{IMAGES}.zip"), layout.require(LABELS)
    labels = to_labels(path, read_cells(path), settings["attributes"], settings["unfold"])
    return LabelledImages(images, labels, TERMS)


def open_words(
    root: Path, table: pd.DataFrame, columns: list[str], settings: dict[str, Any], terms: str
) -> LabelledImages:
    """A known data set whose ``columns`` have words, of which the entry unfolds some.

    ``table`` has ``image_name`` and ``split``, too; the images lie anywhere below ``root``.
    """
    entry, unfold = settings["attributes"] or {}, settings["unfold"]
    if not entry or entry.keys() != unfold.keys() or not entry.keys() <= set(columns):
        words = {column: ", ".join(sorted(set(table[column]) - {""})) for column in columns}
        raise UserError(
            "the data set's entry names what to learn under attributes, and its words under unfold,"
            f" such as attributes: {{{columns[-1]}: all}} and unfold: {{{columns[-1]}:"
            f" [{words[columns[-1]]}]}}; {root} has the columns "
            + ", ".join(f"{column} ({of})" for column, of in words.items())
            + "."
        )
    labels = to_labels(root, table[["image_name", *entry, "split"]], entry, unfold)
    source = LabelledImages(root, labels, terms)
    source.unmatched = [(name, why) for name, why in source.unmatched if may_be_image(name)]
    return source


def read_cells(path: Path, *columns: str) -> pd.DataFrame:
    """The cells of a CSV as text, also with ``;`` or tabs; ``UserError`` if it is none, or has not
    these columns.
    """
    text = read_text(path)
    separator = separator_of(text) or ","
    try:
        _require_equal_rows(path, csv.reader(io.StringIO(text), delimiter=separator))
        table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    except (ValueError, csv.Error) as error:  # pandas' own errors are ValueErrors
        raise UserError(
            f"{path} cannot be read as CSV: it is {describe_file(path)} ({str(error).strip()})."
        ) from None
    if missing := [column for column in columns if column not in table]:
        raise UserError(f"{path} has no column {missing[0]}; expected {', '.join(columns)}.")
    return table


def _require_equal_rows(path: Path, rows: Any) -> None:
    """``UserError`` unless all rows of a ``csv.reader`` have as many fields; pandas fills up."""
    width = len(next(rows, []))
    for row in rows:
        if row and len(row) != width:
            hint = "remove the extra ones, such as a comma at the end"
            if len(row) < width:
                hint = "complete the row, with an empty cell where a label is unknown"
            raise UserError(
                f"{path}, line {rows.line_num}: {len(row)} fields, where line 1 has {width};"
                f" {hint}."
            )


def to_labels(
    path: Path, table: pd.DataFrame, entry: dict[str, Any] | None, unfold: dict[str, list[str]]
) -> Labels:
    """Check the cells of a table and make them labels; ``UserError`` if one is wrong."""
    attributes = AttributeSet.of(entry, unfold)
    yes_or_no = [name for name in entry or attributes.names if name not in unfold]
    _require_columns(path, table.columns.tolist(), [*yes_or_no, *unfold], attributes == CELEBA)
    table = table.assign(**{name: of for name, of in OPTIONAL.items() if name not in table})
    names = [normalized_label(name) for name in table["image_name"]]
    require_unique(path, names)
    labels = _yes_or_no(path, table, yes_or_no)
    for column, values in unfold.items():
        labels |= _unfolded(path, table[column], values)
    boxes, points = (_numbers(path, table, columns) for columns in (BOX, POINTS))
    return Labels(
        names,
        _splits(path, table),
        np.stack([labels[name] for name in attributes.names], axis=1),
        _identities(path, table),
        boxes,
        None if points is None else points.reshape(-1, 5, 2),
    )


def _require_columns(path: Path, columns: list[str], attributes: list[str], celeba: bool) -> None:
    """``UserError`` unless a table has the attributes, and no column that is not known."""
    required = ["image_name", *attributes]
    missing = [column for column in required if column not in columns]
    others = [c for c in columns if c not in {*required, *OPTIONAL, *BOX, *POINTS}]
    if missing:
        hint = f"expected image_name and {', '.join(sorted(attributes))}."
        if celeba:
            own = others or [column for column in columns if column in CELEBA.names] or ["Name"]
            listed = ", ".join(f"{name}: all" for name in own[:5]) + ", …" * (len(own) > 5)
            hint = (
                "expected image_name and CelebA's 40 attributes by their names; name other ones in"
                f" the data set's entry, as in attributes: {{{listed}}}, each with all, none or a"
                " list of the regions that it shows in, such as [mouth, chin]."
            )
        raise UserError(
            f"{path} has no column {missing[0]} ({len(missing)} missing in all); {hint}"
        )
    if others:
        raise UserError(
            f"{path} has a column {others[0]} that is not known; remove it, or name it among the"
            " attributes of the data set's entry. Beside image_name and the attributes there may be"
            " split, identity, box and points."
        )


def _yes_or_no(path: Path, table: pd.DataFrame, names: list[str]) -> dict[str, np.ndarray]:
    """(N,) int8 of each column: 1 and -1, or 1 and 0, throughout; an empty cell is unknown."""
    labels = table[names].to_numpy(dtype=object)
    negative = "-1" if (labels == "-1").any() else "0"
    wrong = np.argwhere(~np.isin(labels, ["1", negative, ""]))
    if len(wrong):
        row, column = wrong[0]
        raise UserError(
            f"{path}, line {row + 2}, {names[column]}: {labels[row, column]!r} is not a label;"
            " expected 1 and -1, or 1 and 0, throughout the file, or an empty cell if unknown;"
            " words are listed in the data set's entry, as in"
            f" unfold: {{{names[column]}: [{labels[row, column]}, another]}}."
        )
    values = np.where(labels == "", UNKNOWN, labels == "1").astype(np.int8)
    return dict(zip(names, values.T, strict=True))


def _unfolded(path: Path, cells: pd.Series, values: list[str]) -> dict[str, np.ndarray]:
    """(N,) int8 for each of a column's values: whether it is that; an empty cell is unknown."""
    unknown = (cells == "").to_numpy()
    others = cells[~unknown & ~cells.isin(values)].value_counts()
    if len(others):
        raise UserError(
            f"{path}, {cells.name}: {others.index[0]!r}, which {others.iloc[0]} rows have, is not"
            f" among the values that the data set's entry unfolds, {', '.join(values)}"
            f" ({len(others)} such values in all); add it there, or empty these cells, which are"
            " then unknown."
        )
    column = str(cells.name)
    return {
        value_name(column, value): np.where(unknown, UNKNOWN, cells == value).astype(np.int8)
        for value in values
    }


def _splits(path: Path, table: pd.DataFrame) -> np.ndarray:
    if wrong := sorted(set(table["split"]) - set(SPLITS)):
        raise UserError(f"{path} has the split {wrong[0]!r}; expected train, valid or test.")
    return table["split"].map(SPLITS.index).to_numpy(dtype=np.int64)


def _identities(path: Path, table: pd.DataFrame) -> np.ndarray:
    number = table["identity"].str.fullmatch(r"-?\d{1,18}")
    if not number.all():
        line = int(np.flatnonzero(~number.to_numpy())[0]) + 2
        raise UserError(f"{path}, line {line}, identity: expected a whole number, -1 if unknown.")
    return table["identity"].to_numpy(dtype=np.int64)


def _numbers(path: Path, table: pd.DataFrame, columns: list[str]) -> np.ndarray | None:
    """(N, columns) float64, NaN where a cell is empty; None if none of the columns exists."""
    present = [column for column in columns if column in table]
    if not present:
        return None
    if len(present) < len(columns):
        missing = next(column for column in columns if column not in table)
        raise UserError(f"{path} has {present[0]} and no column {missing}; expected all or none.")
    try:
        return table[columns].replace("", "nan").to_numpy(dtype=np.float64)
    except ValueError as error:
        raise UserError(f"{path}: {error} in one of {', '.join(columns)}.") from None
