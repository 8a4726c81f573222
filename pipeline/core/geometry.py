"""CelebA's aligned geometry: where five points of a face lie, and the warp that takes them there.

The five points are the left and the right eye as seen by the viewer, the nose, the left and the
right corner of the mouth. A similarity (turn, one scale, shift) keeps the face's proportions; it
is the least-squares one for all five (Umeyama, PAMI 1991, without the reflection).
"""

import cv2
import numpy as np

# Mean places of CelebA's aligned faces, in pixels of 178 wide × 218 high, measured.
HEIGHT, WIDTH = 218, 178
PLACES = np.array([(69.4, 112.7), (107.7, 112.7), (88.1, 134.9), (71.2, 152.8), (105.9, 152.8)])
Size = tuple[int, int]


def align(
    image: np.ndarray, points: np.ndarray, size: Size = (HEIGHT, WIDTH)
) -> tuple[np.ndarray, np.ndarray]:
    """Warp a photograph so that its five points come to CelebA's places.

    ``image`` (H, W, 3) uint8, ``points`` (5, 2) in its pixels (the centre of the upper left one is
    0, 0); ``size`` is (height, width) of the result. Returns the aligned image and the matrix
    (2, 3) that takes a point of the photograph, as (x, y, 1), to its place there. What lies
    outside the photograph repeats its edge, as in CelebA.
    """
    matrix = similarity(points, places(size))
    shrunk, to_shrunk = _shrink(image, float(np.hypot(*matrix[:, 0])))
    warp = matrix @ np.linalg.inv(to_shrunk)
    aligned = cv2.warpAffine(
        shrunk, warp, size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return aligned, matrix


def places(size: Size) -> np.ndarray:
    """(5, 2): where the five points lie in an aligned image of this (height, width)."""
    scale, shift = fitting(size)
    return PLACES * scale + shift


def fitting(size: Size) -> tuple[float, np.ndarray]:
    """The scale and the shift (2,) from CelebA's aligned images to those of this (height, width).

    One scale for both axes: the largest image of CelebA's proportions that fits, in the middle.
    """
    scale = min(size[0] / HEIGHT, size[1] / WIDTH)
    middle, celebas = (np.array(pixels[::-1]) / 2 - 0.5 for pixels in (size, (HEIGHT, WIDTH)))
    return scale, middle - celebas * scale


def similarity(points: np.ndarray, to: np.ndarray) -> np.ndarray:
    """(2, 3): turn, scale and shift that take ``points`` (N, 2) nearest to ``to``, least squares.

    ``ValueError`` if the points lie on one spot or are not finite.
    """
    z, w = as_complex(points), as_complex(to)
    spread = z - z.mean()
    if not np.isfinite(z).all() or (np.abs(spread) ** 2).sum() < 1e-6:
        raise ValueError("the points of the face are on one spot or unknown")
    turn = np.vdot(spread, w - w.mean()) / np.vdot(spread, spread)
    shift = w.mean() - turn * z.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def as_complex(points: np.ndarray) -> np.ndarray:
    """Points (..., 2) as x + iy (...): a turn and a scale are one factor."""
    return np.asarray(np.asarray(points, float) @ np.array([1, 1j]))


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """(5, 2) of 68 landmarks (68, 2) in iBUG order: eye centres, tip of the nose, mouth corners."""
    eyes = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    return np.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]])


def _shrink(image: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Average the pixels of a large photograph first: a bilinear warp alone would skip most.

    Returns the image and the (3, 3) matrix from the photograph's pixels to its own.
    """
    if scale >= 1:
        return image, np.eye(3)
    height, width = image.shape[:2]
    small = max(1, round(width * scale)), max(1, round(height * scale))
    x, y = small[0] / width, small[1] / height
    matrix = np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5], [0, 0, 1]])
    return cv2.resize(image, small, interpolation=cv2.INTER_AREA), matrix
