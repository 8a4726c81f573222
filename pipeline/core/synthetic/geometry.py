"""The 68 landmarks of a face, made from its labels and numbers; everything is drawn through them.

iBUG order, image left first: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, lips 48-67. The
proportions are those of real faces aligned as CelebA's are: mean eye centres (69.4, 112.7) and
(107.7, 112.7), mouth corners (71.2, 152.8) and (105.9, 152.8).
"""

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from pipeline.core.synthetic.people import Face
from pipeline.core.synthetic.shapes import spline

MIDDLE = 88.55
EYE_LEVEL = 112.7
EAR_LEVEL = 113.5
MOUTH_LEVEL = 152.8
EYE_DISTANCE = 38.3
SIDES = (-1, 1)
MIRRORED_EYE = [3, 2, 1, 0, 5, 4]  # an eye's points in the order of the other one's


def centred(points: ArrayLike, mirror: int = 1) -> np.ndarray:
    """Points (N, 2) given from the middle of the face, ``mirror`` = -1 to the image left."""
    return np.asarray(points, np.float64) * (mirror, 1) + (MIDDLE, 0)


def both_sides(right: ArrayLike) -> np.ndarray:
    """The right half of a curve, given outwards, after its mirror image: left end to right end.

    A first point in the middle (x = 0) is kept once.
    """
    right = np.asarray(right, np.float64)
    left = right[:0:-1] if right[0, 0] == 0 else right[::-1]
    return centred(np.concatenate([left * (-1, 1), right]))


