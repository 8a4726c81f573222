"""A canvas of twice the picture's size, on which polygons, lines and soft spots are painted.

All coordinates are pixels of the finished picture, from the centre of its upper left pixel.
A shape touches only its own bounding box: that is what makes drawing fast.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike

from pipeline.core.synthetic.parts import PART

SCALE = 2
STEPS = 12  # of a curve from one of its points to the next
_SHIFT = 4  # OpenCV's fixed-point fraction bits: coordinates to 1/16 of a canvas pixel


@dataclass(frozen=True)
class Area:
    """A patch of the canvas with the share (0 to 1, float32) that a shape covers of each pixel."""

    rows: slice
    columns: slice
    cover: np.ndarray

    @property
    def x(self) -> np.ndarray:
        """(1, w) float32: x of the patch's columns, in pixels of the picture."""
        return to_picture(np.arange(self.columns.start, self.columns.stop))[None, :]

    @property
    def y(self) -> np.ndarray:
        """(h, 1) float32: y of the patch's rows, in pixels of the picture."""
        return to_picture(np.arange(self.rows.start, self.rows.stop))[:, None]

    def times(self, factor: np.ndarray) -> "Area":
        return Area(self.rows, self.columns, np.clip(self.cover * factor, 0, 1))


class Canvas:
    """``image`` (h, w, 3) float32 RGB 0-255 and ``parts`` (h, w) uint8, at ``SCALE``."""

    def __init__(self, height: int, width: int) -> None:
        self.image = np.zeros((height * SCALE, width * SCALE, 3), np.float32)
        self.parts = np.zeros((height * SCALE, width * SCALE), np.uint8)

    def polygon(self, points: np.ndarray, blur: float = 0.25) -> Area:
        """The inside of a polygon (N, 2); ``blur`` is its edge's sigma in pixels."""
        return self._area(points, blur, 0, closed=True)

    def line(
        self, points: np.ndarray, thickness: float, blur: float = 0.2, closed: bool = False
    ) -> Area:
        """A stroke along points (N, 2), ``thickness`` and ``blur`` in pixels."""
        return self._area(points, blur, thickness, closed)

    def ellipse(self, x: float, y: float, rx: float, ry: float, blur: float = 0.25) -> Area:
        return self.polygon(ellipse(x, y, rx, ry), blur)

    def paint(
        self, area: Area, colour: ArrayLike, strength: float = 1.0, part: str | None = None
    ) -> None:
        """Lay a colour, (3,) or a patch (h, w, 3), over an area; mark the part where it covers."""
        blend(self.image[area.rows, area.columns], colour, area.cover * np.float32(strength))
        if part:
            self.mark(area, part)

    def mark(self, area: Area, part: str) -> None:
        """Record that an area shows a part, without painting."""
        self.parts[area.rows, area.columns][area.cover > 0.5] = PART[part]

    def shade(self, area: Area, strength: float) -> None:
        """Darken what lies under an area, by ``strength`` (0 to 1)."""
        self.paint(area, np.zeros(3), strength)

    def _area(self, points: np.ndarray, blur: float, thickness: float, closed: bool) -> Area:
        at = to_canvas(np.asarray(points, np.float64))
        margin = int(3 * blur * SCALE + thickness * SCALE) + 3
        height, width = self.parts.shape
        left, top = np.clip(np.floor(at.min(0)).astype(int) - margin, 0, [width, height])
        right, bottom = np.clip(np.ceil(at.max(0)).astype(int) + margin, 0, [width, height])
        patch = np.zeros((bottom - top, right - left), np.uint8)
        at = np.round((at - [left, top]) * (1 << _SHIFT)).astype(np.int32)
        if thickness:
            wide = max(1, round(thickness * SCALE))
            cv2.polylines(patch, [at], closed, 255, wide, cv2.LINE_AA, _SHIFT)
        else:
            cv2.fillPoly(patch, [at], 255, cv2.LINE_AA, _SHIFT)
        patch = cv2.GaussianBlur(patch, (0, 0), blur * SCALE, borderType=cv2.BORDER_REPLICATE)
        cover = patch.astype(np.float32) * np.float32(1 / 255)
        return Area(slice(top, bottom), slice(left, right), cover)


def blend(image: np.ndarray, colour: ArrayLike, cover: np.ndarray) -> None:
    """Draw ``image`` (h, w, 3) towards a colour, (3,) or (h, w, 3), by ``cover`` (h, w) 0 to 1."""
    image += cover[..., None] * (np.asarray(colour, np.float32) - image)


def spline(points: ArrayLike, closed: bool = False) -> np.ndarray:
    """A Catmull-Rom curve through every one of the points (N, 2), ``STEPS`` a piece."""
    points = np.asarray(points, np.float64)
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        ends = 2 * points[:1] - points[1:2], 2 * points[-1:] - points[-2:-1]
        padded = np.concatenate([ends[0], points, ends[1]])
    t = np.arange(STEPS)[:, None, None] / STEPS
    a, b, c, d = (padded[i : len(padded) - 3 + i] for i in range(4))
    curve = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    return np.concatenate([curve.transpose(1, 0, 2).reshape(-1, 2), padded[-2:-1]])


def ellipse(x: float, y: float, rx: float, ry: float, power: float = 1.0) -> np.ndarray:
    """(48, 2) points of an ellipse; a ``power`` below 1 makes it boxier."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    wide = np.sign(cos) * np.abs(cos) ** power
    high = np.sign(sin) * np.abs(sin) ** power
    return np.stack([x + rx * wide, y + ry * high], axis=1)


def noise(rng: np.random.Generator, size: tuple[int, int], cell: tuple[float, float]) -> np.ndarray:
    """Smooth noise of about unit variance, ``size`` (h, w) and ``cell`` (h, w) in canvas pixels."""
    coarse = [max(2, round(n / c)) for n, c in zip(size, cell, strict=True)]
    field = rng.standard_normal(coarse, np.float32)
    return cv2.resize(field, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def to_canvas(picture: np.ndarray) -> np.ndarray:
    """Coordinates in pixels of the picture as pixels of the canvas."""
    return picture * SCALE + (SCALE - 1) / 2


def to_picture(canvas: np.ndarray) -> np.ndarray:
    """Coordinates in pixels of the canvas as pixels of the picture, float32."""
    return ((canvas - (SCALE - 1) / 2) / SCALE).astype(np.float32)
