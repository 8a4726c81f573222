"""Corrections of single labels, laid over those of a source. Documented in docs/faces.md."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.core.attributes import UNKNOWN, AttributeSet
from pipeline.core.errors import UserError
from pipeline.core.faces.sources.folder import read_cells
from pipeline.core.faces.sources.labels import Labels
from pipeline.core.faces.sources.trees import normalized_label

COLUMNS = ["image_name", "attribute", "value"]
VALUES = {"1": 1, "0": 0, "-1": 0, "": UNKNOWN}


def corrected(
    labels: Labels, attributes: AttributeSet, path: Path
) -> tuple[Labels, dict[str, int]]:
    """The labels with the corrections of a CSV, and how many of each attribute differ from before.

    A row has ``image_name``, ``attribute`` and ``value``: 1, 0 or -1 (both no), or empty for
    unknown; other columns are ignored. ``UserError`` if a row fits no label, or corrects one twice.
    """
    table = read_cells(path, *COLUMNS)
    rows = {name: row for row, name in enumerate(labels.names)}
    values = labels.attributes.astype(np.int8)
    seen: set[tuple[str, str]] = set()
    cells = table[COLUMNS].itertuples(index=False)
    for line, (image, attribute, value) in enumerate(cells, start=2):
        name = normalized_label(image)
        wrong = ""
        if name not in rows:
            wrong = f"{image!r} is no image of the data set"
        elif attribute not in attributes.names:
            wrong = f"{attribute!r} is none of the attributes {', '.join(attributes.names)}"
        elif value not in VALUES:
            wrong = f"{value!r} is not a label; expected 1, 0 or -1, or an empty cell for unknown"
        elif (name, attribute) in seen:
            wrong = f"{attribute} of {image} is corrected a second time; remove one of the rows"
        if wrong:
            raise UserError(f"{path}, line {line}: {wrong}.")
        seen.add((name, attribute))
        values[rows[name], attributes.names.index(attribute)] = VALUES[value]
    _require_one_of_each(labels.names, values, attributes, path)
    changed = (values != labels.attributes).sum(axis=0)
    counts = {n: int(c) for n, c in zip(attributes.names, changed, strict=True) if c}
    return replace(labels, attributes=values), counts


def _require_one_of_each(
    names: list[str], values: np.ndarray, attributes: AttributeSet, path: Path
) -> None:
    """``UserError`` unless each face has one of exclusive attributes, or all are unknown."""
    for of in attributes.exclusive.values():
        group = values[:, attributes.columns(of)]
        one = ((group == 1).sum(axis=1) == 1) & (group >= 0).all(axis=1)
        if not (fits := one | (group == UNKNOWN).all(axis=1)).all():
            raise UserError(
                f"{path} leaves {names[int(np.argmin(fits))]} not with one of {', '.join(of)},"
                " which exclude each other; correct every one whose label changes, or make all"
                " unknown."
            )
