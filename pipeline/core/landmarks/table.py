"""The landmarks of a data set as CSV: one row a face, in the order of ``faces/``.

Columns: ``image_name``, ``x_0`` … ``x_67``, ``y_0`` … ``y_67`` (pixels of the face image, from
the centre of its upper left pixel; the 68 points in iBUG order), ``detector`` (which one found
the face). A face that none found has empty points and an empty detector.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.errors import UserError
from pipeline.core.files import write_table

POINTS = 68
COLUMNS = ["image_name"] + [f"{axis}_{i}" for axis in "xy" for i in range(POINTS)] + ["detector"]


@dataclass(frozen=True)
class Landmarks:
    """``names`` and ``detectors`` (N,); ``points`` (N, 68, 2) in pixels, NaN where none."""

    names: list[str]
    points: np.ndarray
    detectors: list[str]

    @property
    def found(self) -> np.ndarray:
        """(N,) bool: which faces have points."""
        return np.isfinite(self.points).all(axis=(1, 2))


def write_landmarks(path: Path, landmarks: Landmarks) -> None:
    """Write the table with three decimals, so that equal points are equal bytes."""
    flat = np.concatenate([landmarks.points[..., 0], landmarks.points[..., 1]], axis=1)
    table = pd.DataFrame(flat, columns=COLUMNS[1:-1])
    table.insert(0, "image_name", landmarks.names)
    table["detector"] = landmarks.detectors
    write_table(path, table, "%.3f")


def read_landmarks(path: Path) -> Landmarks:
    """Read the table; one that cannot be read, or has other columns, is a ``UserError``."""
    kinds = dict.fromkeys(COLUMNS, np.float64) | {"image_name": str, "detector": str}
    empty = {column: [""] for column in COLUMNS[1:-1]}
    try:
        table = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=empty)
        if list(table.columns) != COLUMNS:
            wrong = next((c for c in COLUMNS if c not in table.columns), "their order")
            raise ValueError(f"its columns are wrong at {wrong}")
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise UserError(
            f"{path} cannot be read as a table of landmarks ({error}), which has the columns"
            " image_name, x_0 … x_67, y_0 … y_67, detector: make it again with the rule landmarks."
        ) from None
    flat = table[COLUMNS[1:-1]].to_numpy()
    points = np.stack([flat[:, :POINTS], flat[:, POINTS:]], axis=-1)
    return Landmarks(table["image_name"].tolist(), points, table["detector"].tolist())


def read_landmarks_of(path: Path, names: list[str], faces: Path) -> Landmarks:
    """Read the table of the folder ``faces`` with these names; ``UserError`` if it has others."""
    landmarks = read_landmarks(path)
    if landmarks.names != names:
        raise UserError(
            f"{path} holds other faces than {faces}, or in another order; remove it and make it"
            " again from these faces with the rule landmarks."
        )
    return landmarks
