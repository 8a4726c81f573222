"""Where a face is expected, and whether 68 points look like a face at that place."""

import numpy as np

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

# The mean box around the points of an aligned CelebA face (178 × 218).
ALIGNED = (44.0, 97.0, 132.0, 181.0)


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


def plausible(points: np.ndarray, box: Box) -> bool:
    """Whether the points are a face in the box: near it, of its size, eyes above the mouth."""
    eyes, mouth = points[36:48].mean(axis=0), points[48:68].mean(axis=0)
    size = centre_and_size(points)[1] / centre_and_size(np.reshape(box, (2, 2)))[1]
    return bool(
        np.isfinite(points).all()
        and distance(points, box) < 0.5
        and 0.5 < size < 2
        and eyes[1] < mouth[1]
    )
