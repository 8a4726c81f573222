"""From 68 landmarks to 14 polygons, from 14 polygons to masks: geometry and nothing else.

The polygons are those of AttParseNet (Thom & Hand, University of Nevada, Reno), pixel for pixel,
with one difference: a region that leaves the image is clipped at the border on every side alike,
where the published functions dropped the top of the head and the ears as soon as one vertex was
negative.

Landmarks are in iBUG's order: jaw 0-16, left brow 17-21, right brow 22-26, nose ridge 27-30,
nostrils 31-35, left eye 36-41, right eye 42-47, outer lip 48-59, inner lip 60-67. "Left" is the
left of the image.

The published rules are in pixels of CelebA's aligned images. Faces of any other size follow them
at that size: their points go there, and the polygons come back.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.core.attributes import REGIONS

# Vertices that are no landmarks but follow from them, numbered after them (``_vertices``).
LEFT_NOSTRIL, RIGHT_NOSTRIL, LEFT_CROWN, RIGHT_CROWN = 68, 69, 70, 71
LEFT_EAR = (72, 73, 74, 75)  # outside jaw points 0 1 2 3
RIGHT_EAR = (76, 77, 78, 79)  # outside jaw points 16 15 14 13
THROAT = (80, 81, 82, 83, 84, 85, 86)  # below jaw points 5 … 11

CHIN = (5, 6, 7, 8, 9, 10, 11)

# In the order of REGIONS: bit r of a region image stands for the r-th polygon.
POLYGONS: dict[str, tuple[int, ...]] = {
    "chin": (*CHIN, 54, 55, 56, 57, 58, 59, 48),
    "left_cheek": (0, 1, 2, 3, 4, 5, 48, 31, 39, 40, 41, 36),
    "right_cheek": (16, 15, 14, 13, 12, 11, 54, 35, 42, 47, 46, 45),
    "upper_lip": (48, 31, 32, 33, 34, 35, 54, 53, 52, 51, 50, 49),
    "mouth": tuple(range(48, 60)),
    "left_eye": tuple(range(36, 42)),
    "right_eye": tuple(range(42, 48)),
    "nose": (LEFT_NOSTRIL, 32, 33, 34, RIGHT_NOSTRIL, 42, 27, 39),
    "left_eyebrow": tuple(range(17, 22)),
    "right_eyebrow": tuple(range(22, 27)),
    "top_of_head": (24, RIGHT_CROWN, LEFT_CROWN, 19),
    "left_ear": (*LEFT_EAR, 3, 2, 1, 0),
    "right_ear": (*RIGHT_EAR, 13, 14, 15, 16),
    "neck": (*CHIN, *reversed(THROAT)),
}

_OTHER_SIDE = {"left": "right", "right": "left"}
# For each region the number of the one that it becomes in a mirrored image.
MIRRORED: tuple[int, ...] = tuple(
    REGIONS.index("_".join(_OTHER_SIDE.get(word, word) for word in name.split("_")))
    for name in REGIONS
)


def region_polygons(points: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """The polygons of one face that exist: region name → (vertices, 2) int32 (x, y) in pixels.

    ``points`` (68, 2) are in pixels of an aligned image of ``size`` (height, width). At CelebA's
    size coordinates are cut to integers towards zero, as the published code does. An ear exists
    only where the jaw reaches more than 5 of its pixels beyond the brow (a turned head hides the
    other ear). Vertices may lie outside the image. Points that are not all finite (no face was
    found) have no polygon.
    """
    from pipeline.core.geometry import fitting  # here, like OpenCV below, which it imports

    if not np.isfinite(points).all():
        return {}
    scale, shift = fitting(size)
    # Rounded first: the way there and back may take 44 to 43.999…
    cut = np.round((points - shift) / scale, 6).astype(np.int32)
    x = cut[:, 0]
    hidden = set()
    if x[0] - x[17] >= -5:
        hidden.add("left_ear")
    if x[16] - x[26] <= 5:
        hidden.add("right_ear")
    vertices = np.round(_vertices(cut) * scale + shift).astype(np.int32)
    return {
        name: vertices[list(corners)] for name, corners in POLYGONS.items() if name not in hidden
    }


def _vertices(points: np.ndarray) -> np.ndarray:
    """(68, 2) int landmarks at CelebA's size → (87, 2): with the vertices that follow from them."""
    y = points[:, 1]
    hair = int(1.1 * y[8]) - y[33]
    if min(y[19], y[24]) <= hair:  # the hair would leave the image: a lower rectangle
        hair = y[8] - int(1.3 * y[33])
    nostrils = _beyond(points, [31, 35], [32, 34])
    crowns = points[[19, 24]] - (0, hair)
    ears = _beyond(points, [0, 1, 2, 3, 16, 15, 14, 13], [17] * 4 + [26] * 4)
    throat = points[list(CHIN)] + (0, y[58] - y[33])
    return np.concatenate([points, nostrils, crowns, ears, throat])


def _beyond(points: np.ndarray, inner: Sequence[int], mirror: Sequence[int]) -> np.ndarray:
    """Points ``mirror`` reflected in x at the points ``inner``, at the height of ``inner``."""
    made = points[list(inner)].copy()
    made[:, 0] = 2 * made[:, 0] - points[list(mirror), 0]
    return made


def fill_polygons(polygons: dict[str, np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Fill polygons, clipped at the image's border: (H, W) uint16, bit r for ``REGIONS[r]``.

    ``size`` is (height, width). Regions overlap.
    """
    import cv2  # here: networks and their benchmark need the table above, and no OpenCV

    bits = np.zeros(size, np.uint16)
    drawn = np.zeros(size, np.uint8)
    for bit, name in enumerate(REGIONS):
        if name in polygons:
            polygon = polygons[name]
            left, top = np.maximum(polygon.min(axis=0), 0)
            right, bottom = np.maximum(polygon.max(axis=0) + 1, 0)
            cv2.fillPoly(drawn, [polygon], 1)
            box = drawn[top:bottom, left:right]
            bits[top:bottom, left:right] |= box.astype(np.uint16) << bit
            box[:] = 0
    return bits


def codes(table: Any) -> Any:
    """(A, R) bool → (A,) integers: the regions of each attribute as bits, for arrays and tensors.

    A pixel is in attribute k's mask if its region bits have one of ``codes(table)[k]``, and the
    label is true. All that makes masks of region bits, in NumPy or in torch, takes it from here.
    """
    return sum(table[:, bit] * (1 << bit) for bit in range(table.shape[1]))


def attribute_masks(bits: np.ndarray, labels: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Masks of one face: true where the label is 1 and one of the attribute's regions is.

    ``bits`` (H, W) uint16 from ``fill_polygons``, or any crop of it, mirrored or thinned out;
    ``labels`` (A,); ``code`` (A,) from ``codes``. The result is (A, H, W) bool.
    """
    masks = np.zeros((len(labels), *bits.shape), bool)
    for k in np.flatnonzero(labels == 1):
        np.not_equal(bits & int(code[k]), 0, out=masks[k])
    return masks
