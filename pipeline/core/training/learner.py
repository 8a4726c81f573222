"""How a network learns from a batch: the losses, the optimiser, what is counted on the way."""

from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from pipeline.core.model_settings import OptimizerSettings, TrainingSettings
from pipeline.core.training.losses import mask_losses
from pipeline.core.training.transforms import Batch, draw_augmentation, prepare

SUMS = ("attribute_loss", "mask_loss", "correct", "faces", "faces_with_masks")


class Learner:
    """A network with its losses, its optimiser and its place in the training.

    ``table`` (A, 14) bool: the regions of each of the network's attributes. ``epoch`` and
    ``batch`` say where training stands, counted over all runs of a training that was resumed.
    """

    def __init__(
        self, network: nn.Module, settings: TrainingSettings, table: np.ndarray, seed: int
    ) -> None:
        self.network, self.settings, self.seed = network, settings, seed
        self.table = torch.from_numpy(table)
        self.epoch = self.batch = 0
        self.optimizer: torch.optim.Optimizer = make_optimizer(network, settings.optimizer)
        self.schedule = make_schedule(self.optimizer, settings)
        self.train_sums = self.valid_sums = torch.zeros(len(SUMS))

    def setup(self, fabric: Fabric) -> None:
        """Move everything to the device; ``model`` is the network in Fabric's hands."""
        self.fabric = fabric
        self.model, self.fabric_optimizer = fabric.setup(self.network, self.optimizer)
        self.table = self.table.to(fabric.device)
        self.train_sums = self.train_sums.to(fabric.device)
        self.valid_sums = torch.zeros_like(self.train_sums)

    def training_step(self, batch: Batch) -> Tensor:
        """The loss of a batch."""
        # Every batch has its own seed: dropout and augmentation do not depend on what came
        # before, in this process or in one that was killed.
        place = (self.seed, self.epoch, self.batch, self.fabric.global_rank)
        seed = int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1)
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        augmentation = draw_augmentation(len(batch.images), self.settings.augmentation, generator)
        output = self.model(prepare(batch.images, self.settings, augmentation))
        attribute_loss, mask_loss = self.losses(batch, output, augmentation)
        self.count(self.train_sums, batch, output.logits, attribute_loss, mask_loss)
        self.batch += 1
        faces_with_masks = 1 if batch.found is None else batch.found.sum().clamp(min=1)
        weight = self.settings.segmentation_weight
        loss: Tensor = attribute_loss.mean() + weight * mask_loss.sum() / faces_with_masks
        return loss

    def optimizer_step(self) -> None:
        self.fabric_optimizer.step()
        self.fabric_optimizer.zero_grad()

    def validation_step(self, batch: Batch) -> None:
        output = self.model(prepare(batch.images, self.settings))
        attribute_loss, mask_loss = self.losses(batch, output, None)
        self.count(self.valid_sums, batch, output.logits, attribute_loss, mask_loss)

    def losses(self, batch: Batch, output: Any, augmentation: Any) -> tuple[Tensor, Tensor]:
        """Each face's attribute loss (BCE, the mean over attributes) and mask loss, both (B,)."""
        logits = output.logits.float()
        targets = batch.labels.to(logits.dtype)
        attribute_loss = binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)
        return attribute_loss, mask_losses(output, batch, self.settings, self.table, augmentation)

    @staticmethod
    def count(sums: Tensor, batch: Batch, logits: Tensor, attribute: Tensor, mask: Tensor) -> None:
        """Add a batch to the epoch's sums, without waiting for the device."""
        with torch.no_grad():
            counted = batch.counted.float()
            correct = ((logits > 0) == batch.labels).float().mean(1)
            found = counted if batch.found is None else counted * batch.found
            parts = (attribute * counted, mask * counted, correct * counted, counted, found)
            sums.add_(torch.stack([part.sum() for part in parts]))

    def end_epoch(self) -> dict[str, float]:
        """The finished epoch as a row of the history; then the next one's learning rate."""
        row = {
            "epoch": float(self.epoch + 1),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
        }
        for name, sums in (("train", self.train_sums), ("valid", self.valid_sums)):
            total = dict(zip(SUMS, self.over_processes(sums).tolist(), strict=True))
            attribute = total["attribute_loss"] / total["faces"]
            mask = total["mask_loss"] / max(total["faces_with_masks"], 1)
            row[f"{name}_loss"] = attribute + self.settings.segmentation_weight * mask
            row[f"{name}_attribute_loss"], row[f"{name}_mask_loss"] = attribute, mask
            row[f"{name}_accuracy"] = total["correct"] / total["faces"]
            sums.zero_()
        if isinstance(self.schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.schedule.step(row[self.settings.select_by])
        elif self.schedule is not None:
            self.schedule.step()
        self.epoch, self.batch = self.epoch + 1, 0
        return row

    def over_processes(self, sums: Tensor) -> Tensor:
        """The sum of what every process has counted."""
        return self.fabric.all_reduce(sums.clone(), reduce_op="sum")  # type: ignore[return-value]


def make_optimizer(network: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, over the weights that are not frozen.

    Both in their fused form: one pass over the weights, with the same arithmetic.
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    shared: dict[str, Any] = {
        "lr": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "fused": True,
    }
    if settings.name == "adamw":
        return torch.optim.AdamW(weights, **shared)
    return torch.optim.SGD(weights, momentum=settings.momentum, **shared)


def make_schedule(optimizer: torch.optim.Optimizer, settings: TrainingSettings) -> Any:
    """How the learning rate changes after each epoch, or None."""
    schedule = settings.schedule
    if schedule.name == "exponential":
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, schedule.gamma)
    if schedule.name == "plateau":
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer,
            mode="min" if settings.select_by == "valid_loss" else "max",
            factor=schedule.factor,
            patience=schedule.patience,
        )
    return None