class Shape:
    """A face's points, looking straight at the camera, in pixels of the picture."""

    def __init__(self, face: Face) -> None:
        has, build, scene = face.has, face.build, face.scene
        self.half_head = 43.5 + 1.8 * build.width + 5.5 * has("Chubby") - 2.2 * has("Oval_Face")
        self.half_head += 1.2 if has("Male") else -0.8
        self.half_neck = self.half_head * (0.72 if has("Male") else 0.58)
        self.chin = 180.5 + 1.8 * build.chin + 5.5 * has("Oval_Face") + (1 if has("Male") else -1.5)
        self.crown = 45.5 + 2.5 * build.skull
        self.eye_x = EYE_DISTANCE / 2 * (1 + 0.03 * build.eye_distance)
        self.nose_tip = 134.6 + 1.2 * build.nose + 1.8 * has("Big_Nose")
        self.nose_width = 8.8 + 0.5 * build.nose + 4.2 * has("Big_Nose") - 2.3 * has("Pointy_Nose")
        self.gap = has("Mouth_Slightly_Open") * ((5.4 if has("Smiling") else 4.0) + scene.opening)
        self.crooked = (0.2 if has("Attractive") else 1.2) * scene.crookedness
        brows = [self._brow(face, -1), self._brow(face, 1)[::-1]]
        eyes = [self._eye(face, -1), self._eye(face, 1)[MIRRORED_EYE]]
        parts = [self._jaw(face), *brows, self._nose(), *eyes, self._lips(face)]
        self.points = np.concatenate(parts)

    def eye(self, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Upper lid, lower lid (both from outer to inner corner) and centre of an eye."""
        six = self.points[36:42] if side < 0 else self.points[42:48][MIRRORED_EYE]
        return spline(six[:4]), spline(six[[0, 5, 4, 3]]), (six[0] + six[3]) / 2

    def brow(self, side: int) -> np.ndarray:
        """Upper edge of a brow, from its outer to its inner end."""
        return spline(self.points[17:22] if side < 0 else self.points[22:27][::-1])

    @cached_property
    def outline(self) -> np.ndarray:
        """The head: jaw from the left ear round the chin to the right one, and over the crown."""
        return np.concatenate([spline(self.points[:17]), self.dome()])

    def dome(self, wider: float = 0.0, higher: float = 0.0) -> np.ndarray:
        """(N, 2) curve over the crown, from the right ear to the left one."""
        rise = np.sin(np.linspace(0, np.pi / 2, 24))  # steps grow short where the curve turns flat
        y = EAR_LEVEL - (EAR_LEVEL - self.crown + higher) * rise
        half = self.half_skull(y, wider, higher)
        right, left = np.stack([MIDDLE + half, y], axis=1), np.stack([MIDDLE - half, y], axis=1)
        return np.concatenate([right, left[-2::-1]])

    def half_skull(self, y: np.ndarray, wider: float = 0.0, higher: float = 0.0) -> np.ndarray:
        """Half the width of the head above the ears, or of something around it."""
        rise = np.clip((EAR_LEVEL - np.asarray(y)) / (EAR_LEVEL - self.crown + higher), 0, 1)
        return (self.half_head + wider) * (1 - rise**2.8) ** (1 / 2.6)

    def half_width(self, y: np.ndarray) -> np.ndarray:
        """Half the width of the face at heights ``y``, jaw included."""
        y = np.asarray(y)
        jaw = spline(self.points[8:17])[::-1]
        below = np.interp(y, jaw[:, 1], jaw[:, 0] - MIDDLE, right=0.0)
        return np.where(y < EAR_LEVEL, self.half_skull(y), below)

    def _jaw(self, face: Face) -> np.ndarray:
        fullness = 2.6 + 1.0 * face.has("Chubby") - 0.55 * face.has("Oval_Face")
        fullness += 0.35 if face.has("Male") else -0.15
        down = np.linspace(0, 1, 400)
        x = self.half_head * (1 - down**fullness) ** (1 / 1.7)
        y = EAR_LEVEL + down * (self.chin - EAR_LEVEL)
        length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
        at = np.linspace(0, length[-1], 9)
        down_to_chin = np.stack([np.interp(at, length, x), np.interp(at, length, y)], axis=1)
        return both_sides(down_to_chin[::-1])

    def _brow(self, face: Face, side: int) -> np.ndarray:
        """Five points of the upper edge, from the outer to the inner end."""
        x = np.array([17.0, 11.3, 3.4, -4.7, -11.9])
        if face.has("Arched_Eyebrows"):
            y = np.array([-7.0, -14.8, -17.6, -14.4, -10.2])
        else:
            y = np.array([-8.6, -11.8, -13.1, -13.2, -12.2])
        y = y - 1.3 * face.has("Bushy_Eyebrows") + 0.9 * side * self.crooked
        return np.stack([MIDDLE + side * (self.eye_x + x), EYE_LEVEL + y], axis=1)

    def _nose(self) -> np.ndarray:
        bridge = np.linspace(EYE_LEVEL - 1.0, self.nose_tip - 1.0, 4)
        base = self.nose_tip + np.array([4.4, 6.0, 7.0, 6.0, 4.4])
        across = self.nose_width * np.array([-1, -0.5, 0, 0.5, 1])
        x = MIDDLE + np.concatenate([np.zeros(4), across])
        return np.stack([x, np.concatenate([bridge, base])], axis=1)

    def _eye(self, face: Face, side: int) -> np.ndarray:
        """Outer corner, upper outer, upper inner, inner corner, lower inner, lower outer."""
        wide = 8.5 + 0.4 * face.build.eye_size + 0.6 * face.has("Attractive")
        high = 2.1 if face.has("Narrow_Eyes") else 4.3 + 0.4 * face.build.eye_size
        high *= (0.9 if face.has("Smiling") else 1.0) * (1 + 0.06 * face.scene.eyelids)
        x = np.array([1.0, 0.36, -0.34, -1.0, -0.36, 0.34]) * wide
        y = np.array([-0.4, -0.92 * high, -0.9 * high, 1.0, 0.6 * high, 0.58 * high])
        return np.stack([MIDDLE + side * (self.eye_x + x), EYE_LEVEL + y], axis=1)

    def _lips(self, face: Face) -> np.ndarray:
        smiling, big = face.has("Smiling"), face.has("Big_Lips")
        half = (19.0 if smiling else 15.6) + 0.5 * face.scene.smile
        corner = MOUTH_LEVEL + (-2.4 if smiling else 0.6) - 0.4 * face.scene.smile
        middle = MOUTH_LEVEL + 0.1 + (1.2 if smiling else 0.0) - 0.3 * self.gap
        upper = (5.7 if big else 2.8) + 0.3 * face.build.lips
        lower = (7.6 if big else 4.2) + 0.4 * face.build.lips
        bottom = middle + self.gap
        thin = 0.45 * (corner - middle)  # how far the lips follow the corners at two thirds
        outer_x = np.array([-1, -0.62, -0.24, 0, 0.24, 0.62, 1, 0.64, 0.27, 0, -0.27, -0.64])
        outer_y = [corner, middle - 0.68 * upper + thin, middle - upper, middle - 0.82 * upper]
        outer_y += [outer_y[2], outer_y[1], corner]
        low = bottom + 0.68 * lower + 0.5 * thin
        outer_y += [low, bottom + 0.95 * lower, bottom + lower, bottom + 0.95 * lower, low]
        inner_x = np.array([-0.9, -0.26, 0, 0.26, 0.9, 0.28, 0, -0.28])
        side = corner + 0.1 * (middle - corner)
        inner_y = [side, middle, middle + 0.3, middle, side]
        inner_y += [bottom + 0.05, bottom + 0.35, bottom + 0.05]
        x = MIDDLE + half * np.concatenate([outer_x, inner_x])
        y = np.concatenate([outer_y, inner_y])
        return np.stack([x, y + 1.3 * self.crooked * (x - MIDDLE) / half], axis=1)
