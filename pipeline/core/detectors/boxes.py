"""Where a face is expected, and whether 68 points look like a face at that place."""

from collections.abc import Sequence

import numpy as np

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

# The mean box around the points of an aligned CelebA face (178 × 218).
ALIGNED = (44.0, 97.0, 132.0, 181.0)

# The mean eyes, nose tip and mouth corners of CelebA's aligned faces, by which they were aligned.
FIVE_MARKS = np.array([(69.4, 112.7), (107.7, 112.7), (88.1, 134.9), (71.2, 152.8), (105.9, 152.8)])
FARTHEST = 0.35  # from the middle of the box, in its sides
NEAR = 0.3  # the same, where only one face can be: 99 % of CelebA's are
SMALLEST, LARGEST = 0.5, 1.8  # in sides of the box


def aligned_box(image: np.ndarray) -> Box:
    """The box of the face in an image (H, W, …) of CelebA's aligned geometry, at any size."""
    height, width = image.shape[:2]
    left, top, right, bottom = ALIGNED
    return (left * width / 178, top * height / 218, right * width / 178, bottom * height / 218)


def centre_and_size(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (2,) of the smallest upright box around points, and the mean of its two sides."""
    low, high = points.min(axis=0), points.max(axis=0)
    return (low + high) / 2, float((high - low).mean())


def distance(points: np.ndarray, box: Box) -> float:
    """From the middle of the points to the middle of the box, in mean sides of the box."""
    middle, size = centre_and_size(np.reshape(box, (2, 2)))
    return float(np.linalg.norm(centre_and_size(points)[0] - middle)) / size


def inside(box: Box, image: np.ndarray) -> bool:
    """Whether a box has an area, and its middle lies in the image (H, W, …)."""
    left, top, right, bottom = box
    height, width = image.shape[:2]
    area = right > left and bottom > top
    return area and 0 <= left + right <= 2 * width and 0 <= top + bottom <= 2 * height


def fills(points: np.ndarray, box: Box) -> bool:
    """Whether points (P, 2) are so near to the box's middle, and so large, that no others are."""
    size = centre_and_size(points)[1] / centre_and_size(np.reshape(box, (2, 2)))[1]
    return size > SMALLEST and distance(points, box) < NEAR


def plausible(points: np.ndarray, box: Box) -> bool:
    """Whether points (68, 2) are a face in the box: near it, of its size, eyes above the mouth.

    The limits are wide: profiles are narrower, and annotated boxes differ from those of points.
    """
    if not np.isfinite(points).all():
        return False
    size = centre_and_size(points)[1] / centre_and_size(np.reshape(box, (2, 2)))[1]
    y = points[:, 1]
    in_order = y[17:27].mean() < y[36:48].mean() < y[31:36].mean() < y[48:].mean() < y[6:11].max()
    return bool(distance(points, box) < FARTHEST and SMALLEST < size < LARGEST and in_order)


def as_aligned(points: np.ndarray, image: np.ndarray) -> bool:
    """Whether eyes, nose and mouth lie about where CelebA's alignment has put them.

    The limits hold 99.8 % of the real faces that MediaPipe finds; they are for the detectors that
    are asked about the faces that it does not find.
    """
    shift, factor = from_alignment(points, image)
    turned = abs(np.degrees(np.angle(factor)))
    return bool(0.82 < abs(factor) < 1.43 and turned < 6.5 and abs(shift) < 9.5)


def drawn_to_alignment(points: np.ndarray, image: np.ndarray, share: float) -> np.ndarray:
    """Points (68, 2) moved, turned and scaled a share of the way to their known place."""
    scale = np.array([178 / image.shape[1], 218 / image.shape[0]])
    shift, factor = from_alignment(points, image)
    middle = marks(points * scale).mean()
    moved = (as_complex(points * scale) - middle) * factor**-share + middle - share * shift
    return np.stack([moved.real, moved.imag], axis=-1) / scale


def from_alignment(points: np.ndarray, image: np.ndarray) -> tuple[complex, complex]:
    """The shift and the factor (scale and turn) that lead from the known marks to the points'.

    In an image of 178 × 218, x + iy.
    """
    found = marks(points * (178 / image.shape[1], 218 / image.shape[0]))
    known = as_complex(FIVE_MARKS)
    a, b = known - known.mean(), found - found.mean()
    return complex(found.mean() - known.mean()), complex(np.vdot(a, b) / np.vdot(a, a))


def marks(points: np.ndarray) -> np.ndarray:
    """(5,) x + iy: eyes, tip of the nose, corners of the mouth."""
    eyes = [points[36:42].mean(axis=0), points[42:48].mean(axis=0)]
    return as_complex(np.array([*eyes, *points[[30, 48, 54]]]))


def as_complex(points: np.ndarray) -> np.ndarray:
    return np.asarray(points @ np.array([1, 1j]))


def consensus(answers: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """The median of several answers (68, 2), and how far they are apart from it.

    In sizes of the face: the mean distance of the answers' points from the median's.
    """
    points = np.median(answers, axis=0)
    apart = np.linalg.norm(answers - points, axis=-1).mean()
    return points, float(apart / centre_and_size(points)[1])
