"""Taking the picture: the head turns and tilts, the canvas becomes pixels, the light varies.

One map moves pixels and points alike. It runs from the finished picture back to the canvas;
the points go the other way, by fixed-point iteration, so that they stay exact.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.core.geometry import PLACES, five_points
from pipeline.core.synthetic.geometry import MIDDLE
from pipeline.core.synthetic.people import Face
from pipeline.core.synthetic.shapes import SCALE, Canvas, to_canvas, to_picture

CENTRE = np.array([MIDDLE, 128.0])
EYES_AND_MOUTH = [0, 1, 3, 4]  # of the five points


@dataclass(frozen=True)
class Drawing:
    """``image`` (218, 178, 3) uint8 RGB, ``parts`` (218, 178) uint8, ``points`` (68, 2) pixels."""

    image: np.ndarray
    parts: np.ndarray
    points: np.ndarray


def take_picture(canvas: Canvas, face: Face, points: np.ndarray) -> Drawing:
    """What is on the canvas, and the points (68, 2), as the camera sees them."""
    move, points = _pose(face, points)
    height, width = canvas.parts.shape
    seen = to_picture(np.mgrid[0:width:8, 0:height:8].T)
    back = _turn_back(face, (seen - move[:, 2]) @ np.linalg.inv(move[:, :2]).T)
    x, y = cv2.split(_enlarge(to_canvas(back).astype(np.float32), (height, width)))
    pixels = np.clip(canvas.image, 0, 255).astype(np.uint8)
    image = cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    image = cv2.resize(image, (width // SCALE, height // SCALE), interpolation=cv2.INTER_AREA)
    x, y = (of_canvas[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE] for of_canvas in (x, y))
    parts = cv2.remap(canvas.parts, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
    return Drawing(_expose(image, face), parts, points)


def _enlarge(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The smooth map, known at every eighth pixel, at every pixel."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / 8
    return cv2.remap(grid, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _pose(face: Face, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The (2, 3) similarity after the turn, and where the points come to lie.

    As in CelebA's alignment, eyes and mouth end up in their places whatever the turn.
    """
    turned = points.copy()
    for _ in range(40):
        turned = points + (turned - _turn_back(face, turned))
    scene = face.scene
    move = cv2.getRotationMatrix2D(CENTRE.tolist(), 4 * scene.tilt, 1 + 0.025 * scene.size)
    found = five_points(turned)[EYES_AND_MOUTH]
    aligned = PLACES[EYES_AND_MOUTH].mean(axis=0) - found.mean(axis=0)
    move[:, 2] += move[:, :2] @ aligned + [1.2 * scene.shift_x, 1.2 * scene.shift_y]
    return move, turned @ move[:, :2].T + move[:, 2]


def _turn_back(face: Face, seen: np.ndarray) -> np.ndarray:
    """Where on the canvas a point lies that is seen at ``seen`` (..., 2) once the head turned.

    What stands out of the picture moves most: the middle of the face, and the nose above all.
    """
    x, y = seen[..., 0] - MIDDLE, seen[..., 1]
    head = 8.0 * np.exp(-0.5 * (x / 26) ** 2 - 0.5 * ((y - 130) / 42) ** 2)
    nose = 3.5 * np.exp(-0.5 * (x / 10) ** 2 - 0.5 * ((y - 134) / 13) ** 2)
    return seen - np.stack([face.scene.turn * (head + nose), np.zeros_like(x)], axis=-1)


def _expose(image: np.ndarray, face: Face) -> np.ndarray:
    """Brightness, blur and grain."""
    scene = face.scene
    lit: np.ndarray = image.astype(np.float32) * (0.99 + 0.08 * scene.exposure) + 5 * scene.softness
    if face.has("Blurry"):
        lit = cv2.GaussianBlur(lit, (0, 0), 2.0 + 0.4 * scene.softness)
    grain = face.rng("grain").standard_normal(lit.shape, np.float32)
    lit += grain * (1.8 + 0.8 * scene.grain)
    return np.clip(np.round(lit), 0, 255).astype(np.uint8)
