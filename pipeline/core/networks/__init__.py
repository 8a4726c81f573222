"""The networks and their weights: nn.Modules belong here; no data, and no I/O but weights.

A network is a module that makes one by ``from_settings``; ``build`` imports the one that a model's
settings name, and no other, so that no network's code is part of another's. ``weights`` keeps them
and reads them back. May use the single modules and, of the masks, ``regions``.
"""

from importlib import import_module
from importlib.util import find_spec

from torch import nn

from pipeline.core.errors import UserError
from pipeline.core.model_settings import ModelSettings
from pipeline.core.networks.exclusive import make_exclusive
from pipeline.core.networks.output import Output

__all__ = ["Output", "build"]


def build(settings: ModelSettings) -> nn.Module:
    """The network that a model's settings describe, with random weights from torch's generator.

    Its ``forward`` takes images (B, 3, height, width), as ``transforms.prepare`` makes them, and
    returns an ``Output``, in which the sigmoid of a logit is a probability, that of exclusive
    attributes too. Settings that fit no network are a ``UserError``.
    """
    name = settings.network
    there = name.isidentifier() and find_spec(f"{__name__}.{name}")
    make = getattr(import_module(f"{__name__}.{name}"), "from_settings", None) if there else None
    if make is None:
        raise UserError(
            f"there is no network {name!r}: choose one that the configuration's schema names, such"
            " as attparsenet"
        )
    network: nn.Module = make(settings)
    make_exclusive(network, settings.exclusive_columns)
    return network
