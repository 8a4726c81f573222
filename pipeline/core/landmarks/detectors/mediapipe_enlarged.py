"""MediaPipe's mesh on an enlarged image, led to the face: for faces that it does not find itself.

MediaPipe looks for faces first and fits its mesh to what it has found; on profiles, hats, hands
and paint the first step fails though the second would not. In a film it skips the first step: it
fits the mesh where the face was a moment before. So the image is shown to it twice in a film,
after a drawn face at the place that is known: the second answer starts from the first. Where they
differ, the film goes on with the drawn face at other places near by, until two answers agree.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.core.geometry import HEIGHT, WIDTH
from pipeline.core.landmarks.detectors.boxes import (
    ALIGNED,
    Box,
    Doubt,
    aligned_box,
    centre,
    consensus,
    mean_side,
    plausible,
    settle,
)
from pipeline.core.landmarks.detectors.mediapipe_mesh import (
    as_mediapipe,
    in_pixels,
    open_landmarker,
    quiet,
)
from pipeline.core.landmarks.detectors.one_by_one import OneByOne
from pipeline.core.landmarks.mesh_map import MAPS
from pipeline.core.synthetic import draw
from pipeline.core.synthetic.people import face

SCALE = 2  # of the enlarged image to an aligned face
MARGIN = 44  # pixels of an aligned face around it
SIZE = (SCALE * (WIDTH + 2 * MARGIN), SCALE * (HEIGHT + 2 * MARGIN))  # width and height
DRAWN = (7, 2)  # seed and number of the drawn face: a plain one
# Places of the drawn face: to the right and down in pixels of an aligned face, and its size.
LEADS = [(0, 0, 1), (8, 0, 1), (-8, 0, 1), (0, 8, 1), (0, -8, 1), (0, 0, 1.12), (0, 0, 0.9)]
PRESENCE = 0.003  # noise and even grey are below it, profiles above
AGREED = 0.04  # how near together answers are when no more are asked for; on clear faces 0.003
SPREAD = 0.06  # how far apart all of them may be
# Takes a tenth off the error of what is accepted when eyes or mouth are covered widely.
DOUBT = Doubt(share=30, most=0.3)
LATER = 10_000_000  # ms between two pictures: no smoothing reaches so far


class EnlargedMesh(OneByOne):
    """The 68 points by way of the mesh at the place of the box."""

    name = "mediapipe_enlarged"

    def __init__(self, model: Path, mesh_map: str) -> None:
        self.model, self.mesh_map = model, MAPS[mesh_map]
        self.time, self.seen = 0, False  # of the film; whether its last picture showed a face

    @cached_property
    def landmarker(self) -> Any:
        """Opened when the first face needs it: most parts can do without."""
        from mediapipe.tasks.python.vision import RunningMode

        film = {"running_mode": RunningMode.VIDEO, "num_faces": 1}
        return open_landmarker(self.model, min_face_presence_confidence=PRESENCE, **film)

    @cached_property
    def leads(self) -> list[np.ndarray]:
        """The drawn face, enlarged, at each of its places."""
        drawn, middle = draw(face(*DRAWN)).image, centre(ALIGNED)
        moves = [
            np.column_stack([grown * np.eye(2), (1 - grown) * middle + (right, down)])
            for right, down, grown in LEADS
        ]
        size, edge = (drawn.shape[1], drawn.shape[0]), cv2.BORDER_REPLICATE
        return [enlarged(cv2.warpAffine(drawn, move, size, borderMode=edge)) for move in moves]

    def find_one(self, image: np.ndarray, box: Box | None) -> np.ndarray | None:
        place = box or aligned_box(image)
        answers = self.answers(enlarged(image, place), place)
        return settle(answers, image, box is None, SPREAD, DOUBT) if len(answers) > 1 else None

    def answers(self, large: np.ndarray, place: Box) -> list[np.ndarray]:
        """Points (68, 2) in the image, from one lead after another until they agree.

        Where the first lead brings nothing the others would not either.
        """
        answers: list[np.ndarray] = []
        self.forget()
        for lead in self.leads:
            for found in self.follow(lead, large):
                points = to_original(found, place)
                if plausible(points, place):
                    answers.append(points)
                if len(answers) > 1 and consensus(answers)[1] < AGREED:
                    return answers
            if not answers:
                break
        return answers

    def forget(self) -> None:
        """The last image's face, so that this one's points do not depend on it."""
        for _ in range(3):
            if self.seen:
                self.see(np.zeros_like(self.leads[0]))

    def follow(self, lead: np.ndarray, image: np.ndarray) -> Iterator[np.ndarray]:
        """The points (68, 2) in the enlarged image, twice, while it is seen after the lead."""
        seen = self.see(lead)
        for _ in range(2):
            seen = self.see(image) if seen else []
            yield from map(self.mesh_map, seen)

    def see(self, image: np.ndarray) -> list[np.ndarray]:
        """The meshes in the film's next picture."""
        self.time += LATER
        with quiet():
            found = self.landmarker.detect_for_video(as_mediapipe(image), self.time)
        self.seen = bool(found.face_landmarks)
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
    """The factor and the shift (2,) that lead from the image to the enlarged one."""
    factor = float(SCALE * mean_side(ALIGNED) / mean_side(place))
    return factor, SCALE * (centre(ALIGNED) + MARGIN) - factor * centre(place)
