"""Lightning's Trainer, as a model's settings say."""

import logging
import os
import sys
import warnings
from typing import Any

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from pipeline.core.errors import UserError
from pipeline.core.model_settings import TrainingSettings
from pipeline.core.training.checkpoints import Keeper, finished

RANK: int = getattr(rank_zero_only, "rank", 0)  # of this process among those that train together
NOISE = (  # advice of Lightning that does not hold here
    ".*does not have many workers.*",
    ".*logging interval.*",
    ".*in eval mode.*",
    ".*`srun` command is available.*",
    ".*LeafSpec.*",
)


class Bar(TQDMProgressBar):
    """Lightning's bar, with epochs counted over all runs of a training that was resumed."""

    def on_train_epoch_start(self, trainer: Any, learner: Any) -> None:
        super().on_train_epoch_start(trainer, learner)
        epochs = learner.settings.epochs
        self.train_progress_bar.set_description(f"epoch {learner.epoch + 1} of {epochs}")


def make_trainer(settings: TrainingSettings, keeper: Keeper) -> lightning.Trainer:
    """Lightning's Trainer, as the settings say; the bar is for terminals."""
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    terminal = sys.stderr.isatty()
    for noise in NOISE:
        warnings.filterwarnings("ignore", noise)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    left = 0 if finished(keeper.history, settings) else settings.epochs - len(keeper.history)
    try:
        return lightning.Trainer(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.nodes,
            precision=settings.precision,
            max_epochs=left,
            accumulate_grad_batches=settings.accumulate,
            deterministic=settings.deterministic,
            benchmark=not settings.deterministic,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=terminal,
            callbacks=[keeper, Bar(leave=True)] if terminal else [keeper],
            logger=TensorBoardLogger(keeper.folder / "tensorboard", name="", version=""),
            plugins=environment(),
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise UserError(f"Lightning cannot train as the settings say: {error}") from None


def environment() -> list[Any]:
    """How several processes find each other, where Lightning's own guess would be wrong.

    A SLURM job of one task starts its processes itself; one of several tasks has them started,
    and is not to be submitted again behind Snakemake's back.
    """
    if "SLURM_NTASKS" not in os.environ:
        return []
    several = int(os.environ["SLURM_NTASKS"]) > 1
    return [SLURMEnvironment(auto_requeue=False) if several else LightningEnvironment()]
