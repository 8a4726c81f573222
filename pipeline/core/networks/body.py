"""A convolutional or hierarchical network of timm as the body of a network of ours."""

import difflib
from typing import Any, Self

import torch
from torch import Tensor, nn

from pipeline.core.errors import UserError
from pipeline.core.model_settings import ModelSettings, backbone_of

# What torch, and the code of a network itself, raise on images that the network cannot take.
UNFIT = (AssertionError, AttributeError, IndexError, RuntimeError, TypeError, ValueError)


class OnBody(nn.Module):
    """A network that reads features off its ``body``, which keeps timm's names of its tensors.

    A body that is ``frozen`` keeps what it starts from: its weights, and its batch statistics too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body: Any = None
        self.frozen = False
        self.taken: list[int] = []  # which of the body's features, in its own numbers
        self.last_features = nn.Identity()  # a place to see the last feature map at

    def add_body(self, settings: ModelSettings, finest: int | None) -> list[torch.Size]:
        """Make timm's network of the settings, with random weights, the body.

        Returns the shape (C, h, w) of each of its features of an image of ``input_size``, from the
        stride ``finest`` on, or the coarsest alone. A network that has no such features, of such
        images, is a ``UserError``.
        """
        name, size = backbone_of(settings.network, settings.backbone), settings.input_size
        assert name is not None
        self.body = make_body(name, size)
        strides = [int(feature["reduction"]) for feature in self.body.feature_info]
        finest = min(finest or strides[-1], strides[-1])
        if finest not in strides:
            raise UserError(
                f"{name} has features at strides {', '.join(map(str, strides))}, none at {finest},"
                " where the maps are to be: set another `backbone` or `map_stride`"
            )
        self.taken = [i for i, stride in enumerate(strides) if stride >= finest]
        self.frozen = settings.frozen == "all"
        self.body.requires_grad_(not self.frozen)
        self.eval()
        try:
            with torch.no_grad():
                shapes = [scale.shape[1:] for scale in self.scales(torch.zeros(1, 3, *size))]
        except UNFIT as error:
            raise unfit(name, size, error) from None
        self.train()
        return shapes

    def scales(self, images: Tensor) -> list[Tensor]:
        """Features (B, C, h, w) of images (B, 3, H, W), the finest first.

        The last are those that timm's classifier would average: MobileNetV2, for one, has one
        more convolution behind the features of its coarsest stage.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            last, found = self.body.forward_intermediates(images, indices=self.taken)
            if last.ndim == 4 and last.shape[1:3] == found[-1].shape[2:] != last.shape[2:]:
                last = last.permute(0, 3, 1, 2)  # transformers have their channels last
            if last.ndim == 4 and last.shape[2:] == found[-1].shape[2:]:
                found[-1] = last
        return [*found[:-1], self.last_features(found[-1])]

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            self.body.eval()
        return self


def make_body(name: str, size: tuple[int, int]) -> Any:
    """The network ``name`` of timm without its classifier, for images of ``size``."""
    import timm  # here: a network without a body needs no timm

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=1) or ["resnet18"]
        raise UserError(
            f"there is no network {name!r} in timm: set `backbone` to one that timm.list_models()"
            f" names, such as {near[0]}"
        )
    config = timm.get_pretrained_cfg(name)
    fixed: dict[str, Any] = {"img_size": size} if config and config.fixed_input_size else {}
    try:
        body: Any = timm.create_model(name, num_classes=0, **fixed)
    except UNFIT as error:
        raise unfit(name, size, error) from None
    strides = [feature["reduction"] for feature in getattr(body, "feature_info", [])]
    if len(set(strides)) < len(strides) or not hasattr(body, "forward_intermediates"):
        raise unfit(name, size, "its features are all at one stride, or it gives none")
    if body.head_hidden_size != body.num_features:  # layers that only its classifier reads
        body.prune_intermediate_layers([len(strides) - 1], prune_norm=False, prune_head=True)
    if hasattr(getattr(body, "head", None), "norm"):  # likewise; ConvNeXt's, after its average
        body.head.norm = nn.Identity()
    return body


def unfit(name: str, size: tuple[int, int], why: object) -> UserError:
    reason = (str(why).splitlines() or [type(why).__name__])[0][:100]
    return UserError(
        f"{name} makes no feature maps of a {size[0]}×{size[1]} image ({reason}): set `backbone` to"
        " a convolutional or hierarchical network of timm, such as resnet18, mobilenetv2_100 or"
        " convnext_tiny, or another `input_size`"
    )
