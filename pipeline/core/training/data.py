"""The faces that a training sees: which rows, with which labels, in what order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric

from pipeline.core.attributes import REGIONS
from pipeline.core.errors import UserError
from pipeline.core.faces.store import Faces
from pipeline.core.model_settings import TrainingSettings
from pipeline.core.training.loaders import FaceBatches, Loader, Share, once, part_of, shuffled
from pipeline.core.training.transforms import nearest_bits, separate

READ_AT_ONCE = 256  # faces


class FaceData:
    """The loaders of the splits, with masks where ``masks`` names a store.

    Training learns the labels that the masks were drawn with (where there are any). Validation,
    like every evaluation, asks for the labels of the data set.
    """

    def __init__(
        self, faces: Faces, settings: TrainingSettings, seed: int, masks: Path | None
    ) -> None:
        self.splits = split_rows(faces, settings, seed)
        self.settings, self.seed = settings, seed
        # Faces that all devices together see at once.
        self.micro_batch = settings.batch_size // settings.accumulate
        columns = faces.attribute_set.columns(settings.attributes)
        labels = faces.attributes[:, columns]
        store = None
        if masks:
            from pipeline.core.masks.store import open_masks_of  # training without needs no Zarr

            store = open_masks_of(masks, faces)
        mask_labels = store.labels[:, columns] if store else labels
        self.store = store
        learnt = store if settings.segmentation_weight > 0 else None
        self.train_faces = FaceBatches(faces, mask_labels, learnt)
        self.valid_faces = FaceBatches(faces, labels, learnt)
        self.table = (store.table if store else faces.attribute_set.table)[columns]  # (A, 14) bool

    @property
    def class_counts(self) -> np.ndarray:
        """(2, A): how many of the faces trained on lack, and have, each attribute."""
        labels = self.train_faces.labels[self.splits["train"]]
        return np.stack([(labels == 0).sum(axis=0), (labels == 1).sum(axis=0)])

    def mean_regions(self, size: tuple[int, int]) -> torch.Tensor:
        """(14, h, w) float: in which share of the faces trained on each place lies in a region."""
        assert self.store is not None
        rows = self.splits["train"]
        rows = rows[self.store.found[rows]]
        total = torch.zeros(len(REGIONS), *size)
        for at in range(0, len(rows), READ_AT_ONCE):
            bits = self.store.region_bits(rows[at : at + READ_AT_ONCE])
            total += separate(nearest_bits(bits, size)).sum(0)
        return total / max(len(rows), 1)

    def train_dataloader(
        self, fabric: Fabric, epoch: int, start: int, stopping: Callable[[], bool]
    ) -> Loader:
        """What this process sees of an epoch from batch ``start`` on."""
        rows, step = self.splits["train"], self.settings.batch_size
        batches = shuffled(rows, step, self.micro_batch, self.seed, epoch)[start:]
        return self._loader(self.train_faces, batches, fabric, stopping)

    def val_dataloader(self, fabric: Fabric, stopping: Callable[[], bool]) -> Loader:
        """What this process sees of valid."""
        batches = once(self.splits["valid"], self.micro_batch, fabric.world_size)
        return self._loader(self.valid_faces, batches, fabric, stopping)

    def _loader(
        self, faces: FaceBatches, batches: list[Share], fabric: Fabric, stopping: Callable[[], bool]
    ) -> Loader:
        order = part_of(batches, fabric.global_rank, fabric.world_size)
        return Loader(faces, order, self.settings.workers, fabric.device, stopping)


def split_rows(faces: Faces, settings: TrainingSettings, seed: int) -> dict[str, np.ndarray]:
    """Row numbers to train on and to select by, each ascending."""
    rows = {split: faces.rows(split) for split in ("train", "valid")}
    if settings.stratified_subset:
        first = settings.attributes[0]
        rows = stratified(faces, rows["train"], first, settings.stratified_subset, seed)
    elif settings.share < 1:
        count = max(1, round(settings.share * len(rows["train"])))
        sample = np.random.default_rng(seed).choice(rows["train"], count, replace=False)
        rows["train"] = np.sort(sample)
    if not len(rows["valid"]):
        raise UserError(
            f"{faces.path} has no face in the split valid, by which the best epoch is chosen;"
            " give the data set one, or set `stratified_subset`"
        )
    if len(rows["train"]) < settings.batch_size:
        raise UserError(
            f"there are {len(rows['train'])} faces to train on, fewer than one batch of"
            f" {settings.batch_size}; set a smaller `batch_size` or a larger share"
        )
    return rows


def stratified(
    faces: Faces, rows: np.ndarray, attribute: str, share: float, seed: int
) -> dict[str, np.ndarray]:
    """A share of ``rows``, cut 80/20, each with the same share of positives of an attribute.

    Faces whose label of it is unknown are left out.
    """
    from datasets import ClassLabel, Dataset, Features, Value, disable_progress_bars

    disable_progress_bars()
    labels = faces.attributes[rows, faces.attribute_set.names.index(attribute)]
    rows, positive = rows[labels >= 0], labels[labels >= 0].astype(int)
    table = Dataset.from_dict(
        {"row": rows, "positive": positive},
        Features({"row": Value("int64"), "positive": ClassLabel(2)}),
    )
    how: dict[str, Any] = {"stratify_by_column": "positive", "seed": seed}
    try:
        if share < 1:
            table = table.train_test_split(train_size=share, **how)["train"]
        halves = table.train_test_split(test_size=0.2, **how)
    except ValueError as error:
        raise UserError(
            f"{share:g} of {len(rows)} faces cannot be stratified by"
            f" {attribute} ({error}); set a larger `stratified_subset`"
        ) from None
    return {
        "train": np.sort(np.array(halves["train"]["row"])),
        "valid": np.sort(np.array(halves["test"]["row"])),
    }
