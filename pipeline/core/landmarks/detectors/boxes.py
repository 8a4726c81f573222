"""Where a face is expected, and whether 68 points look like a face at that place."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from pipeline.core.geometry import as_complex, fitting, five_points, places, similarity

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


class Doubt(NamedTuple):
    """How much the known place of an aligned face counts: see ``settle``."""

    share: float
    most: float


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
    return box_at_size(*image.shape[:2])


@cache
def box_at_size(height: int, width: int) -> Box:
    scale, shift = fitting((height, width))
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

    The limits hold 99.8 % of the real faces that MediaPipe finds; they are for the detectors that
    are asked about the faces that it does not find.
    """
    shift, factor = from_alignment(points, image)
    turned, (scale, _) = abs(np.degrees(np.angle(factor))), fitting(image.shape[:2])
    return bool(0.82 < abs(factor) < 1.43 and turned < 6.5 and abs(shift) < 9.5 * scale)


def drawn_to_alignment(points: np.ndarray, image: np.ndarray, share: float) -> np.ndarray:
    """Points (68, 2) moved, turned and scaled a share of the way to their known place."""
    shift, factor = from_alignment(points, image)
    middle = as_complex(five_points(points)).mean()
    moved = (as_complex(points) - middle) * factor**-share + middle - share * shift
    return np.stack([moved.real, moved.imag], axis=-1)


def from_alignment(points: np.ndarray, image: np.ndarray) -> tuple[complex, complex]:
    """The shift and the factor (scale and turn) that lead from the known five points to those of
    ``points`` (68, 2), in pixels as x + iy.
    """
    known, found = places(image.shape[:2]), five_points(points)
    factor = complex(*similarity(known, found)[:, 0])
    return complex(as_complex(found).mean() - as_complex(known).mean()), factor


def consensus(answers: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """The median of several answers (68, 2), and how far they are apart from it.

    In sizes of the face: the mean distance of the answers' points from the median's.
    """
    points = np.median(answers, axis=0)
    apart = np.linalg.norm(answers - points, axis=-1).mean()
    return points, float(apart / mean_side(around(points)))


def settle(
    answers: Sequence[np.ndarray], image: np.ndarray, aligned: bool, spread: float, doubt: Doubt
) -> np.ndarray | None:
    """The points (68, 2) on which a fallback's answers agree, or None.

    ``spread`` is how far apart they may be. In an aligned image they must lie about where the
    alignment puts a face, and are drawn towards it: by ``doubt.share`` for each unit of their
    being apart, at most by ``doubt.most`` of the way.
    """
    points, apart = consensus(answers)
    if apart > spread or (aligned and not as_aligned(points, image)):
        return None
    if not aligned:
        return points
    return drawn_to_alignment(points, image, min(doubt.most, doubt.share * apart))
