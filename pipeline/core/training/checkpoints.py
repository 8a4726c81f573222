"""What is kept while a network trains: where it stands, its history, its best weights.

A checkpoint is read with ``weights_only=True`` and holds all that the rest of the training follows
from, so a run that was killed anywhere reaches the weights of one that was not. Its folder is named
by what decides on those weights (settings, seed, inputs, code, versions): who changes one of these
and changes it back resumes where that training stopped.
"""

import logging
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.utils.tensorboard import SummaryWriter

from pipeline.core.errors import UserError
from pipeline.core.files import remove, replacing, write_table
from pipeline.core.model_settings import TrainingSettings
from pipeline.core.networks.weights import first_line, save_weights
from pipeline.core.trained_on import TrainedOn
from pipeline.core.training.learner import Learner

log = logging.getLogger(__name__)

History = list[dict[str, float]]
LAST = "last.ckpt"


class Checkpoints:
    """The folder of one training.

    ``state`` is what ``read_checkpoint`` found there, or None for a new training. ``trained_on``
    goes into the weights.
    """

    def __init__(self, folder: Path, state: dict[str, Any] | None, trained_on: TrainedOn) -> None:
        self.folder, self.state, self.trained_on = folder, state, trained_on
        self.history: History = state["history"] if state else []
        self.saved = time.monotonic()

    @cached_property
    def tensorboard(self) -> SummaryWriter:
        return SummaryWriter(str(self.folder / "tensorboard"))

    def restore(self, learner: Learner) -> None:
        """Bring ``learner``, which has been set up, to where training stood."""
        if self.state is not None:
            learner.load_state_dict(self.state)
            self.state = None
        # A kill may have come between the checkpoint and the rest of its epoch.
        if learner.fabric.is_global_zero and self.history:
            self._complete_epoch(learner.settings)

    def save(self, learner: Learner) -> None:
        """Write the checkpoint, whole or not at all."""
        self.saved = time.monotonic()
        state = {**learner.state_dict(), "history": self.history}
        if learner.fabric.is_global_zero:
            # Into a file of Python's: torch's own says nothing of a last write that failed.
            with replacing(self.folder / LAST) as partial, partial.open("wb") as stream:
                torch.save(state, stream)

    def end_epoch(self, learner: Learner, row: dict[str, float]) -> None:
        """Keep the epoch's row, its weights if they are among the best, and a checkpoint."""
        self.history.append(row)
        epochs, keep = ranked(self.history, learner.settings), learner.settings.keep
        if learner.fabric.is_global_zero and learner.epoch in epochs[:keep]:
            path = epoch_file(self.folder, learner.epoch)
            save_weights(path, learner.kept, learner.settings, self.trained_on)
        self.save(learner)
        if learner.fabric.is_global_zero:
            for name, value in row.items():
                self.tensorboard.add_scalar(name, value, learner.epoch)
            self.tensorboard.flush()
            self._complete_epoch(learner.settings)

    def _complete_epoch(self, settings: TrainingSettings) -> None:
        """Write the history, and remove weights that only the checkpoint before may have needed."""
        write_history(self.folder / "history.csv", self.history)
        for epoch in ranked(self.history, settings)[settings.keep :]:
            remove(epoch_file(self.folder, epoch))


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
    """The checkpoint to resume from, or None; then what lies in its folder is cleared away.

    A file that needs more than ``weights_only=True`` to be read is a ``UserError``.
    """
    path = folder / LAST
    if not path.exists():
        if may_write:
            remove(folder)
        return None
    try:
        state = dict(torch.load(path, map_location="cpu", weights_only=True))
        log.info("resuming after epoch %d, batch %d", state["epoch"], state["batch"])
    except Exception as error:
        raise UserError(
            f"the checkpoint {path} was refused ({first_line(error)}); expected one that the train"
            " stage wrote: move it away to train from the beginning."
        ) from None
    return state
