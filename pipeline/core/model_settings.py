"""The settings of a model: their names and types, and what they mean together.

The keys are those of ``models`` in ``workflow/schemas/config.schema.yaml``, which describes each
and alone has the defaults.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, is_dataclass
from inspect import get_annotations
from typing import Any, Literal, Self, get_type_hints

Size = tuple[int, int]  # height, width
COARSEST = 32  # the default of map_stride


@dataclass(frozen=True)
class OptimizerSettings:
    name: str
    learning_rate: float
    momentum: float
    weight_decay: float
    decay_norms: bool


@dataclass(frozen=True)
class LossSettings:
    """The parameters of the attribute losses; see ``training.attribute_losses``."""

    beta: float
    gamma: float
    alpha: float | None
    gamma_positives: float
    gamma_negatives: float
    margin: float


@dataclass(frozen=True)
class ScheduleSettings:
    name: str
    gamma: float
    patience: int
    factor: float
    warmup: float


@dataclass(frozen=True)
class AugmentationSettings:
    flip: bool
    shift: int
    brightness: float
    contrast: float


@dataclass(frozen=True)
class NormalizationSettings:
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class ModelSettings:
    """What decides on the weights, resolved: every attribute named, sizes in numbers.

    ``attribute_regions`` are the regions of each of ``attributes``, and ``faces_size`` is the size
    of the images, both of the faces trained on; ``exclusive`` has those of ``attributes`` of which
    a face has exactly one, by their column. ``initial_weights`` is the sha256 of their file.
    """

    network: str
    width: float
    channels: tuple[int, int, int, int]
    map_channels: int
    pooling: str
    dropout: float
    backbone: str | None
    frozen: str
    map_stride: int
    attributes: tuple[str, ...]
    attribute_regions: tuple[tuple[str, ...], ...]
    exclusive: dict[str, tuple[str, ...]]
    pretrained: bool
    initial_weights: str | None
    frozen_layers: int
    loss: str
    loss_parameters: LossSettings
    logit_adjustment: float
    segmentation_weight: float
    mask_loss: str
    epochs: int
    batch_size: int
    accumulate: int
    optimizer: OptimizerSettings
    schedule: ScheduleSettings
    gradient_clip: float | None
    ema: float | None
    augmentation: AugmentationSettings
    input_size: Size
    faces_size: Size
    normalization: NormalizationSettings
    share: float
    stratified_subset: float | None
    select_by: str
    groups: tuple[str, ...]
    last_layer_of: str | None
    calibration: str
    keep: int
    early_stopping: int | None
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    accelerator: str
    devices: int
    nodes: int
    compile: bool
    channels_last: bool
    deterministic: bool

    @property
    def exclusive_columns(self) -> list[list[int]]:
        """Where the attributes of each exclusive group stand among ``attributes``."""
        return [[self.attributes.index(name) for name in of] for of in self.exclusive.values()]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """From what ``to_dict`` made; a key that is missing or unknown is a ``TypeError``."""
        made: Self = _typed(cls, values)
        return made

    def to_dict(self) -> dict[str, Any]:
        """As it is kept in JSON: plain values, keys in alphabetical order."""
        made: dict[str, Any] = json.loads(json.dumps(asdict(self), sort_keys=True))
        return made


@dataclass(frozen=True)
class TrainingSettings(ModelSettings):
    """With the settings of how fast and how often, which decide on nothing.

    They may change between a kill and the run that resumes, and are in no weights file.
    """

    workers: int
    max_minutes: float | None
    checkpoint_minutes: float


OPERATIONAL = set(get_annotations(TrainingSettings))  # its own fields alone


def _typed(kind: Any, value: Any) -> Any:
    """JSON's value as one of ``kind``: a dataclass of it, or what it is, with tuples for lists."""
    if isinstance(value, dict):
        kinds = get_type_hints(kind) if is_dataclass(kind) else {}
        made = {key: _typed(kinds.get(key), below) for key, below in value.items()}
        return kind(**made) if kinds else made
    return tuple(_typed(None, item) for item in value) if isinstance(value, list) else value


def decisive(model: dict[str, Any]) -> dict[str, Any]:
    """The settings that decide on the weights: the keys of ``ModelSettings``."""
    return {key: value for key, value in model.items() if key not in OPERATIONAL}


