"""The training loop: from a checkpoint, or from the beginning, to the last epoch.

Lightning Fabric (see ``devices``) knows about devices, processes and number formats; all else is
here to be read. A checkpoint is saved at the end of every epoch, every so many minutes within one,
and when training stops itself before its end: at ``max_minutes``, or on SIGTERM.
"""

import logging
import math
import signal
import time
from collections.abc import Iterator
from contextlib import closing

import torch
from tqdm import tqdm

from pipeline.core.errors import UserError
from pipeline.core.training.checkpoints import LAST, Checkpoints, finished
from pipeline.core.training.data import FaceData
from pipeline.core.training.devices import make_fabric
from pipeline.core.training.learner import Learner
from pipeline.core.training.transforms import Batch

log = logging.getLogger(__name__)


class Training:
    """One run of a training: ``checkpoints`` says from where, and has the history when it ends.

    ``began`` is the ``time.monotonic()`` from which ``max_minutes`` counts.
    """

    def __init__(
        self, learner: Learner, data: FaceData, checkpoints: Checkpoints, began: float
    ) -> None:
        self.learner, self.data, self.checkpoints = learner, data, checkpoints
        self.settings, self.began = learner.settings, began
        self.fabric = make_fabric(self.settings)
        self.sigterm = False

    def run(self) -> None:
        """Train to the end; a ``UserError`` if training stops before, after its checkpoint."""
        self.fabric.launch()  # all processes meet here
        self.learner.setup(self.fabric)
        self.checkpoints.restore(self.learner)
        handler = signal.signal(signal.SIGTERM, self.on_sigterm)
        try:
            while not finished(self.checkpoints.history, self.settings):
                self.train_epoch()
                self.validate()
                self.end_epoch()
        finally:
            signal.signal(signal.SIGTERM, handler)

    def train_epoch(self) -> None:
        """What is left of the epoch; a step of the optimiser after each ``accumulate`` batches."""
        learner, fabric, accumulate = self.learner, self.fabric, self.settings.accumulate
        place = learner.epoch, learner.batch
        loader = self.data.train_dataloader(fabric, *place, self.stopping)
        if self.sigterm:
            raise UserError("training received SIGTERM before its first step: run it again.")
        learner.network.train()
        end, reported = learner.batch + len(loader), time.monotonic()
        with closing(iter(loader)) as batches, self.bar(batches, end) as bar:
            for batch in bar:
                step = (learner.batch + 1) % accumulate == 0
                with fabric.no_backward_sync(learner.model, enabled=not step):
                    loss = learner.training_step(fabric.to_device(batch))
                    fabric.backward(loss / accumulate)
                if not step:
                    continue
                learner.optimizer_step()
                if not bar.disable:  # to read the loss is to wait for the device
                    bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
                if time.monotonic() - reported >= 60:
                    reported = time.monotonic()
                    log.info("epoch %d: %d batches done", learner.epoch + 1, learner.batch)
                if learner.batch < end:  # else the epoch's end follows, with its own checkpoint
                    self.save_if_due()

    @torch.inference_mode()
    def validate(self) -> None:
        self.learner.before_validation()
        for batch in self.data.val_dataloader(self.fabric, self.stopping):
            self.learner.validation_step(self.fabric.to_device(batch))

    def end_epoch(self) -> None:
        row = self.learner.end_epoch()
        if not math.isfinite(row["train_loss"] + row["valid_loss"]):
            raise UserError(
                f"the loss is no longer finite in epoch {row['epoch']:.0f}: training diverged; set"
                " a lower `learning_rate`, or a `precision` with more bits."
            )
        log.info(", ".join(f"{name} {value:.6g}" for name, value in row.items()))
        self.checkpoints.end_epoch(self.learner, row)
        if not finished(self.checkpoints.history, self.settings):
            self.stop_if(self.reason_to_stop())

    def save_if_due(self) -> None:
        """Between two steps: a checkpoint if it is time for one, or if training is to stop."""
        if self.fabric.world_size > 1 and self.learner.batch % (10 * self.settings.accumulate):
            return  # processes ask each other at every tenth step only
        reason = self.reason_to_stop()
        age = time.monotonic() - self.checkpoints.saved
        if self.any_process(bool(reason) or age >= 60 * self.settings.checkpoint_minutes):
            self.checkpoints.save(self.learner)
            self.stop_if(reason)

    def reason_to_stop(self) -> str:
        """Why training should not go on now though it is not done, or nothing."""
        limit = self.settings.max_minutes
        if self.sigterm:
            return "it received SIGTERM"
        if limit and time.monotonic() - self.began >= 60 * limit:
            return f"`max_minutes` ({limit:g}) have passed"
        return ""

    def stop_if(self, reason: str) -> None:
        """End training, in all processes if in one, now that there is a checkpoint."""
        if self.any_process(bool(reason)):
            raise UserError(
                f"training stopped itself because {reason or 'another process did'}; its checkpoint"
                f" is {self.checkpoints.folder / LAST}: run the same command again and it"
                " resumes from there."
            )

    def any_process(self, condition: bool) -> bool:
        """Whether it holds in any of the processes that train together."""
        return bool(self.fabric.strategy.reduce_boolean_decision(condition, all=False))

    def on_sigterm(self, *_: object) -> None:
        self.sigterm = True

    def stopping(self) -> bool:
        return self.sigterm

    def bar(self, batches: Iterator[Batch], end: int) -> tqdm:
        """``batches`` with a bar, on a terminal; it counts over all runs of the training."""
        return tqdm(
            batches,
            desc=f"epoch {self.learner.epoch + 1} of {self.settings.epochs}",
            total=end,
            initial=self.learner.batch,
            unit="batch",
            disable=None if self.fabric.is_global_zero else True,
        )
