"""How the weights change: the optimiser, the learning rate's schedule, the moving average."""

import math
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import nn

from pipeline.core.model_settings import TrainingSettings

# Schedules that change the learning rate after a step, not after an epoch.
BY_STEP = {"cosine", "one_cycle"}


class Average:
    """An exponential moving average of a network's weights and batch statistics.

    The decay of step n is at most (1 + n) / (10 + n), so that the random weights of the beginning
    are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = deepcopy(network).requires_grad_(False)
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        averages, values = (part.state_dict().values() for part in (self.network, network))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:  # a count of batches
                average.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.steps = state["steps"]


def make_optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, over the weights that are not frozen.

    Without ``decay_norms`` vectors (biases, and the weights of normalisation layers) have no
    weight decay. Both optimisers in their fused form: one pass over the weights, with the same
    arithmetic; but Fabric can clip no gradients that a fused step unscales.
    """
    chosen = settings.optimizer
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    groups: list[dict[str, Any]] = [{"params": weights}]
    if not chosen.decay_norms:
        matrices, vectors = ([w for w in weights if (w.ndim > 1) is many] for many in (True, False))
        groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    shared: dict[str, Any] = {
        "lr": chosen.learning_rate,
        "weight_decay": chosen.weight_decay,
        "fused": not (settings.gradient_clip and settings.precision == "16-mixed"),
    }
    if chosen.name == "adamw":
        return torch.optim.AdamW(groups, **shared)
    return torch.optim.SGD(groups, momentum=chosen.momentum, **shared)


def make_schedule(optimizer: torch.optim.Optimizer, settings: TrainingSettings, steps: int) -> Any:
    """How the learning rate changes; ``steps`` in an epoch."""
    schedule, total = settings.schedule, settings.epochs * steps
    if schedule.name == "exponential":
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, schedule.gamma)
    if schedule.name == "plateau":
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer,
            mode="min" if settings.select_by == "valid_loss" else "max",
            factor=schedule.factor,
            patience=schedule.patience,
        )
    if schedule.name == "cosine":
        factor = partial(warmup_cosine, total=total, warmup=round(schedule.warmup * total))
        return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    if schedule.name == "one_cycle":
        total = max(2, total)
        rising = max(schedule.warmup, 1.5 / total)  # torch divides by zero where it is one step
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.optimizer.learning_rate, total, pct_start=rising
        )
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1)


def warmup_cosine(step: int, total: int, warmup: int) -> float:
    """Factor of the learning rate: up to 1 in ``warmup`` steps, then half a cosine to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
