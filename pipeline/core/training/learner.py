"""How a network learns from a batch: the losses, a step, the sums of an epoch, its state."""

from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from pipeline.core.model_settings import TrainingSettings
from pipeline.core.training.attribute_losses import AttributeLoss
from pipeline.core.training.mask_losses import mask_losses
from pipeline.core.training.optimization import (
    BY_STEP,
    Average,
    make_optimizer,
    make_schedule,
)
from pipeline.core.training.selection import ValidPredictions
from pipeline.core.training.transforms import Batch, draw_augmentation, prepare

SUMS = ("attribute_loss", "mask_loss", "correct", "faces", "faces_with_masks")


class Learner:
    """A network with its losses, its optimiser and its place in the training.

    ``table`` (A, 14) bool: the regions of each of the network's attributes; ``class_counts``
    (2, A): the faces of train that lack and that have each; ``steps``: of the optimiser in an
    epoch. ``epoch`` and ``batch`` say where training stands, counted over all runs
    of a training that was resumed.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: TrainingSettings,
        table: np.ndarray,
        class_counts: np.ndarray,
        seed: int,
        steps: int,
    ) -> None:
        self.network, self.settings, self.seed = network, settings, seed
        self.table = torch.from_numpy(table)
        self.attribute_loss = AttributeLoss(settings, class_counts)
        self.epoch = self.batch = 0
        self.optimizer = make_optimizer(network, settings)
        self.schedule = make_schedule(self.optimizer, settings, steps)
        self.average: Average | None = None
        self.valid_predictions = ValidPredictions(settings)

    def setup(self, fabric: Fabric) -> None:
        """Move everything to the device; ``model`` is the network in Fabric's hands."""
        self.fabric = fabric
        if self.settings.ema:
            self.average = Average(self.network, self.settings.ema)
            self.average.network.to(fabric.device)
        self.model, self.fabric_optimizer = fabric.setup(self.network, self.optimizer)
        self.table = self.table.to(fabric.device)
        self.attribute_loss.to(fabric.device)
        self.train_sums, self.valid_sums = torch.zeros(2, len(SUMS), device=fabric.device)

    @property
    def kept(self) -> nn.Module:
        """What is validated and kept: the average of the weights, or they themselves."""
        return self.average.network if self.average else self.network

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
        labelled = (batch.labels >= 0).any(1).sum().clamp(min=1)
        faces_with_masks = 1 if batch.found is None else batch.found.sum().clamp(min=1)
        weight = self.settings.segmentation_weight
        attribute_mean = attribute_loss.sum() / labelled
        loss: Tensor = attribute_mean + weight * mask_loss.sum() / faces_with_masks
        return loss

    def optimizer_step(self) -> None:
        """A step with the gradients that have been gathered; what follows every step."""
        if limit := self.settings.gradient_clip:
            self.fabric.clip_gradients(
                self.model, self.fabric_optimizer, max_norm=limit, error_if_nonfinite=False
            )
        self.learning_rate: float = self.optimizer.param_groups[0]["lr"]
        self.fabric_optimizer.step()
        self.fabric_optimizer.zero_grad()
        if self.settings.schedule.name in BY_STEP:
            self.schedule.step()
        if self.average:
            self.average.update(self.network)

    def before_validation(self) -> None:
        self.kept.eval()
        if self.average and self.fabric.world_size > 1:  # else it is in Fabric's hands
            for buffer in self.kept.buffers():
                buffer.copy_(self.fabric.broadcast(buffer))

    def validation_step(self, batch: Batch) -> None:
        images = prepare(batch.images, self.settings)
        with self.fabric.autocast():
            output = self.kept(images) if self.average else self.model(images)
        attribute_loss, mask_loss = self.losses(batch, output, None)
        self.count(self.valid_sums, batch, output.logits, attribute_loss, mask_loss)
        self.valid_predictions.add(batch, output.logits)

    def losses(self, batch: Batch, output: Any, augmentation: Any) -> tuple[Tensor, Tensor]:
        """Each face's attribute loss (the mean over its known labels) and mask loss, both (B,).

        A group of exclusive attributes is one label. A face without a known label has no attribute
        loss, 0. That a face with few labels weighs as much as one with many is the normalisation of
        Durand et al., "Learning a deep ConvNet for multi-label classification with partial labels"
        (CVPR 2019).
        """
        logits, known = output.logits.float(), self.attribute_loss.counted(batch.labels)
        losses = self.attribute_loss(logits, (batch.labels == 1).to(logits.dtype))
        attribute_loss = (losses * known).sum(1) / known.sum(1).clamp(min=1)
        return attribute_loss, mask_losses(output, batch, self.settings, self.table, augmentation)

    @staticmethod
    def count(sums: Tensor, batch: Batch, logits: Tensor, attribute: Tensor, mask: Tensor) -> None:
        """Add a batch to the epoch's sums, without waiting for the device."""
        with torch.no_grad():
            counted = batch.counted.float()
            known = batch.labels >= 0
            correct = (((logits > 0) == batch.labels) & known).float().sum(1)
            correct = correct / known.sum(1).clamp(min=1)
            labelled = counted * known.any(1)
            found = counted if batch.found is None else counted * batch.found
            parts = (attribute * counted, mask * counted, correct * counted, labelled, found)
            sums.add_(torch.stack([part.sum() for part in parts]))

    def end_epoch(self) -> dict[str, float]:
        """The finished epoch as a row of the history, with its last learning rate."""
        row = {"epoch": float(self.epoch + 1), "learning_rate": self.learning_rate}
        for name, sums in (("train", self.train_sums), ("valid", self.valid_sums)):
            total = dict(zip(SUMS, self.over_processes(sums).tolist(), strict=True))
            faces = max(total["faces"], 1)  # with a known label
            attribute = total["attribute_loss"] / faces
            mask = total["mask_loss"] / max(total["faces_with_masks"], 1)
            row[f"{name}_loss"] = attribute + self.settings.segmentation_weight * mask
            row[f"{name}_attribute_loss"], row[f"{name}_mask_loss"] = attribute, mask
            row[f"{name}_accuracy"] = total["correct"] / faces
            sums.zero_()
        row |= self.valid_predictions.metric(self.fabric)
        if isinstance(self.schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.schedule.step(row[self.settings.select_by])
        elif self.settings.schedule.name not in BY_STEP:
            self.schedule.step()
        self.epoch, self.batch = self.epoch + 1, 0
        return row

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the training follows from; every process has to ask for it."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "precision": self.fabric.strategy.precision.state_dict(),
            "epoch": self.epoch,
            "batch": self.batch,
            "train_sums": self.over_processes(self.train_sums),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """After ``setup``: stand where another learner stood."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.epoch, self.batch = state["epoch"], state["batch"]
        if self.fabric.is_global_zero:  # the sums of all processes: one continues from there
            self.train_sums = state["train_sums"].to(self.fabric.device)

    def over_processes(self, sums: Tensor) -> Tensor:
        """The sum of what every process has counted."""
        return self.fabric.all_reduce(sums.clone(), reduce_op="sum")  # type: ignore[return-value]
