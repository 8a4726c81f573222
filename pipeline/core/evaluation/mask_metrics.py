"""How well predicted maps agree with the masks of a store, at the maps' resolution."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.core.faces.store import Faces
from pipeline.core.masks.store import Masks, open_masks_of
from pipeline.core.training.transforms import expand, nearest


class MaskMetrics:
    """Sums over faces, split by split, that grow batch by batch; nothing of a batch is kept."""

    def __init__(
        self, store: Path, faces: Faces, columns: list[int], splits: tuple[str, ...]
    ) -> None:
        """``columns``: where the maps' attributes lie among the 40."""
        self.masks = open_masks_of(store, faces)
        self.splits, self.columns = faces.splits, columns
        self.counts = {split: MaskCounts(len(columns)) for split in splits}

    def add(self, rows: np.ndarray, maps: torch.Tensor) -> None:
        """Add the maps (B, A, h, w) of faces ``rows``; those without landmarks are left out."""
        for split, counts in self.counts.items():
            at = np.flatnonzero((self.splits[rows] == split) & self.masks.found[rows])
            if len(at):
                targets = target_masks(self.masks, rows[at], self.columns, maps)
                counts.add(maps[torch.from_numpy(at).to(maps.device)], targets)

    def summary(self, attributes: list[str], min_class: int) -> dict[str, Any] | None:
        """For each split: the number of faces, each attribute's metrics, and their mean.

        The mean is over the attributes of which at least ``min_class`` faces have a mask.
        """
        return {
            split: _summary(counts, attributes, min_class)
            for split, counts in self.counts.items()
            if counts.faces
        } or None


def _summary(counts: "MaskCounts", attributes: list[str], min_class: int) -> dict[str, Any]:
    table = pd.DataFrame(counts.metrics(), index=attributes)
    included = table[table["positives"] >= min_class].drop(columns="positives")
    return {
        "images": counts.faces,
        "attributes": len(included),
        "mean": _without_nan(included.mean().to_dict()),
        "by_attribute": {name: _without_nan(row.to_dict()) for name, row in table.iterrows()},
    }


def _without_nan(values: dict[Any, float]) -> dict[Any, float | None]:
    """The same numbers for JSON, which has no NaN."""
    return {key: float(value) if np.isfinite(value) else None for key, value in values.items()}


def target_masks(
    masks: Masks, rows: np.ndarray, columns: list[int], maps: torch.Tensor
) -> torch.Tensor:
    """The masks (B, A, h, w) bool of faces ``rows`` at the maps' size, on their device."""
    y, x = (nearest(*sides).numpy() for sides in zip(masks.size, maps.shape[-2:], strict=True))
    bits = masks.region_bits(rows)[:, y[:, None], x].view(np.int16)
    values = (bits, masks.labels[rows][:, columns], masks.table[columns])
    return expand(*(torch.from_numpy(value).to(maps.device) for value in values))


class MaskCounts:
    """Pixels of maps and of their target masks, counted over many faces."""

    def __init__(self, attributes: int) -> None:
        self.faces = 0
        self.pixels = 0
        self.counts = np.zeros((3, attributes), np.int64)  # both, map or mask, equal
        self.positives = np.zeros((2, attributes))  # faces with a mask, and the sum of their IoU
        self.empty = np.zeros(attributes, np.int64)  # pixels that an empty map would have right

    def add(self, maps: torch.Tensor, targets: torch.Tensor) -> None:
        """Add ``maps`` (B, A, h, w), thresholded at 0.5, and ``targets`` (B, A, h, w) bool."""
        predicted, pixels = maps > 0.5, (-2, -1)
        both, either = (predicted & targets).sum(pixels), (predicted | targets).sum(pixels)
        masked = targets.any(dim=-1).any(dim=-1)
        overlap = torch.where(masked, both / either.clamp(min=1), 0)
        same, empty = (predicted == targets).sum(pixels), (~targets).sum(pixels)
        self.faces += len(maps)
        self.pixels = maps.shape[-2] * maps.shape[-1]
        self.counts += torch.stack([both, either, same]).sum(dim=1).cpu().numpy()
        self.positives += torch.stack([masked, overlap]).sum(dim=1).cpu().numpy()
        self.empty += empty.sum(dim=0).cpu().numpy()

    def metrics(self) -> dict[str, np.ndarray]:
        """(A,) each, NaN where there is nothing to divide by.

        ``positives``: faces with a mask. ``iou``: pixels in both over pixels in either, over all
        faces, so that a map where no mask should be lowers it. ``iou_positives``: the mean over
        faces with a mask. ``pixel_accuracy``: the share of pixels that agree;
        ``pixel_accuracy_empty``: the same of maps without a pixel.
        """
        both, either, same = self.counts
        pixels = np.float64(self.faces * self.pixels)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "positives": self.positives[0],
                "iou": both / either,
                "iou_positives": self.positives[1] / self.positives[0],
                "pixel_accuracy": same / pixels,
                "pixel_accuracy_empty": self.empty / pixels,
            }
