"""Every face of a photograph, largest first: where it is, and its warp to CelebA's geometry."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.core.geometry import Size, align, five_points, places
from pipeline.core.landmarks.detectors.boxes import around, distance, mean_side
from pipeline.core.landmarks.detectors.mediapipe_mesh import MediapipeMesh

LONGEST = 2560  # pixels in which faces are looked for: larger photographs are reduced first
SMALLEST = 20  # pixels: a smaller face shows no attributes


class Portrait(NamedTuple):
    """``image`` (H, W, 3) uint8 in CelebA's geometry; ``box`` left, top, right, bottom of its 68
    points in the photograph's pixels, None where the whole photograph was taken.
    """

    image: np.ndarray
    box: tuple[int, int, int, int] | None


class Finder:
    """Finds faces by MediaPipe, in the whole photograph and in windows of half its size.

    The detector looks for at most four faces at once and overlooks small ones; in nine
    overlapping windows it finds those as well.
    """

    def __init__(self, model: Path) -> None:
        self.mesh = MediapipeMesh(model, "fitted")

    def close(self) -> None:
        self.mesh.close()

    def find(self, photograph: np.ndarray, size: Size) -> list[Portrait]:
        """The portraits of a photograph (H, W, 3) uint8 RGB, largest face first."""
        longest = max(photograph.shape[:2])
        scale = min(1.0, LONGEST / longest)
        small = photograph
        if scale < 1:
            small = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found = [points / scale for points in self.points(small)]
        return [Portrait(align(photograph, five_points(p), size)[0], box_of(p)) for p in found]

    def points(self, image: np.ndarray) -> list[np.ndarray]:
        """(68, 2) of every face in an image, largest first; each face once."""
        candidates = [
            self.mesh.mesh_map(mesh) + np.array([left, top])
            for left, top, window in windows(image)
            for mesh in self.mesh.meshes(window)
            if inside(mesh, left, top, window, image)
        ]
        candidates.sort(key=lambda points: -mean_side(around(points)))
        kept: list[np.ndarray] = []
        for points in candidates:
            if mean_side(around(points)) >= SMALLEST and not any(same(points, k) for k in kept):
                kept.append(points)
        return kept


def windows(image: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """The image, and nine windows of half its sides: left, top, pixels."""
    yield 0, 0, image
    height, width = (side // 2 for side in image.shape[:2])
    if min(height, width) < 4 * SMALLEST:
        return
    for y in (0, height // 2, height):
        for x in (0, width // 2, width):
            yield x, y, np.ascontiguousarray(image[y : y + height, x : x + width])


def inside(mesh: np.ndarray, left: int, top: int, window: np.ndarray, image: np.ndarray) -> bool:
    """Whether a face is not cut off by its window; at the photograph's own border it may be."""
    low, high = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
    start = np.array([left, top])
    size, whole = (np.array(pixels.shape[1::-1]) for pixels in (window, image))
    first, last = start == 0, start + size >= whole - 1  # halves of an odd side leave a pixel
    return bool(((low > 1) | first).all() and ((high < size - 2) | last).all())


def same(points: np.ndarray, other: np.ndarray) -> bool:
    """Whether two sets of points are one face: their middles are within half a face."""
    return bool(distance(around(points), around(other)) < 0.5)


def box_of(points: np.ndarray) -> tuple[int, int, int, int]:
    left, top, right, bottom = map(round, around(points))
    return left, top, right, bottom


@contextmanager
def open_finder(model: Path) -> Iterator[Finder]:
    with closing(Finder(model)) as finder:
        yield finder


def whole(photograph: np.ndarray, size: Size) -> Portrait:
    """A photograph (H, W, 3) of one face that is aligned already, at another size."""
    return Portrait(align(photograph, places(photograph.shape[:2]), size)[0], None)
