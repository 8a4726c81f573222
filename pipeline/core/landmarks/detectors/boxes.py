"""Where a face is expected, and whether 68 points look like a face at that place."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.core.geometry import as_complex, fitting, five_points, places, similarity

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


class Shrinkage(NamedTuple):
    """How strongly disagreement shrinks a prediction towards the alignment: see ``combine``."""

    slope: float  # weight of the alignment for each unit of disagreement
    limit: float  # the largest weight, at most 1


# The mean box around the points of an aligned CelebA face (178 × 218).
ALIGNED = (44.0, 97.0, 132.0, 181.0)

FARTHEST = 0.4  # from the centre of the box, in its sizes
SMALLEST, LARGEST = 0.5, 1.8  # in sizes of the box

# (4, 68) times the points' y: the mean heights of brows, eyes, nostrils and mouth.
HEIGHTS = np.array(
    [
        np.isin(np.arange(68), part) / len(part)
        for part in (range(17, 27), range(36, 48), range(31, 36), range(48, 68))
    ]
)


def aligned_box(image: np.ndarray) -> Box:
    """The box of the face in an image (H, W, …) of CelebA's aligned geometry, at any size."""
    scale, shift = fitting(image.shape[:2])
    left, top, right, bottom = (np.reshape(ALIGNED, (2, 2)) * scale + shift).ravel().tolist()
    return left, top, right, bottom


def around(points: np.ndarray) -> np.ndarray:
    """The smallest upright box (..., 4) around points (..., P, 2)."""
    return np.concatenate([points.min(axis=-2), points.max(axis=-2)], axis=-1)


def centre(box: Box | np.ndarray) -> np.ndarray:
    """Of a box (..., 4): (..., 2)."""
    box = np.asarray(box)
    return np.asarray((box[..., :2] + box[..., 2:]) / 2)


def mean_side(box: Box | np.ndarray) -> np.ndarray:
    """The mean of the two sides of a box (..., 4): (...)."""
    box = np.asarray(box)
    return np.asarray((box[..., 2:] - box[..., :2]).sum(axis=-1) / 2)


def distance(box: Box | np.ndarray, other: Box | np.ndarray) -> np.ndarray:
    """(...) from the one's centre to the other's, in sizes of the other."""
    return np.asarray(np.linalg.norm(centre(box) - centre(other), axis=-1) / mean_side(other))


def inside(box: Box, image: np.ndarray) -> bool:
    """Whether a box has an area, and its centre lies in the image (H, W, …)."""
    left, top, right, bottom = box
    height, width = image.shape[:2]
    area = right > left and bottom > top
    return area and 0 <= left + right <= 2 * width and 0 <= top + bottom <= 2 * height


def plausible(points: np.ndarray, box: Box | np.ndarray) -> np.ndarray:
    """Whether points (..., 68, 2) are a face in its box (..., 4): (...) bool, not where NaN.

    It is near the centre and of about the box's size, with brows above eyes above nose above mouth
    above chin. The limits are wide: profiles are narrower, and annotated boxes differ from those
    of points.
    """
    face = around(points)
    size = mean_side(face) / mean_side(box)
    there = (distance(face, box) < FARTHEST) & (size > SMALLEST) & (size < LARGEST)
    y = points[..., 1]
    chin = y[..., 6:11].max(axis=-1, keepdims=True)
    downwards = np.diff(np.concatenate([y @ HEIGHTS.T, chin], axis=-1), axis=-1) > 0
    return np.asarray(there & downwards.all(axis=-1))


def as_aligned(points: np.ndarray, image: np.ndarray) -> bool:
    """Whether eyes, nose and mouth lie about where CelebA's alignment has put them.

    The limits hold for 99.8 % of the real faces that MediaPipe finds. They are for the fallbacks,
    which see the faces that it misses.
    """
    shift, factor = from_alignment(points, image)
    turned, (scale, _) = abs(np.degrees(np.angle(factor))), fitting(image.shape[:2])
    return bool(0.82 < abs(factor) < 1.43 and turned < 6.5 and abs(shift) < 9.5 * scale)


def shrunk_to_alignment(points: np.ndarray, image: np.ndarray, weight: float) -> np.ndarray:
    """Points (68, 2) moved, turned and scaled towards their known place: ``weight`` 1 is there.

    With c the centre of their five points, t and f as in ``from_alignment``, w the weight and
    points as complex numbers: ``(points - c) * f**-w + c - w * t``.
    """
    shift, factor = from_alignment(points, image)
    middle = as_complex(five_points(points)).mean()
    moved = (as_complex(points) - middle) * factor**-weight + middle - weight * shift
    return np.stack([moved.real, moved.imag], axis=-1)


def from_alignment(points: np.ndarray, image: np.ndarray) -> tuple[complex, complex]:
    """The shift and the factor (scale and turn) that lead from the known five points to those of
    ``points`` (68, 2), in pixels as x + iy.
    """
    known, found = places(image.shape[:2]), five_points(points)
    factor = complex(*similarity(known, found)[:, 0])
    return complex(as_complex(found).mean() - as_complex(known).mean()), factor


def stacked(found: Iterable[np.ndarray | None]) -> np.ndarray:
    """Points (N, 68, 2) of N images from those of each, NaN for None."""
    nothing = np.full((68, 2), np.nan)
    return np.stack([nothing if points is None else points for points in found])


def consensus(predictions: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """The median (68, 2) of several predictions (68, 2), and their disagreement.

    That is the mean distance of the predicted points from the median's, in sizes of the face.
    """
    points = np.median(predictions, axis=0)
    distances = np.linalg.norm(predictions - points, axis=-1)
    return points, float(distances.mean() / mean_side(around(points)))


def combine(
    predictions: Sequence[np.ndarray],
    image: np.ndarray,
    aligned: bool,
    tolerance: float,
    shrinkage: Shrinkage,
) -> np.ndarray | None:
    """The points (68, 2) on which a fallback's predictions (68, 2) agree, or None.

    Their disagreement may be ``tolerance``. In an aligned image their median must lie about where
    the alignment puts a face; it is then shrunk towards that place, as an estimate is towards its
    prior mean, with the weight ``min(limit, slope * disagreement)``.
    """
    points, disagreement = consensus(predictions)
    if disagreement > tolerance or (aligned and not as_aligned(points, image)):
        return None
    if not aligned:
        return points
    weight = min(shrinkage.limit, shrinkage.slope * disagreement)
    return shrunk_to_alignment(points, image, weight)
