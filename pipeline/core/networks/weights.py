"""Weights of networks: kept as safetensors with their settings, read back from the file alone."""

import hashlib
import json
from collections.abc import Sequence
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
    "exclusive": {},
    "mask_loss": "mse",
    "optimizer": {"decay_norms": True},
    "schedule": {"warmup": None},
    "gradient_clip": None,
    "ema": None,
    "groups": [],
    "last_layer_of": None,
    "calibration": "none",
    "loss": "bce",
    "loss_parameters": {field.name: None for field in fields(LossSettings)},
    "logit_adjustment": 0.0,
    "frozen": "none",
    "map_stride": 32,
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
    about["sha256"] = _digest(tensors, about)
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
        kept.pop("sha256", None)
        if kept["network"] == "mask_guided" and "map_stride" not in kept:
            kept["backbone"] = None  # where resnet18 stood, and meant nothing
        below = {key: {**WITHOUT_KEY[key], **kept[key]} for key in ("optimizer", "schedule")}
        if "attribute_regions" not in kept:  # from when all data sets had CelebA's attributes
            kept["attribute_regions"] = CELEBA.only(kept["attributes"]).regions
        settings = ModelSettings.from_dict({**WITHOUT_KEY, **kept, **below})
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{path} is no weights file of attparse ({error or 'unreadable'}); expected a"
            " weights.safetensors that the train stage wrote"
        ) from None
    network = build(settings)
    fill(network, load_state(path), path)
    return network.eval(), settings


def read_metadata(path: Path) -> dict[str, Any]:
    """What ``save_weights`` wrote beside the tensors; empty for another's safetensors file."""
    with safetensors.safe_open(path, "pt") as file:
        kept: dict[str, Any] = json.loads((file.metadata() or {}).get(SETTINGS, "{}"))
    return kept


def _digest(tensors: dict[str, torch.Tensor], about: dict[str, Any]) -> str:
    """A hash of all that a file of ours holds; ``about`` is without it."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file or of a torch file that needs no code to be read.

    A torch file that holds anything but tensors and plain values is refused: to unpickle it
    would run whatever it says.
    """
    try:
        if is_safetensors(path):
            tensors = safetensors.torch.load_file(path)
            about = read_metadata(path)
            if about.pop("sha256", None) not in (None, _digest(tensors, about)):
                raise ValueError("its content is not that which its hash was made of")
            return tensors
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


def is_safetensors(path: Path) -> bool:
    """By what the file holds: eight bytes of a length, then JSON; torch's begin otherwise."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def start_from(network: nn.Module, path: Path, rename: Sequence[Sequence[str]] = ()) -> None:
    """Begin with given weights.

    A safetensors file with settings of ours is a whole network. Any other file is a state dict of
    the network's ``body``, with the names of timm (of torchvision for ``cnn_rnn``) once ``rename``
    has put each second text in the place of the first; what the body lacks, such as further layers
    and a classifier, is left out.
    """
    state = load_state(path)
    body = getattr(network, "body", None)
    ours = is_safetensors(path) and bool(read_metadata(path))
    if body is None or ours:
        fill(network, state, path)
        return
    for old, new in rename:
        state = {name.replace(old, new): tensor for name, tensor in state.items()}
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
