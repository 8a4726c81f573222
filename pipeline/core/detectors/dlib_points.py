"""dlib's 68-point predictor (Kazemi and Sullivan, 2014) on a given face box; an optional extra.

It sees a face wherever it is told to: the box says where. Its model was trained on iBUG 300-W,
whose terms exclude commercial use.
"""

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.detectors.boxes import Box, aligned_box


class DlibPoints:
    name = "dlib"

    @cached_property
    def predictor(self) -> Any:
        """Loaded when the first face needs it: 100 MB, which most parts can do without."""
        import dlib

        return dlib.shape_predictor(str(models() / "shape_predictor_68_face_landmarks.dat"))

    def find(self, image: np.ndarray, box: Box | None = None) -> np.ndarray | None:
        import dlib

        left, top, right, bottom = (round(side) for side in box or aligned_box(image))
        shape = self.predictor(
            np.ascontiguousarray(image), dlib.rectangle(left, top, right, bottom)
        )
        return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)

    def close(self) -> None:
        pass


def models() -> Path:
    """The folder with dlib's models; importing the package fails beside a new setuptools."""
    spec = find_spec("face_recognition_models")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "models"
