"""What every network returns."""

from typing import NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """The predictions for B images and A attributes; what a network does not make is None.

    ``logits`` (B, A), whose sigmoid is the probability. ``maps`` (B, A, h, w), where each attribute
    shows (about 0 to 1, not clipped). ``attention`` (B, 14, 14), how much each place was attended
    to, with sum 1, only when it was asked for. ``region_maps`` (B, 14, h, w), where each region
    lies, 0 to 1, in the order of ``masks.regions.REGIONS``. ``mask_logits``: the logits of
    ``region_maps`` or, from a network without these, of ``maps``, for a loss on logits.
    """

    logits: Tensor
    maps: Tensor | None = None
    attention: Tensor | None = None
    region_maps: Tensor | None = None
    mask_logits: Tensor | None = None
