"""Every face of a photograph, largest first: where it is, and its warp to CelebA's geometry."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np

from pipeline.core.faces.decoding import ImageError, decode
from pipeline.core.geometry import Size, align, five_points, places
from pipeline.core.landmarks.detectors.boxes import (
    around,
    centre,
    consensus,
    distance,
    mean_side,
)
from pipeline.core.landmarks.detectors.mediapipe_mesh import open_landmarker, run, warm_up
from pipeline.core.landmarks.mesh_map import MAPS

MODEL = Path("downloads/face_landmarker.task")  # where the workflow fetches MediaPipe's model to
# Of a table with a row a face, the largest of a photograph first, or the reason why there is none.
COLUMNS = ("photograph", "face", "left", "top", "right", "bottom", "fault")
MAX_SIDE = 2560  # pixels in which faces are looked for: larger photographs are reduced first
MIN_FACE = 20  # pixels: a smaller face shows no attributes
# Sides of the square windows, in longer sides of the photograph. MediaPipe finds faces from 0.17 of
# a window's side on; those up to half a side are whole in one of windows half a side apart.
WINDOWS = (1, 0.45, 0.2)
MAX_FACES = 16  # in a window
# A face counts if two looks at it in a window of its own agree: small windows often have eyes,
# ears or foliage taken for a face.
CLOSE = 2  # side of such a window, in sizes of the face
MAX_CLOSE_FACES = 4  # in it, of which the nearest is the face
CLOSE_OPTIONS = {"min_face_detection_confidence": 0.6, "min_face_presence_confidence": 0.8}
AGREEMENT = 0.05  # their disagreement (``consensus``): 0.01 on faces, mostly more on others
LOOKS = 3

Found = TypeVar("Found")
Window = tuple[int, int, int, int]  # left, top, right, bottom in pixels


class Portrait(NamedTuple):
    """``image`` (H, W, 3) uint8 in CelebA's geometry; ``box`` left, top, right, bottom of its 68
    points in the photograph's pixels, None where the whole photograph is the portrait.
    """

    image: np.ndarray
    box: tuple[int, int, int, int] | None


class Finder:
    """Finds faces by MediaPipe, in the whole photograph and in windows of it.

    MediaPipe overlooks faces that are small in its image, so it sees square windows of several
    sizes. What it finds there, whole or cut by a window's border, it then sees in a window of its
    own, until two looks agree.
    """

    def __init__(self, model: Path, mesh_map: str = "fitted") -> None:
        self.mesh_map = MAPS[mesh_map]
        self.wide = warm_up(open_landmarker(model, num_faces=MAX_FACES))
        self.close_up = warm_up(open_landmarker(model, num_faces=MAX_CLOSE_FACES, **CLOSE_OPTIONS))

    def close(self) -> None:
        self.wide.close()
        self.close_up.close()

    def find(self, photograph: np.ndarray, size: Size) -> list[Portrait]:
        """The portraits of a photograph (H, W, 3) uint8 RGB, largest face first."""
        found = self.points(photograph)
        return [Portrait(align(photograph, five_points(p), size)[0], box_of(p)) for p in found]

    def points(self, photograph: np.ndarray) -> list[np.ndarray]:
        """(68, 2) of every face in a photograph, in its pixels, largest first; each face once."""
        scale = min(1.0, MAX_SIDE / max(photograph.shape[:2]))
        image = photograph
        if scale < 1:
            image = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        faces: list[np.ndarray] = []
        candidates = [
            points
            for window in windows(image.shape[:2])
            for points in self.look(self.wide, image, window)
        ]
        for candidate in sorted(candidates, key=size_of, reverse=True):
            if any(same(candidate, face) for face in faces):
                continue
            face = self.confirmed(image, candidate)
            if face is not None and not any(same(face, other) for other in faces):
                faces.append(face)
        return [points / scale for points in sorted(faces, key=size_of, reverse=True)]

    def confirmed(self, image: np.ndarray, points: np.ndarray) -> np.ndarray | None:
        """A candidate's points (68, 2) as two looks from near by agree on them; else None."""
        for _ in range(LOOKS):
            if size_of(points) < MIN_FACE:
                break
            found = self.look(self.close_up, image, window_around(points, image.shape[:2]))
            if not found:
                break
            place = around(points)
            again = min(found, key=lambda face: distance(around(face), place))
            if consensus([points, again])[1] < AGREEMENT:
                return again
            points = again
        return None

    def look(self, landmarker: Any, image: np.ndarray, window: Window) -> list[np.ndarray]:
        """The faces (68, 2) in a window of an image; none in a window of no area."""
        left, top, right, bottom = window
        if left >= right or top >= bottom:
            return []
        meshes = run(landmarker, image[top:bottom, left:right])
        return [self.mesh_map(mesh) + np.array([left, top]) for mesh in meshes]


def windows(size: Size) -> Iterator[Window]:
    """Squares of each of ``WINDOWS`` sides, half a side apart, as far as they lie in an image."""
    height, width = size
    for share in WINDOWS:
        side = round(share * max(size))
        if side < MIN_FACE:
            return
        for top in starts(height, side):
            for left in starts(width, side):
                yield left, top, min(left + side, width), min(top + side, height)


def starts(length: int, side: int) -> list[int]:
    """Where windows of a side begin that cover a length, evenly, at most half a side apart."""
    room = max(length - side, 0)
    return np.linspace(0, room, -(-2 * room // side) + 1).round().astype(int).tolist()


def window_around(points: np.ndarray, size: Size) -> Window:
    """A window around a face (68, 2), as far as it lies in an image."""
    middle, half = centre(around(points)), CLOSE / 2 * size_of(points)
    left, top = np.maximum(middle - half, 0).astype(int).tolist()
    right, bottom = np.minimum(middle + half, size[::-1]).astype(int).tolist()
    return left, top, right, bottom


def size_of(points: np.ndarray) -> float:
    """The mean side in pixels of the box around points (68, 2)."""
    return float(mean_side(around(points)))


def same(points: np.ndarray, other: np.ndarray) -> bool:
    """Whether two sets of points are one face: their middles are within half a face."""
    apart = np.linalg.norm(centre(around(points)) - centre(around(other)))
    return bool(apart < 0.5 * min(size_of(points), size_of(other)))


def box_of(points: np.ndarray) -> tuple[int, int, int, int]:
    left, top, right, bottom = map(round, around(points))
    return left, top, right, bottom


def whole(photograph: np.ndarray, size: Size) -> list[Portrait]:
    """A photograph (H, W, 3) of one face that is aligned already, at another size."""
    return [Portrait(align(photograph, places(photograph.shape[:2]), size)[0], None)]


def found_in(encoded: bytes | str, find: Callable[[np.ndarray], list[Found]]) -> list[Found] | str:
    """What ``find`` finds in a photograph (H, W, 3) uint8 RGB, or why there is nothing.

    ``encoded`` is a file's bytes, or why it could not be read.
    """
    if isinstance(encoded, str):
        return encoded
    try:
        return find(decode(encoded)) or "no face was found"
    except ImageError as error:
        return str(error)
