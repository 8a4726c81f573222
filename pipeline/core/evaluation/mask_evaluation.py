"""Predicted maps judged against the masks of a store, split by split."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.core.evaluation.mask_overlap import MaskTally
from pipeline.core.faces.store import Faces
from pipeline.core.masks.store import Masks, open_masks_of
from pipeline.core.training.transforms import Batch, masks_for


class MaskGauge:
    """Predicted maps against the store's masks, at the maps' resolution, split by split."""

    def __init__(
        self, store: Path, faces: Faces, columns: list[int], judged: tuple[str, ...]
    ) -> None:
        self.masks = open_masks_of(store, faces)
        self.splits, self.columns = faces.splits, columns
        self.tallies = {split: MaskTally(len(columns)) for split in judged}

    def add(self, rows: np.ndarray, maps: torch.Tensor) -> None:
        """Count the maps (B, A, h, w) of faces ``rows``; those without landmarks are left out."""
        for split, tally in self.tallies.items():
            at = np.flatnonzero((self.splits[rows] == split) & self.masks.found[rows])
            if len(at):
                targets = target_masks(self.masks, rows[at], self.columns, maps)
                tally.add(maps[torch.from_numpy(at).to(maps.device)], targets)

    def summary(self, attributes: list[str], min_class: int) -> dict[str, Any] | None:
        """For each split: the faces, each attribute, and the mean over those that count.

        These are the attributes of which at least ``min_class`` faces have a mask.
        """
        some = {split: tally for split, tally in self.tallies.items() if tally.faces}
        return {
            split: self._of(tally, attributes, min_class) for split, tally in some.items()
        } or None

    @staticmethod
    def _of(tally: MaskTally, attributes: list[str], min_class: int) -> dict[str, Any]:
        table = pd.DataFrame(tally.result(), index=attributes)
        counted = table[table["positives"] >= min_class].drop(columns="positives")
        return {
            "images": tally.faces,
            "attributes": len(counted),
            "mean": plain(counted.mean().to_dict()),
            "by_attribute": {name: plain(row.to_dict()) for name, row in table.iterrows()},
        }


def target_masks(
    masks: Masks, rows: np.ndarray, columns: list[int], maps: torch.Tensor
) -> torch.Tensor:
    """The masks (B, A, h, w) bool that maps of this size were trained towards, unmoved."""
    labels = torch.from_numpy(masks.labels[rows][:, columns])
    bits = torch.from_numpy(masks.region_bits(rows).view(np.int16))
    seen = torch.ones(len(rows), dtype=torch.bool)
    batch = Batch(images=maps, labels=labels, bits=bits, found=seen, counted=seen)
    batch = Batch(*(tensor.to(maps.device) for tensor in batch if tensor is not None))
    table = torch.from_numpy(masks.table[columns]).to(maps.device)
    return masks_for(batch, table, (maps.shape[-2], maps.shape[-1]))


def plain(values: dict[Any, float]) -> dict[Any, float | None]:
    """The same numbers for JSON, which has no NaN."""
    return {key: float(value) if np.isfinite(value) else None for key, value in values.items()}