def misfit(model: dict[str, Any]) -> tuple[str, str] | None:
    """The first key that does not fit the others, and why with what to do; None if all do.

    ``model`` is a complete entry of the configuration: every key of a model has its value.
    """
    return next(_misfits(model), None)


def _misfits(model: dict[str, Any]) -> Iterator[tuple[str, str]]:
    network, weight = model["network"], model["segmentation_weight"]
    if network == "cnn_rnn" and weight > 0:
        why = f"is {weight:g}, and cnn_rnn predicts no masks; write segmentation_weight: 0"
        yield "segmentation_weight", why
    yield from _body_misfits(model)
    if network == "mask_guided" and weight > 0 and model["mask_loss"] != "bce_dice":
        why = "is mse, by which mask_guided learns no regions; write mask_loss: bce_dice"
        yield "mask_loss", why
    if network in ("cnn_rnn", "backbone") and model["mask_loss"] != "mse":
        yield "mask_loss", f"is bce_dice, and {network} has mse alone; leave it out"
    if network != "mask_guided" and model["pooling"] != "regions":
        yield "pooling", f"is {model['pooling']!r}, and {network} has no choice of it; leave it out"
    if model["stratified_subset"] and model["share"] < 1:
        yield "stratified_subset", "is set, and so is share, which it overrides; leave one out"
    yield from _group_misfits(model)
    parts = model["accumulate"] * model["devices"] * model["nodes"]
    if model["batch_size"] % parts:
        why = f"is {model['batch_size']}, which cannot be cut into {parts} equal parts (accumulate"
        yield "batch_size", f"{why} × devices × nodes); set a multiple of that"


def _body_misfits(model: dict[str, Any]) -> Iterator[tuple[str, str]]:
    network, name = model["network"], model["backbone"]
    if network == "cnn_rnn" and name not in (None, "resnet18"):
        yield "backbone", f"is {name!r}, and cnn_rnn is built on resnet18 alone; leave it out"
    if network == "attparsenet" and name:
        yield "backbone", f"is {name!r}, and attparsenet has none; leave it out"
    if model["pretrained"] and not backbone_of(network, name):
        why = f"is true, and ImageNet has no weights of {network}; set it to false"
        yield "pretrained", why + (", or set a backbone" if network == "mask_guided" else "")
    if network != "backbone" and model["map_stride"] != COARSEST:
        yield "map_stride", f"is {model['map_stride']}, and {network} has no choice of it"
    if model["frozen"] == "all":
        if network == "cnn_rnn":
            yield "frozen", "is all, and what cnn_rnn freezes is `frozen_layers`; leave it out"
        if not backbone_of(network, name):
            yield "frozen", f"is all, and {network} has no backbone here; leave it out"
        if not (model["pretrained"] or model["initial_weights"]):
            yield "frozen", "is all, and the backbone starts at random; write pretrained: true"


def _group_misfits(model: dict[str, Any]) -> Iterator[tuple[str, str]]:
    groups, attributes = model["groups"], model["attributes"]
    example = "write groups: [Blond_Hair, Male], or others"
    if model["select_by"] == "valid_worst_group_accuracy" and not groups:
        yield "select_by", f"is valid_worst_group_accuracy, and there are no groups; {example}"
    if model["last_layer_of"] and not groups:
        yield "last_layer_of", f"is set, and there are no groups to balance; {example}"
    if model["last_layer_of"] and model["network"] == "attparsenet":
        why = "is set, and attparsenet's last layer sees whole maps, too many for the faces of"
        yield "last_layer_of", f"{why} valid; choose another network"
    for name in groups if attributes else ():
        if name not in attributes:
            yield "groups", f"names {name}, which the model does not predict; add it to attributes"


def backbone_of(network: str, backbone: str | None) -> str | None:
    """The backbone that a network has by the setting of that name, or None."""
    return backbone or ("resnet18" if network in ("cnn_rnn", "backbone") else None)


def needs_masks(model: dict[str, Any]) -> bool:
    """Whether a model's training reads masks: for a loss, or for the mean regions of train."""
    mean_regions = model["network"] == "mask_guided" and model["pooling"] == "mean_regions"
    return model["segmentation_weight"] > 0 or mean_regions


def starts_from_imagenet(model: dict[str, Any]) -> bool:
    """Whether a model starts from ImageNet's weights: its own ``initial_weights`` go before."""
    return bool(model["pretrained"]) and not model["initial_weights"]
