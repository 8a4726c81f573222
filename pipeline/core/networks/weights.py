"""Weights of networks: kept as safetensors with their settings, read back from the file alone."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from pipeline.core.attributes import CELEBA
from pipeline.core.errors import UserError
from pipeline.core.files import replacing
from pipeline.core.geometry import HEIGHT, WIDTH
from pipeline.core.model_settings import LossSettings, ModelSettings, decisive
from pipeline.core.networks import build
from pipeline.core.trained_on import TrainedOn, read_trained_on

SETTINGS = "attparse"  # the one key of a file's metadata: several would have no fixed order
# What a file means by a missing key, which was written before there was such a setting.
WITHOUT_KEY: dict[str, Any] = {
    "faces_size": [HEIGHT, WIDTH],
    "mask_loss": "mse",
    "optimizer": {"decay_norms": True},
    "schedule": {"warmup": None},
    "gradient_clip": None,
    "ema": None,
    "groups": [],
    "calibration": "none",
    "loss": "bce",
    "loss_parameters": {field.name: None for field in fields(LossSettings)},
    "logit_adjustment": 0.0,
    # These are of mask_guided, and such a file is of another network.
    **{"channels": None, "map_channels": None, "pooling": None, "dropout": None},
}


def save_weights(
    path: Path, network: nn.Module, settings: ModelSettings, trained_on: TrainedOn | None = None
) -> None:
    """Write weights with the resolved settings inside: the file alone suffices to predict."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    about = decisive(settings.to_dict())
    if trained_on:
        about["trained_on"] = trained_on.to_dict()
    text = json.dumps(about, sort_keys=True)
    with replacing(path) as partial:
        safetensors.torch.save_file(tensors, partial, metadata={SETTINGS: text})


def load_network(path: Path) -> tuple[nn.Module, ModelSettings]:
    """The network of a weights file, in evaluation mode, and the settings it was trained with.

    ``settings.attributes`` names the logits, in their order. A file that is not one of
    ours is a ``UserError``.
    """
    try:
        kept = read_metadata(path)
        read_trained_on(kept)  # its form is checked with the rest
        kept.pop("trained_on", None)
        below = {key: {**WITHOUT_KEY[key], **kept[key]} for key in ("optimizer", "schedule")}
        celeba = {} if "attribute_regions" in kept else _celeba_regions(kept["attributes"])
        settings = ModelSettings.from_dict({**WITHOUT_KEY, **celeba, **kept, **below})
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{path} is no weights file of attparse ({error or 'unreadable'}); expected a"
            " weights.safetensors that the train stage wrote"
        ) from None
    network = build(settings)
    fill(network, load_state(path), path)
    return network.eval(), settings


def read_metadata(path: Path) -> dict[str, Any]:
    """What ``save_weights`` wrote beside the tensors."""
    with safetensors.safe_open(path, "pt") as file:
        kept: dict[str, Any] = json.loads((file.metadata() or {})[SETTINGS])
    return kept


def _celeba_regions(attributes: list[str]) -> dict[str, Any]:
    """The missing ``attribute_regions`` of a file from when all data sets had CelebA's."""
    return {"attribute_regions": CELEBA.only(attributes).regions}


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file or of a torch file that needs no code to be read.

    A torch file that holds anything but tensors and plain values is refused: to unpickle it
    would run whatever it says.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"there are no weights at {path}: give the path of a file") from None
    except Exception as error:
        raise UserError(
            f"{path} was refused as weights ({first_line(error)}); expected safetensors, or a"
            " torch file of tensors alone, as torch.save(network.state_dict(), …) writes it"
        ) from None
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise UserError(f"{path} was refused as weights: it holds more than named tensors")
    return state


def start_from(network: nn.Module, path: Path) -> None:
    """Begin with given weights.

    A safetensors file is a whole network of ours. Any other is one of torchvision's state
    dicts, and fills the part of the network that has torchvision's names, ``body``; its
    further layers and its classifier are left out.
    """
    state = load_state(path)
    body = getattr(network, "body", None)
    if path.suffix == ".safetensors" or body is None:
        fill(network, state, path)
    else:
        fill(body, {name: state[name] for name in body.state_dict() if name in state}, path)


def fill(network: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(
            f"the weights in {path} do not fit this network ({first_line(error, 1)}); give"
            " weights of the same network, width, attributes and input size"
        ) from None


def first_line(error: Exception, skip: int = 0) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[min(skip, len(lines) - 1)].strip()[:200]
