"""What every network returns."""

from typing import NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """The answer to B images about A attributes.

    ``logits`` (B, A). ``maps`` (B, A, h, w), where each attribute shows (about 0 to 1, not
    clipped), or None from a network without masks. ``attention`` (B, 14, 14), how much each
    place was attended to, with sum 1, or None when it was not asked for or there is none.
    """

    logits: Tensor
    maps: Tensor | None = None
    attention: Tensor | None = None
