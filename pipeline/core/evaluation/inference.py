"""What a trained network says of images, and where it looked: for figures and for people."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pipeline.core.attributes import columns_of
from pipeline.core.evaluation.metrics import probabilities
from pipeline.core.networks.weights import faces_size, load_network
from pipeline.core.training.transforms import prepare

BATCH = 16
MOST = 4  # times an even share of attention: shown as full, so that even attention looks even


class Seen(NamedTuple):
    """``logits`` (B, A) float32. ``where`` is of one of three kinds, by the network:

    maps (B, A, h, w) from 0 to 1, where each attribute shows; attention (B, 1, h, w) from 0 to
    1, which is ``MOST`` times an even share, the same for all attributes; or None. Either covers
    the whole image, whatever its size.
    """

    logits: np.ndarray
    where: np.ndarray | None

    @property
    def chances(self) -> np.ndarray:
        """(B, A) probabilities."""
        return probabilities(self.logits)

    def place(self, face: int, attribute: int) -> np.ndarray | None:
        """(h, w) from 0 to 1: where in the image of ``face`` an attribute shows."""
        if self.where is None:
            return None
        place: np.ndarray = self.where[face, min(attribute, self.where.shape[1] - 1)]
        return place


class Viewer:
    """A weights file, ready to look at images of ``size``, that of the faces trained on."""

    def __init__(self, weights: Path) -> None:
        self.network, self.settings = load_network(weights)
        self.size = faces_size(self.settings)
        self.attributes: list[str] = self.settings["attributes"]
        self.columns = columns_of(self.attributes)
        self.attends = self.settings["network"] == "cnn_rnn"

    @torch.inference_mode()
    def look(self, images: np.ndarray) -> Seen:
        """Look at images (B, H, W, 3) uint8 RGB, some at a time."""
        logits, places = [], []
        for at in range(0, len(images), BATCH):
            batch = np.ascontiguousarray(images[at : at + BATCH].transpose(0, 3, 1, 2))
            more = {"attention": True} if self.attends else {}
            said = self.network(prepare(torch.from_numpy(batch), self.settings), **more)
            logits.append(said.logits.float().numpy())
            if said.maps is not None:
                places.append(said.maps.float().clamp(0, 1).numpy())
            elif said.attention is not None:
                even = 1 / said.attention[0].numel()
                place = (said.attention / (MOST * even)).clamp(0, 1)[:, None]
                places.append(place.float().numpy())
        return Seen(np.concatenate(logits), np.concatenate(places) if places else None)
