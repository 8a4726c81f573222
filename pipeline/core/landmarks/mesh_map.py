"""From MediaPipe's mesh of 478 points to the 68 points of iBUG's order.

Two maps. ``hand_picked`` takes the mesh points nearest in meaning. ``fitted`` adds a linear
correction to it: the mesh without place, size and roll, in its first principal components, times
coefficients fitted by ridge regression to hand-placed points (``bench/fit_mesh_map.py`` makes
``mesh_map.json`` and measures how well it generalises).

The coefficients were fitted on HELEN faces (Le et al., 2012) with the hand-placed points of iBUG
300-W (Sagonas et al., 2013). The terms of both: non-commercial research.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

# One entry a landmark: a mesh point, or two whose mean it is.
JAW = "127 234 93 132+58 58+172 136 150 176 152 400 379 365 397+288 361 323 454 356"
BROWS = "70 63 105 66 107 336 296 334 293 300"
NOSE = "168+6 197+195 5 4 75 97 2 326 305"
EYES = "33 160 158 133 153 144 362 385 387 263 373 380"
LIPS = "61 39 37 0 267 269 291 321 314 17 84 91 78 82 13 312 308 317 14 87"
HAND_PICKED = [
    [int(index) for index in entry.split("+")]
    for entry in " ".join([JAW, BROWS, NOSE, EYES, LIPS]).split()
]
PAIRS = np.array([(entry[0], entry[-1]) for entry in HAND_PICKED])  # (68, 2)
QUARTER_TURN = np.array([[0, 1], [-1, 0]])
COEFFICIENTS = Path(__file__).with_suffix(".json")


class Fit(NamedTuple):
    """What ``mesh_map.json`` holds; P mesh points, K components."""

    mesh_points: np.ndarray  # (P,) which of the 478
    mean: np.ndarray  # (P, 3) the mean mesh, without place, size and roll
    components: np.ndarray  # (K, P * 3)
    limits: np.ndarray  # (K,) to which a component's score is clipped
    offset: np.ndarray  # (68 * 2,) the correction of the mean mesh
    coefficients: np.ndarray  # (K, 68 * 2)


class Pose(NamedTuple):
    """Where a mesh lies in its image, in x and y: ``mesh = centre + size * shape @ rotation``."""

    centre: np.ndarray  # (..., 1, 3) pixels
    size: np.ndarray  # (..., 1, 1) pixels: root mean square distance from the centre, in 3-D
    rotation: np.ndarray  # (..., 2, 2) about the line of sight


def hand_picked(mesh: np.ndarray) -> np.ndarray:
    """Mesh (..., 478, 2 or 3) in pixels -> (..., 68, 2): the mesh points nearest in meaning."""
    return np.asarray((mesh[..., PAIRS[:, 0], :2] + mesh[..., PAIRS[:, 1], :2]) / 2)


def fitted(mesh: np.ndarray, fit: Fit | None = None) -> np.ndarray:
    """Mesh (..., 478, 3) in pixels -> (..., 68, 2): the hand-picked points, corrected.

    To the last bit the same for each mesh, however many there are.
    """
    fit = fit or read_fit()
    pose, shape = normalised(mesh.take(fit.mesh_points, axis=-2), fit.mean)
    # As (..., 1, K): a product of many rows at once would sum in another order than of one.
    scores = flat(shape - fit.mean)[..., None, :] @ fit.components.T
    # A face unlike all that were fitted on is corrected no further than the most unlike of them.
    scores = np.minimum(np.maximum(scores, -fit.limits), fit.limits)
    correction = fit.offset + (scores @ fit.coefficients)[..., 0, :]
    return hand_picked(mesh) + pose.size * unflat(correction) @ pose.rotation


def normalised(points: np.ndarray, mean: np.ndarray) -> tuple[Pose, np.ndarray]:
    """Points (..., P, 3) of a mesh -> their pose, and their shape, turned upright like ``mean``.

    The size is measured in 3-D, because the distance of the eyes shrinks when a head turns.
    """
    centre = points.sum(axis=-2, keepdims=True) / points.shape[-2]
    shape = points - centre
    squares = (flat(shape) ** 2).sum(axis=-1)[..., None, None]
    size = np.sqrt(squares / points.shape[-2])
    shape /= size
    # The turn that brings the shape closest to the mean: that part of their moments.
    moments = mean[:, :2].T @ shape[..., :2]  # (..., 2, 2)
    turn = moments + QUARTER_TURN @ moments @ QUARTER_TURN.T
    rotation = turn / np.hypot(turn[..., :1, :1], turn[..., :1, 1:])
    shape[..., :2] = shape[..., :2] @ np.swapaxes(rotation, -1, -2)
    return Pose(centre, size, rotation), shape


def flat(points: np.ndarray) -> np.ndarray:
    return points.reshape(*points.shape[:-2], -1)


def unflat(numbers: np.ndarray) -> np.ndarray:
    return numbers.reshape(*numbers.shape[:-1], -1, 2)


@cache
def read_fit() -> Fit:
    content = json.loads(COEFFICIENTS.read_text(encoding="utf-8"))
    return Fit(*(np.array(content[name]) for name in Fit._fields))


MAPS = {"hand_picked": hand_picked, "fitted": fitted}
