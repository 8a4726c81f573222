"""The error of landmarks: NME, the distance to the truth over that of the outer eye corners.

Failure rate and AUC as in the 300-W challenge (Sagonas et al., 2016).
"""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from pipeline.core.landmarks.table import COLUMNS

PARTS = {
    "jaw": slice(0, 17),
    "brows": slice(17, 27),
    "nose": slice(27, 36),
    "eyes": slice(36, 48),
    "mouth": slice(48, 68),
}
INNER = slice(17, 68)
OUTER_CORNERS = (36, 45)

# The point that each point becomes in a mirror.
MIRRORED = np.array(
    [
        *range(16, -1, -1),  # jaw
        *range(26, 16, -1),  # brows
        *(27, 28, 29, 30, 35, 34, 33, 32, 31),  # nose
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # outer lip
        *(64, 63, 62, 61, 60, 67, 66, 65),  # inner lip
    ]
)


def known_faces(folder: Path, rows: slice = slice(None)) -> tuple[list[np.ndarray], np.ndarray]:
    """Images (H, W, 3) RGB and hand-placed points (N, 68, 2) of a folder with landmarks68.csv."""
    table = pd.read_csv(folder / "landmarks68.csv").iloc[rows]
    flat = table[COLUMNS[1:-1]].to_numpy()
    names = [str(folder / name) for name in table.image_name]
    images = [cv2.imread(name, cv2.IMREAD_COLOR_RGB) for name in names]
    return images, np.stack([flat[:, :68], flat[:, 68:]], axis=-1)


def nme(points: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Points and truths (N, 68, 2) -> (N, 68), a fraction: each point's normalised error."""
    first, second = OUTER_CORNERS
    eyes = np.linalg.norm(truths[:, first] - truths[:, second], axis=-1)
    return np.asarray(np.linalg.norm(points - truths, axis=-1) / eyes[:, None])


def failure_rate(errors: np.ndarray, limit: float) -> float:
    """Share of faces whose NME (N,) is above the limit; a face without points is inf."""
    return float((errors > limit).mean())


def area_under_curve(errors: np.ndarray, limit: float) -> float:
    """Area under the curve of the share of faces with an NME below x, x from 0 to the limit.

    1 if every NME (N,) is 0, 0 if none is below the limit.
    """
    return float(np.clip(limit - errors, 0, None).mean() / limit)
