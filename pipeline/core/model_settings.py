"""What the settings of a model mean together: one answer for the workflow and for training."""

from typing import Any

# Settings of how fast and how often, not of what comes out.
OPERATIONAL = {"workers", "max_minutes", "checkpoint_minutes"}


def misfit(model: dict[str, Any]) -> tuple[str, str] | None:
    """The first key that does not fit the others, and why with what to do; None if all do.

    ``model`` is complete: every key of a model has its value.
    """
    network, weight = model["network"], model["segmentation_weight"]
    if network == "cnn_rnn" and weight > 0:
        why = f"is {weight:g}, and cnn_rnn predicts no masks; write segmentation_weight: 0"
        return "segmentation_weight", why
    if network == "cnn_rnn" and model["backbone"] != "resnet18":
        name = model["backbone"]
        return "backbone", f"is {name!r}, and cnn_rnn is built on resnet18 alone; leave it out"
    if network == "attparsenet" and model["pretrained"]:
        return "pretrained", "is true, and ImageNet has no weights of attparsenet; set it to false"
    if model["stratified_subset"] and model["share"] < 1:
        return "stratified_subset", "is set, and so is share, which it overrides; leave one out"
    parts = model["accumulate"] * model["devices"] * model["nodes"]
    if model["batch_size"] % parts:
        return "batch_size", (
            f"is {model['batch_size']}, which cannot be cut into {parts} equal parts (accumulate ×"
            " devices × nodes); set a multiple of that"
        )
    return None


def starts_from_imagenet(model: dict[str, Any]) -> bool:
    """Whether a model starts from ImageNet's weights: its own ``initial_weights`` go before."""
    return bool(model["pretrained"]) and not model["initial_weights"]


def decisive(model: dict[str, Any]) -> dict[str, Any]:
    """The settings that decide on the weights.

    The others may change between a kill and the run that goes on, and are in no weights file.
    """
    return {key: value for key, value in model.items() if key not in OPERATIONAL}
