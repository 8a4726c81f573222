"""What is kept while a network trains: where it stands, its history, its best weights.

A checkpoint is taken at the end of every epoch, every so many minutes within one, and when
training stops itself. It is read with ``weights_only=True`` and holds all that the rest of the
training follows from, so a run that was killed anywhere reaches the weights of one that was not.
Its folder is named by what decides on those weights (settings, seed, inputs, code, versions): who
changes one of these and changes it back goes on where that training stopped.
Lightning's own resumption is not used: within an epoch it begins the data anew.
"""

import logging
import math
import signal
import time
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
import torch

from pipeline.core.errors import UserError
from pipeline.core.files import remove, replacing, write_table
from pipeline.core.model_settings import TrainingSettings
from pipeline.core.networks.weights import save_weights
from pipeline.core.training.learner import Learner

log = logging.getLogger(__name__)

History = list[dict[str, float]]
LAST, HISTORY = "last.ckpt", "history.csv"


class Keeper(lightning.Callback):
    """Writes to ``folder``: the checkpoint, the history, and the weights of the best epochs.

    ``state`` is what ``read_checkpoint`` found there, or None for a new training; ``began`` the
    ``time.monotonic()`` from which ``max_minutes`` counts.
    """

    def __init__(self, folder: Path, state: dict[str, Any] | None, began: float) -> None:
        self.folder, self.state, self.began = folder, state, began
        self.history: History = state["history"] if state else []
        self.kept = self.told = time.monotonic()
        self.sigterm = False

    def on_fit_start(self, trainer: Any, learner: Any) -> None:
        if self.state is None:
            return
        learner.network.load_state_dict(self.state["network"])
        learner.optimizer.load_state_dict(self.state["optimizer"])
        if learner.schedule is not None:
            learner.schedule.load_state_dict(self.state["schedule"])
        trainer.precision_plugin.load_state_dict(self.state["precision"])
        learner.epoch, learner.batch = self.state["epoch"], self.state["batch"]
        if trainer.is_global_zero:  # the sums of all processes: one of them goes on from there
            learner.train_sums = self.state["train_sums"].to(learner.device)
        self.state = None

    def on_train_start(self, trainer: Any, learner: Any) -> None:
        # Lightning's own handler ends training before there is a checkpoint, with exit status 0.
        if trainer.received_sigterm:
            raise UserError("training was told to end (SIGTERM) before it began: run it again.")
        signal.signal(signal.SIGTERM, self.on_sigterm)

    def on_sigterm(self, *_: Any) -> None:
        self.sigterm = True

    def on_train_batch_end(self, trainer: Any, learner: Any, *_: Any) -> None:
        # Gradients that wait for their step are in no checkpoint. An epoch's last batch has no
        # rest to go on with: what follows it is the epoch's end.
        if learner.batch % learner.settings.accumulate or trainer.is_last_batch:
            return
        now, reason = time.monotonic(), self.reason_to_stop(learner)
        if now - self.told >= 60:
            self.told = now
            log.info("epoch %d: %d batches done", learner.epoch + 1, learner.batch)
        due = now - self.kept >= 60 * learner.settings.checkpoint_minutes
        if any_process(trainer, learner, due or bool(reason)):
            self.keep(trainer, learner)
            self.stop_if(trainer, reason)

    def reason_to_stop(self, learner: Any) -> str:
        """Why training should not go on now though it is not done, or nothing."""
        limit = learner.settings.max_minutes
        if self.sigterm:
            return "it was told to (SIGTERM)"
        if limit and time.monotonic() - self.began >= 60 * limit:
            return f"`max_minutes` ({limit:g}) have passed"
        return ""

    def stop_if(self, trainer: Any, reason: str) -> None:
        """End training, in all processes if in one, now that there is a checkpoint."""
        if trainer.strategy.reduce_boolean_decision(bool(reason), all=False):
            raise UserError(
                f"training stopped itself because {reason or 'another process did'}; its checkpoint"
                f" is {self.folder / LAST}: run the same command again and it goes on from there."
            )

    def on_train_epoch_end(self, trainer: Any, learner: Any) -> None:
        row = learner.end_epoch()
        if not math.isfinite(row["train_loss"] + row["valid_loss"]):
            raise UserError(
                f"the loss is no longer finite in epoch {row['epoch']:.0f}: training diverged; set"
                " a lower `learning_rate`, or a `precision` with more bits."
            )
        self.history.append(row)
        log.info(", ".join(f"{name} {value:.6g}" for name, value in row.items()))
        for logger in trainer.loggers:
            logger.log_metrics(row, step=learner.epoch)
        epochs, keep = ranked(self.history, learner.settings), learner.settings.keep
        if trainer.is_global_zero and learner.epoch in epochs[:keep]:
            path = epoch_file(self.folder, learner.epoch)
            save_weights(path, learner.network, learner.settings)
        self.keep(trainer, learner)
        if trainer.is_global_zero:
            write_history(self.folder / HISTORY, self.history)
            for epoch in epochs[keep:]:  # which the checkpoint before may have needed
                remove(epoch_file(self.folder, epoch))
        if finished(self.history, learner.settings):
            trainer.should_stop = True
        else:
            self.stop_if(trainer, self.reason_to_stop(learner))

    def keep(self, trainer: lightning.Trainer, learner: Learner) -> None:
        """Write the checkpoint, whole or not at all."""
        self.kept = time.monotonic()
        train_sums = learner.over_processes(learner.train_sums)
        if not trainer.is_global_zero:
            return
        state = {
            "network": learner.network.state_dict(),
            "optimizer": learner.optimizer.state_dict(),
            "schedule": learner.schedule.state_dict() if learner.schedule is not None else None,
            "precision": trainer.precision_plugin.state_dict(),
            "epoch": learner.epoch,
            "batch": learner.batch,
            "train_sums": train_sums,
            "history": self.history,
        }
        with replacing(self.folder / LAST) as partial:
            torch.save(state, partial)


