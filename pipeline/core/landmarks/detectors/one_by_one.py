"""What detectors share that look at one image after another."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from pipeline.core.landmarks.detectors.boxes import Box


class OneByOne(ABC):
    def find(self, images: Sequence[np.ndarray], boxes: Sequence[Box | None]) -> np.ndarray:
        """See ``Detector``."""
        points = np.full((len(images), 68, 2), np.nan)
        for i, (image, box) in enumerate(zip(images, boxes, strict=True)):
            found = self.find_one(image, box)
            if found is not None:
                points[i] = found
        return points

    @abstractmethod
    def find_one(self, image: np.ndarray, box: Box | None) -> np.ndarray | None:
        """Points (68, 2) of one image; see ``Detector``."""
