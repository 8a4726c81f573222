"""Points and boxes that come with photographs: whether they fit, before a face is warped by them.

Convention: pixels of the photograph turned upright by its EXIF orientation, (0, 0) the centre of
the upper left one; left and right as the viewer sees them, as in CelebA. The five points of 260
hand-annotated faces have a correlation with CelebA's mean places of 0.93 or more, with left and
right or x and y exchanged of 0.28 or less.
"""

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.faces.exif import UPRIGHT
from pipeline.core.geometry import PLACES, Size, as_complex

LOWEST_CORRELATION = 0.5
SMALLEST = 0.1  # of the size that the face has in CelebA
TILT = 45.0  # degrees: a face turned by more is taken for one of a photograph that is turned
# What may be exchanged: how points (..., 5, 2) become right, and what tells which way is right.
EXCHANGES = {
    "left and right": (
        np.s_[..., [1, 0, 2, 4, 3], :],
        "the left eye is the one on the viewer's left",
    ),
    "x and y": (np.s_[..., ::-1], "x is the column"),
}


def fit(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the similarity from CelebA's places to points (..., 5, 2): its factor (...) complex, the
    scale and turn; and the correlation (...) with them, 0 to 1, 1 where it leaves no residual.
    """
    found, mean = as_complex(points), as_complex(PLACES)
    found, mean = found - found.mean(axis=-1, keepdims=True), mean - mean.mean()
    product = (np.conj(mean) * found).sum(axis=-1)
    size_of_mean, size_found = np.linalg.norm(mean), np.linalg.norm(found, axis=-1)
    correlation = np.abs(product) / np.maximum(size_of_mean * size_found, 1e-9)
    return product / size_of_mean**2, correlation


def _upright_face(points: np.ndarray) -> np.ndarray:
    """Whether points (..., 5, 2) are those of a face that is not turned by more than TILT."""
    factor, correlation = fit(points)
    tilted = np.abs(np.degrees(np.angle(factor))) > TILT
    return np.asarray((correlation > LOWEST_CORRELATION) & ~tilted)


def _exchanged(points: np.ndarray, what: str) -> np.ndarray:
    """Whether points (..., 5, 2) are a face only with ``what`` exchanged: (...) bool."""
    put_right, _ = EXCHANGES[what]
    return (fit(points)[1] < LOWEST_CORRELATION) & _upright_face(points[put_right])


def require_convention(points: np.ndarray) -> None:
    """``UserError`` if most of the known points (N, 5, 2) have left and right, or x and y, the
    other way round: then it is the list that is wrong, not a photograph.
    """
    known = points[np.isfinite(points).all(axis=(1, 2))]
    for what, (_, advice) in EXCHANGES.items():
        count = int(_exchanged(known, what).sum())
        if 2 * count > len(known):
            raise UserError(
                f"{count} of {len(known)} photographs have points whose {what} are exchanged:"
                f" {advice}; exchange the columns of the list of points."
            )


def misfit_of_points(points: np.ndarray, size: Size, orientation: int) -> str | None:
    """Why points (5, 2) cannot be those of the face in a photograph of this upright (height,
    width), stored with this EXIF orientation; None if they can.
    """
    outside, (factor, correlation) = not _inside(points, size), fit(points)
    if orientation > UPRIGHT and (outside or not _upright_face(points)):
        turned = turned_points(points, orientation, size)
        if _inside(turned, size) and _upright_face(turned):
            return f"has points of the stored pixels, before EXIF orientation {orientation}"
    if outside:
        return "has points outside the photograph"
    for what in EXCHANGES:
        if _exchanged(points, what):
            return f"has points whose {what} are exchanged"
    if correlation < LOWEST_CORRELATION:
        return "has points that do not lie as those of a face"
    if abs(factor) < SMALLEST:
        return f"has a face of {abs(factor):.0%} of its size in CelebA, too small to be aligned"
    return None


def misfit_of_box(box: np.ndarray, size: Size) -> str | None:
    """Why a box (left, top, width, height) cannot be that of a face in a photograph, or None."""
    left, top, width, height = box
    if width <= 0 or height <= 0:
        return "has a box without an area"
    if left >= size[1] or top >= size[0] or left + width <= 0 or top + height <= 0:
        return "has a box outside the photograph"
    return None


def turned_points(points: np.ndarray, orientation: int, size: Size) -> np.ndarray:
    """Points (5, 2) of stored pixels in the photograph of this upright (height, width)."""
    height, width = size
    if orientation >= 5:
        points = points[:, ::-1]
    x, y = points.T
    if orientation in (2, 3, 6, 7):
        x = width - 1 - x
    if orientation in (3, 4, 7, 8):
        y = height - 1 - y
    return np.stack([x, y], axis=1)


def _inside(points: np.ndarray, size: Size) -> bool:
    """Whether points (5, 2) lie in a photograph, to within a pixel."""
    return bool((points >= -1).all() and (points <= (size[1], size[0])).all())
