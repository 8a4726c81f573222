"""How a network learns from a batch: the losses, the optimiser, what is counted on the way."""

from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from pipeline.core.model_settings import OptimizerSettings, TrainingSettings
from pipeline.core.training.losses import mask_losses
from pipeline.core.training.transforms import Batch, draw_augmentation, prepare

SUMS = ("attribute_loss", "mask_loss", "correct", "faces", "faces_with_masks")


class Learner(lightning.LightningModule):
    """A network with its losses, for Lightning's Trainer.

    ``table`` (A, 14) bool: the regions of each of the network's attributes. ``epoch`` and
    ``batch`` say where training stands, counted over all runs of a training that was resumed.
    """

    def __init__(
        self, network: nn.Module, settings: TrainingSettings, table: np.ndarray, seed: int
    ) -> None:
        super().__init__()
        self.network, self.settings, self.seed = network, settings, seed
        self.table: Tensor
        self.register_buffer("table", torch.from_numpy(table), persistent=False)
        self.epoch = self.batch = 0
        self.optimizer: torch.optim.Optimizer = make_optimizer(network, settings.optimizer)
        self.schedule = make_schedule(self.optimizer, settings)
        # No buffers: those are made equal in all processes, and these are each one's own.
        self.train_sums = self.valid_sums = torch.zeros(len(SUMS))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser alone: ``end_epoch`` steps the schedule."""
        return self.optimizer

    def on_fit_start(self) -> None:
        self.train_sums = self.train_sums.to(self.device)
        self.valid_sums = torch.zeros_like(self.train_sums)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # Every batch has its own seed: dropout and augmentation do not depend on what came
        # before, in this process or in one that was killed.
        place = (self.seed, self.epoch, self.batch, self.global_rank)
        seed = int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1)
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        augmentation = draw_augmentation(len(batch.images), self.settings.augmentation, generator)
        output = self.network(prepare(batch.images, self.settings, augmentation))
        attribute_loss, mask_loss = self.losses(batch, output, augmentation)
        self.count(self.train_sums, batch, output.logits, attribute_loss, mask_loss)
        self.batch += 1
        faces_with_masks = 1 if batch.found is None else batch.found.sum().clamp(min=1)
        weight = self.settings.segmentation_weight
        loss = attribute_loss.mean() + weight * mask_loss.sum() / faces_with_masks
        self.log("loss", loss, prog_bar=True, logger=False, batch_size=len(batch.images))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        output = self.network(prepare(batch.images, self.settings))
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
        gathered: Tensor = self.trainer.strategy.reduce(sums.clone(), reduce_op="sum")
        return gathered


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
