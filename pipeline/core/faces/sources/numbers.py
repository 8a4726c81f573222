"""CelebA's lists of boxes and points: the number of rows, the column names, a row per image."""

from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.faces.sources.text import read_lines


def read_numbers(path: Path, columns: int) -> dict[str, np.ndarray]:
    """The numbers of each image by its name, each (columns,) float64.

    The form of ``list_bbox_celeba.txt`` (left, top, width, height) and
    ``list_landmarks_celeba.txt`` (x and y of five points).
    """
    lines = read_lines(path)
    if len(lines) < 2 or not lines[0].strip().isdecimal():
        raise UserError(f"{path} does not start with the number of its rows, as CelebA's lists do.")
    values = {}
    for number, line in enumerate(lines[2:], start=3):
        name, *words = line.split()
        try:
            values[name] = np.array([float(word) for word in words])
        except ValueError:
            words = []
        if len(words) != columns:
            raise UserError(f"{path}, line {number}: expected a name and {columns} numbers.")
    if len(values) != int(lines[0]):
        raise UserError(
            f"{path} announces {lines[0].strip()} rows in line 1 and has {len(values)} images; it"
            " is truncated or was changed: put the complete file there."
        )
    return values
