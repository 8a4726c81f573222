"""Attributes of which a face has exactly one: logits by which their probabilities sum to 1."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def last_layer(network: nn.Module) -> nn.Linear:
    """The linear layer that makes the logits: the child ``attributes``, or the end of it."""
    head = network.get_submodule("attributes")
    layer = head[-1] if isinstance(head, nn.Sequential) else head
    assert isinstance(layer, nn.Linear)
    return layer


def make_exclusive(network: nn.Module, groups: Sequence[Sequence[int]]) -> None:
    """From now on the network's logits are ``log_odds`` of what its last layer computes."""
    if groups:
        last_layer(network).register_forward_hook(lambda _, __, logits: log_odds(logits, groups))


def log_odds(logits: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """Logits (B, A), those of each group's columns as the log odds of the group's softmax.

    With p the softmax of the group's logits l, log(p_k / (1 − p_k)) = l_k − log Σ_{j≠k} exp(l_j).
    Then the sigmoid of every logit is its probability, and what takes it needs to know no groups.
    """
    columns = list(logits.unbind(1))
    made = list(columns)
    for group in groups:
        for k in group:
            others = torch.stack([columns[j] for j in group if j != k], 1).logsumexp(1)
            made[k] = (columns[k] - others).to(logits.dtype)
    return torch.stack(made, 1)