def any_process(trainer: Any, learner: Any, answer: bool) -> bool:
    """Whether any process says so; several ask each other at every tenth step only."""
    if trainer.world_size > 1 and learner.batch % (10 * learner.settings.accumulate):
        return False
    return bool(trainer.strategy.reduce_boolean_decision(answer, all=False))


def ranked(history: History, settings: TrainingSettings) -> list[int]:
    """The epochs, counted from 1, the best first; of equals the earlier one."""
    key = settings.select_by
    sign = 1 if key == "valid_loss" else -1
    order = sorted(history, key=lambda row: (sign * row[key], row["epoch"]))
    return [int(row["epoch"]) for row in order]


def finished(history: History, settings: TrainingSettings) -> bool:
    """Whether all epochs are done, or ``early_stopping`` epochs brought nothing better."""
    if not history or len(history) >= settings.epochs:
        return bool(history)
    patience = settings.early_stopping
    return patience is not None and len(history) - ranked(history, settings)[0] >= patience


def epoch_file(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:03d}.safetensors"


def write_history(path: Path, history: History) -> None:
    """``history.csv``: a row an epoch."""
    write_table(path, pd.DataFrame(history).astype({"epoch": int}), "%.6g")


def read_checkpoint(folder: Path, may_write: bool) -> dict[str, Any] | None:
    """The checkpoint to go on from, or None; then what lies in its folder is cleared away.

    A file that needs more than ``weights_only=True`` to be read is a ``UserError``.
    """
    path = folder / LAST
    if not path.exists():
        if may_write:
            remove(folder)
        return None
    try:
        state = dict(torch.load(path, map_location="cpu", weights_only=True))
        log.info("going on after epoch %d, batch %d", state["epoch"], state["batch"])
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UserError(
            f"the checkpoint {path} was refused ({reason}); expected one that the train stage"
            " wrote: move it away to train from the beginning."
        ) from None
    return state
