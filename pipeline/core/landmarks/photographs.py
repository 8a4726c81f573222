"""Photographs of any size: the face in each, warped to CelebA's aligned geometry."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.core.faces.decoding import ImageError, decode, read_header
from pipeline.core.faces.sources import Source
from pipeline.core.geometry import Size, align, five_points
from pipeline.core.landmarks.detectors import DETECTORS, Detector, find, opened
from pipeline.core.landmarks.given_points import misfit_of_box, misfit_of_points, require_convention
from pipeline.core.partition import batched

JPEG_QUALITY = 95
PHOTOGRAPHS_PER_BATCH = 64  # encoded photographs in memory


class AlignedSource:
    """A source of photographs, as a source of aligned faces."""

    def __init__(
        self,
        source: Source,
        size: Size,
        detectors: Sequence[Detector],
        threads: int = 1,
        detect_unfit: bool = False,
    ) -> None:
        self.source, self.size, self.detectors, self.threads = source, size, detectors, threads
        self.detect_unfit = detect_unfit
        if source.labels.points is not None:
            require_convention(source.labels.points)
        self.labels, self.unmatched, self.terms = source.labels, source.unmatched, source.terms

    def images(self, rows: np.ndarray) -> Iterator[bytes | str]:
        """The aligned faces in order, by ``threads`` threads if every photograph has points.

        Detectors are not thread-safe: if one may be needed, this thread aligns them all.
        """
        points = self.labels.points
        given = points is not None and np.isfinite(points[rows]).all() and not self.detect_unfit
        pairs = zip(rows, self.source.images(rows), strict=True)
        with ThreadPoolExecutor(self.threads) as pool:
            align_all = pool.map if given else map
            for batch in batched(pairs, PHOTOGRAPHS_PER_BATCH):
                yield from align_all(self._aligned, *zip(*batch, strict=True))

    def _aligned(self, row: int, encoded: bytes | str) -> bytes | str:
        points = None if self.labels.points is None else self.labels.points[row]
        box = None if self.labels.boxes is None else self.labels.boxes[row]
        aligned = align_photograph(
            encoded, points, box, self.size, self.detectors, self.detect_unfit
        )
        return aligned if isinstance(aligned, str) else aligned.encoded


class Aligned(NamedTuple):
    """A face in CelebA's geometry: a JPEG, the matrix (2, 3), and the source of its points."""

    encoded: bytes
    matrix: np.ndarray
    points: str


def align_photograph(
    encoded: bytes | str,
    points: np.ndarray | None,
    box: np.ndarray | None,
    size: Size,
    detectors: Sequence[Detector],
    detect_unfit: bool = False,
) -> Aligned | str:
    """Align the face of a photograph, or return the reason why that is impossible.

    ``points`` (5, 2) in pixels, or None: then the detectors look for the face nearest to ``box``
    (left, top, width, height) or, without a box, nearest to the centre. Points or a box that do not
    fit the photograph are the reason or, with ``detect_unfit``, as if they were not given.
    """
    if isinstance(encoded, str):
        return encoded
    try:
        header = read_header(encoded)
        image, source = decode(encoded, header), "given"
    except ImageError as error:
        return str(error)
    upright = image.shape[:2]
    points, box = _known(points), _known(box)
    of_points = None if points is None else misfit_of_points(points, upright, header.orientation)
    of_box = None if box is None else misfit_of_box(box, upright)
    misfit = of_box if points is None else of_points
    if misfit and not detect_unfit:
        return misfit
    points, box = None if of_points else points, None if of_box else box
    if points is None:
        points, source = find_points(image, box, detectors)
        if points is None:
            return "has no face that a detector finds"
    try:
        aligned, matrix = align(image, points, size)
    except ValueError as error:
        return f"cannot be aligned: {error}"
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, jpeg = cv2.imencode(".jpg", aligned[..., ::-1], quality)
    return Aligned(jpeg.tobytes(), matrix, source)


def _known(numbers: np.ndarray | None) -> np.ndarray | None:
    return numbers if numbers is not None and np.isfinite(numbers).all() else None


def find_points(
    image: np.ndarray, box: np.ndarray | None, detectors: Sequence[Detector]
) -> tuple[np.ndarray | None, str]:
    """Five points (5, 2) of the face nearest to the box, and the detector's name; else None, ""."""
    if box is not None:
        left, top, width, height = box.tolist()
        landmarks, names = find([image], detectors, [(left, top, left + width, top + height)])
    elif detectors:  # MediaPipe; the others are for a face whose place is known
        height, width = image.shape[:2]
        landmarks, names = detectors[0].find([image], [(0, 0, width, height)]), [detectors[0].name]
    else:
        return None, ""
    return (five_points(landmarks[0]), names[0]) if np.isfinite(landmarks).all() else (None, "")


def open_detectors(model: Path | None) -> AbstractContextManager[list[Detector]]:
    """The detectors for photographs without points; none without a model."""
    return opened(DETECTORS, model, "fitted") if model else nullcontext([])
