"""Lightning Fabric as a model's settings ask for it: devices, processes, number format."""

import logging
import os
import warnings
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import rank_zero_only

from pipeline.core.errors import UserError
from pipeline.core.model_settings import TrainingSettings

RANK: int = rank_zero_only.rank  # type: ignore[attr-defined]  # of this process, before it launches


def make_fabric(settings: TrainingSettings) -> Fabric:
    """Devices, processes and number format, as the settings say."""
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(settings.deterministic)
    torch.backends.cudnn.benchmark = not settings.deterministic
    warnings.filterwarnings("ignore", ".*`srun` command is available.*")  # advice that is not meant
    for name in ("lightning.fabric", "lightning.pytorch"):  # either, by what was imported first
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return Fabric(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.nodes,
            precision=settings.precision,
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
