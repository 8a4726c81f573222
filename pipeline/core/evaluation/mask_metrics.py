"""How well maps agree with the masks and regions of a store, at the maps' resolution.

The maps are a network's own, of attributes and perhaps of regions, or the class activation maps
of a network without any.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.core.attributes import UNKNOWN
from pipeline.core.evaluation import bootstrap
from pipeline.core.faces.store import Faces
from pipeline.core.masks.store import open_masks_of
from pipeline.core.training.transforms import expand, nearest_bits, separate

PIXELS = (-2, -1)
ENERGY = ("map_energy_positives", "map_energy_negatives", "map_energy_uniform")


class MaskMetrics:
    """Counts over faces, split by split, that grow batch by batch; no map is kept."""

    def __init__(
        self, store: Path, faces: Faces, columns: list[int], splits: tuple[str, ...]
    ) -> None:
        """``columns``: where the maps' attributes lie among those of the faces."""
        self.masks = open_masks_of(store, faces)
        self.splits = faces.splits
        self.labels = torch.from_numpy(self.masks.labels[:, columns])
        self.table = torch.from_numpy(self.masks.table[columns])
        self.labels[:, ~self.table.any(1)] = UNKNOWN  # without regions there is no mask
        self.counts = {split: MaskCounts(len(columns)) for split in splits}
        self.regions = {split: MaskCounts(len(self.masks.regions)) for split in splits}
        self.identities = faces.identities
        self.rows: dict[str, list[np.ndarray]] = {split: [] for split in splits}

    def add(self, rows: np.ndarray, maps: Tensor, region_maps: Tensor | None = None) -> None:
        """Add the maps (B, A, h, w) and region maps (B, 14, h, w) of the faces ``rows``.

        Faces without landmarks are left out.
        """
        for split, counts in self.counts.items():
            at = np.flatnonzero((self.splits[rows] == split) & self.masks.found[rows])
            if len(at):
                chosen = torch.from_numpy(at).to(maps.device)
                labels = self.labels[rows[at]].to(maps.device)
                bits = self._bits(rows[at], maps)
                inside = expand(bits, torch.ones_like(labels), self.table.to(maps.device))
                counts.add(maps[chosen], inside, labels)
                self.rows[split].append(rows[at])
                if region_maps is not None:
                    regions = separate(self._bits(rows[at], region_maps))
                    every = torch.ones_like(regions[:, :, 0, 0])
                    self.regions[split].add(region_maps[chosen], regions, every)

    def _bits(self, rows: np.ndarray, maps: Tensor) -> Tensor:
        """Region bits (B, h, w) int16 of faces ``rows`` at the maps' size, on their device."""
        height, width = maps.shape[-2:]
        return nearest_bits(self.masks.region_bits(rows), (height, width)).to(maps.device)

    def summary(
        self, attributes: list[str], settings: dict[str, Any], own_maps: bool
    ) -> dict[str, Any] | None:
        """For each split: the number of faces, each attribute's metrics, their mean, intervals.

        ``settings`` are the section ``evaluate``. The mean is over the attributes of which at
        least ``min_class`` faces have a mask. With region maps it has ``region_iou`` too, the mean
        of the regions in ``by_region``. ``intervals`` has the ends of 95 % intervals over people
        of both means. Class activation maps (not ``own_maps``) have no scale, so that a threshold
        means nothing: of these only the energy is kept.
        """
        return {
            split: self._of_split(split, attributes, settings, own_maps)
            for split, counts in self.counts.items()
            if counts.faces
        } or None

    def _of_split(
        self, split: str, attributes: list[str], settings: dict[str, Any], own_maps: bool
    ) -> dict[str, Any]:
        counts, regions = self.counts[split], self.regions[split]
        table = pd.DataFrame(counts.metrics(), index=attributes)
        if not own_maps:
            table = table[["positives", *ENERGY]]
        included = table["positives"] >= settings["min_class"]
        mean = table[included].drop(columns="positives").mean().to_dict()
        found = {
            "images": counts.faces,
            "attributes": int(included.sum()),
            "mean": mean,
            "by_attribute": table.to_dict("index"),
        }
        if not own_maps:
            return found
        intervals = {"iou": self._interval(split, counts, included.to_numpy(), settings)}
        if regions.faces:
            iou = regions.metrics()["iou"]
            mean["region_iou"] = float(np.nanmean(iou))
            found["by_region"] = dict(zip(self.masks.regions, iou.tolist(), strict=True))
            intervals["region_iou"] = self._interval(split, regions, np.isfinite(iou), settings)
        return found | {"intervals": intervals}

    def _interval(
        self, split: str, counts: "MaskCounts", included: np.ndarray, settings: dict[str, Any]
    ) -> list[float]:
        """Ends of the 95 % interval over people of the mean IoU of the ``included``."""
        clusters = bootstrap.cluster_numbers(self.identities[np.concatenate(self.rows[split])])
        overlaps = np.concatenate(counts.overlaps)[:, :, included]
        summed = bootstrap.cluster_sums(overlaps, clusters, clusters.max() + 1)
        both, either = summed[:, 0], summed[:, 1]
        weights = bootstrap.resampling_weights(len(summed), settings["draws"], settings["seed"])
        with np.errstate(invalid="ignore", divide="ignore"):
            iou = np.concatenate([(piece @ both) / (piece @ either) for piece in weights])
        ends = bootstrap.interval(bootstrap.mean_over_attributes(iou), len(summed))
        return [float(end) for end in ends]


