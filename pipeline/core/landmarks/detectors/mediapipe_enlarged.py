"""MediaPipe's mesh on an enlarged image, tracked from another face: for faces that it misses.

MediaPipe detects faces first and fits its mesh to what it has detected; on profiles, hats, hands
and paint the first step fails though the second would not. In a video it skips the first step: it
fits the mesh where the face was in the frame before. So the image is shown to it as two frames of
a video, after a frame with a face at the known place, the lead (a synthetic face: an image file
beside this one). Where the two predictions differ, the lead is shown again at other places near
by, until two predictions agree.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.core.faces.decoding import decode
from pipeline.core.geometry import HEIGHT, WIDTH
from pipeline.core.landmarks.detectors.boxes import (
    ALIGNED,
    Box,
    Shrinkage,
    aligned_box,
    centre,
    combine,
    consensus,
    mean_side,
    plausible,
    stacked,
)
from pipeline.core.landmarks.detectors.mediapipe_mesh import (
    as_mediapipe,
    in_pixels,
    open_landmarker,
    quiet,
)
from pipeline.core.landmarks.mesh_map import MAPS

LEAD = Path(__file__).with_suffix(".png")  # 178 × 218, in CelebA's aligned geometry
# How it is moved: to the right and down in pixels of an aligned face, and its size.
MOVES = [(0, 0, 1), (8, 0, 1), (-8, 0, 1), (0, 8, 1), (0, -8, 1), (0, 0, 1.12), (0, 0, 0.9)]
SCALE = 2  # of the enlarged image to an aligned face
MARGIN = 44  # pixels of an aligned face around it
SIZE = (SCALE * (WIDTH + 2 * MARGIN), SCALE * (HEIGHT + 2 * MARGIN))  # width and height
PRESENCE = 0.003  # MediaPipe's confidence: noise and even grey are below it, profiles above
AGREEMENT = 0.04  # disagreement at which no more are predicted; on clear faces it is 0.003
TOLERANCE = 0.06  # disagreement of all
# It lowers the error by a tenth on accepted faces whose eyes or mouth are covered widely.
SHRINKAGE = Shrinkage(slope=30, limit=0.3)
FRAME_INTERVAL = 10_000_000  # ms: MediaPipe smooths nothing over so long a time


class EnlargedMesh:
    """The 68 points by way of the mesh at the place of the box."""

    name = "mediapipe_enlarged"

    def __init__(self, model: Path, mesh_map: str) -> None:
        self.model, self.mesh_map = model, MAPS[mesh_map]
        self.time, self.tracking = 0, False  # of the last frame; whether it showed a face

    @cached_property
    def landmarker(self) -> Any:
        """Opened with the first face that needs it: most parts can do without."""
        from mediapipe.tasks.python.vision import RunningMode

        video = {"running_mode": RunningMode.VIDEO, "num_faces": 1}
        return open_landmarker(self.model, min_face_presence_confidence=PRESENCE, **video)

    @cached_property
    def leads(self) -> list[np.ndarray]:
        """The lead, enlarged, at each of its places."""
        lead, middle = decode(LEAD.read_bytes()), centre(ALIGNED)
        moves = [
            np.column_stack([size * np.eye(2), (1 - size) * middle + (right, down)])
            for right, down, size in MOVES
        ]
        edge = cv2.BORDER_REPLICATE
        return [
            enlarged(cv2.warpAffine(lead, move, (WIDTH, HEIGHT), borderMode=edge)) for move in moves
        ]

    def find(self, images: Sequence[np.ndarray], boxes: Sequence[Box | None]) -> np.ndarray:
        """See ``Detector``."""
        return stacked(map(self.find_one, images, boxes))

    def find_one(self, image: np.ndarray, box: Box | None) -> np.ndarray | None:
        """Points (68, 2) of one image; see ``Detector``."""
        place = box or aligned_box(image)
        predictions = self.predict(enlarged(image, place), place)
        if len(predictions) < 2:
            return None
        return combine(predictions, image, box is None, TOLERANCE, SHRINKAGE)

    def predict(self, large: np.ndarray, place: Box) -> list[np.ndarray]:
        """Points (68, 2) in the image, from one lead after another until two of them agree.

        Where the first lead brings nothing the others would not either.
        """
        predictions: list[np.ndarray] = []
        self.stop_tracking()
        for lead in self.leads:
            for found in self.track(lead, large):
                points = to_original(found, place)
                if plausible(points, place):
                    predictions.append(points)
                if len(predictions) > 1 and consensus(predictions)[1] < AGREEMENT:
                    return predictions
            if not predictions:
                break
        return predictions

    def stop_tracking(self) -> None:
        """Lose the last image's face, so that this one's points do not depend on it."""
        for _ in range(3):
            if self.tracking:
                self.show(np.zeros_like(self.leads[0]))

    def track(self, lead: np.ndarray, image: np.ndarray) -> Iterator[np.ndarray]:
        """The points (68, 2) in the two frames that show the enlarged image after the lead."""
        meshes = self.show(lead)
        for _ in range(2):
            meshes = self.show(image) if meshes else []
            yield from map(self.mesh_map, meshes)

    def show(self, image: np.ndarray) -> list[np.ndarray]:
        """The meshes in the video's next frame."""
        self.time += FRAME_INTERVAL
        with quiet():
            found = self.landmarker.detect_for_video(as_mediapipe(image), self.time)
        self.tracking = bool(found.face_landmarks)
        return in_pixels(found, image)

    def close(self) -> None:
        """Needed, as for ``MediapipeMesh``."""
        if "landmarker" in vars(self):
            self.landmarker.close()


def enlarged(image: np.ndarray, place: Box = ALIGNED) -> np.ndarray:
    """The image around a place, as large as if it were an aligned face's, twice; edges repeat."""
    factor, shift = view(place)
    matrix = np.column_stack([factor * np.eye(2), shift])
    return cv2.warpAffine(
        image, matrix, SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def to_original(points: np.ndarray, place: Box) -> np.ndarray:
    """Points (68, 2) of the enlarged image, in the image itself."""
    factor, shift = view(place)
    return np.asarray((points - shift) / factor)


def view(place: Box) -> tuple[float, np.ndarray]:
    """The factor and the shift (2,) from the image to the enlarged one."""
    factor = float(SCALE * mean_side(ALIGNED) / mean_side(place))
    return factor, SCALE * (centre(ALIGNED) + MARGIN) - factor * centre(place)
