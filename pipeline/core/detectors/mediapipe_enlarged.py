"""MediaPipe's mesh on an enlarged image, led to the face: for faces that it does not find itself.

MediaPipe looks for faces first and fits its mesh to what it has found; on profiles, hats, hands
and paint the first step fails though the second would not. In a film it skips the first step: it
fits the mesh where the face was a moment before. So the image is shown to it as the second
picture of a film, after a drawn face at the place that is known. This is done with the drawn face
at several places near by; where there is a face, the answers agree.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.core.detectors.boxes import (
    ALIGNED,
    Box,
    aligned_box,
    as_aligned,
    centre_and_size,
    consensus,
    plausible,
)
from pipeline.core.detectors.mediapipe_mesh import as_mediapipe, in_pixels, open_landmarker, quiet
from pipeline.core.drawing import draw
from pipeline.core.drawing.people import face
from pipeline.core.mesh_map import MAPS

SCALE = 2  # of the enlarged image to an aligned face
MARGIN = 44  # pixels of an aligned face around it
SIZE = (SCALE * (178 + 2 * MARGIN), SCALE * (218 + 2 * MARGIN))  # width and height
DRAWN = (7, 2)  # seed and number of the drawn face: a plain one
# Places of the drawn face: to the right and down in pixels of an aligned face, and its size.
LEADS = [(0, 0, 1), (8, 0, 1), (-8, 0, 1), (0, 8, 1), (0, -8, 1), (0, 0, 1.12), (0, 0, 0.9)]
PRESENCE = 0.003  # noise and even grey are below it, profiles above
VOTES = 2  # answers that there must be
SILENT = 2  # first places without an answer after which no other is tried
AGREED = 0.03  # how near together answers are when no more are asked for; on clear faces 0.01
SPREAD = 0.06  # how far apart all of them may be
LATER = 10_000_000  # ms between two pictures: no smoothing reaches so far


class EnlargedMesh:
    """The 68 points by way of the mesh at the place of the box."""

    name = "mediapipe_enlarged"

    def __init__(self, model: Path, mesh_map: str) -> None:
        self.model, self.mesh_map, self.time = model, MAPS[mesh_map], 0

    @cached_property
    def landmarker(self) -> Any:
        """Opened when the first face needs it: most parts can do without."""
        from mediapipe.tasks.python.vision import RunningMode

        film = {"running_mode": RunningMode.VIDEO, "num_faces": 1}
        return open_landmarker(self.model, min_face_presence_confidence=PRESENCE, **film)

    @cached_property
    def leads(self) -> list[np.ndarray]:
        """The drawn face, enlarged, at each of its places."""
        drawn, middle = draw(face(*DRAWN)).image, centre_and_size(np.reshape(ALIGNED, (2, 2)))[0]
        moves = [
            np.column_stack([grown * np.eye(2), (1 - grown) * middle + (right, down)])
            for right, down, grown in LEADS
        ]
        size, edge = (drawn.shape[1], drawn.shape[0]), cv2.BORDER_REPLICATE
        return [enlarged(cv2.warpAffine(drawn, move, size, borderMode=edge)) for move in moves]

    def find(self, image: np.ndarray, box: Box | None = None) -> np.ndarray | None:
        place = box or aligned_box(image)
        answers = self.answers(enlarged(image, place), place)
        if len(answers) < VOTES:
            return None
        points, apart = consensus(answers)
        if apart > SPREAD or (box is None and not as_aligned(points, image)):
            return None
        return points

    def answers(self, large: np.ndarray, place: Box) -> list[np.ndarray]:
        """Points (68, 2) in the image, from one place after another until they agree."""
        answers: list[np.ndarray] = []
        for tried, lead in enumerate(self.leads):
            agreed = len(answers) >= VOTES and consensus(answers)[1] < AGREED
            if agreed or (tried >= SILENT and not answers):
                break
            found = self.follow(lead, large)
            points = None if found is None else to_original(found, place)
            if points is not None and plausible(points, place):
                answers.append(points)
        return answers

    def follow(self, lead: np.ndarray, image: np.ndarray) -> np.ndarray | None:
        """The points (68, 2) in the enlarged image, when the drawn face has led there."""
        for _ in range(3):  # the last face is forgotten once there is none to see
            if not self.see(np.zeros_like(lead)):
                break
        meshes = self.see(image) if self.see(lead) else []
        return self.mesh_map(meshes[0]) if meshes else None

    def see(self, image: np.ndarray) -> list[np.ndarray]:
        """The film's next picture."""
        self.time += LATER
        with quiet():
            return in_pixels(
                self.landmarker.detect_for_video(as_mediapipe(image), self.time), image
            )

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
    """The factor and the shift (2,) that lead from the image to the enlarged one."""
    (middle, size), (known, usual) = (
        centre_and_size(np.reshape(box, (2, 2))) for box in (place, ALIGNED)
    )
    factor = SCALE * usual / size
    return factor, SCALE * (known + MARGIN) - factor * middle