class MaskCounts:
    """Agreement of maps with the regions where their attributes show, summed over faces."""

    def __init__(self, attributes: int) -> None:
        self.faces = 0
        self.known = np.zeros(attributes, np.int64)  # faces whose label is known
        self.pixels = 0
        self.counts = np.zeros((4, attributes), np.int64)  # of pixels, see ``add``
        self.overlaps: list[np.ndarray] = []  # (B, 2, A) a batch: both, and map or mask, of a face
        self.positives = np.zeros((2, attributes))  # faces with a mask, and the sum of their IoU
        self.energy = np.zeros((3, attributes))  # sums of shares: positives, negatives, uniform
        self.energy_faces = np.zeros((3, attributes), np.int64)

    def add(self, maps: Tensor, inside: Tensor, labels: Tensor) -> None:
        """Add ``maps`` (B, A, h, w) of faces with these labels (B, A); unknown ones are left out.

        ``inside`` (B, A, h, w) bool: the attribute's regions, whatever the label. The target mask
        is where both are true.
        """
        known = (labels >= 0)[:, :, None, None]
        targets, predicted = inside & (labels == 1)[:, :, None, None], (maps > 0.5) & known
        both, either = (predicted & targets).sum(PIXELS), (predicted | targets).sum(PIXELS)
        masked = targets.any(dim=-1).any(dim=-1)
        overlap = torch.where(masked, both / either.clamp(min=1), 0)
        same = ((predicted == targets) & known).sum(PIXELS)
        empty = (~targets & known).sum(PIXELS)  # what an empty map would have right
        self.faces += len(maps)
        self.known += (labels >= 0).sum(dim=0).cpu().numpy()
        self.pixels = maps.shape[-2] * maps.shape[-1]
        self.counts += torch.stack([both, either, same, empty]).sum(dim=1).cpu().numpy()
        self.overlaps.append(torch.stack([both, either], dim=1).int().cpu().numpy())
        self.positives += torch.stack([masked, overlap]).sum(dim=1).cpu().numpy()
        self._add_energy(maps.clamp(min=0), inside, labels)

    def _add_energy(self, maps: Tensor, inside: Tensor, labels: Tensor) -> None:
        total = maps.sum(PIXELS)
        share = (maps * inside).sum(PIXELS) / total.clamp(min=torch.finfo(maps.dtype).tiny)
        area = inside.float().mean(PIXELS)
        shown, visible = total > 0, area > 0
        both = shown & visible
        where = torch.stack([both & (labels == 1), both & (labels == 0), visible])
        values = torch.stack([share, share, area])
        self.energy += torch.where(where, values, 0).sum(dim=1).cpu().numpy()
        self.energy_faces += where.sum(dim=1).cpu().numpy()

    def metrics(self) -> dict[str, np.ndarray]:
        """(A,) each, NaN where there is nothing to divide by.

        ``positives``: faces with a mask. ``iou``: pixels in both over pixels in either, over all
        faces, so that a map where no mask should be lowers it. ``iou_positives``: the mean over
        faces with a mask. ``pixel_accuracy``: the share of pixels that agree;
        ``pixel_accuracy_empty``: the same of maps without a pixel. ``map_energy_positives`` and
        ``map_energy_negatives``: of the sum of a map's values, the share inside the attribute's
        regions (energy-based pointing game; Wang et al. 2020), the mean over faces with and
        without the attribute; ``map_energy_uniform``: the same of a map that is even everywhere.
        A map that is zero everywhere has no such share, nor has a face whose regions are hidden.
        """
        both, either, same, empty = self.counts
        pixels = (self.known * self.pixels).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "positives": self.positives[0],
                "iou": both / either,
                "iou_positives": self.positives[1] / self.positives[0],
                "pixel_accuracy": same / pixels,
                "pixel_accuracy_empty": empty / pixels,
                **dict(zip(ENERGY, self.energy / self.energy_faces, strict=True)),
            }
