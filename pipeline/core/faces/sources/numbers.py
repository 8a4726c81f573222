"""CelebA's lists of boxes and points: the number of rows, the column names, a row per image."""

from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.faces.sources.text import read_table, require_count, require_unique


def read_numbers(path: Path, columns: int) -> dict[str, np.ndarray]:
    """The numbers of each image by its name, each (columns,) float64.

    The form of ``list_bbox_celeba.txt`` (left, top, width, height) and
    ``list_landmarks_celeba.txt`` (x and y of five points), or Kaggle's CSV of the same.
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
            values[name] = np.array([float(cell) for cell in cells])
        except ValueError:
            cells = []
        if len(cells) != columns:
            raise UserError(f"{path}, line {line}: expected a name and {columns} numbers.")
    require_count(path, table)
    require_unique(path, table.names)
    return values
