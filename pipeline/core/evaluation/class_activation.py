"""Where in the image a network without maps finds the evidence for what it predicts."""

import torch
from torch import Tensor, nn


def last_features(network: nn.Module) -> nn.Module:
    """The part of a network whose output is its last feature map (B, C, h, w)."""
    if hasattr(network, "encoder"):
        return network.get_submodule("encoder.blocks")[-1]  # type: ignore[index]
    if hasattr(network, "last_features"):
        return network.get_submodule("last_features")
    return network.get_submodule("body")


def class_activation_maps(network: nn.Module, features: nn.Module, images: Tensor) -> Tensor:
    """(B, A, h, w) from 0: how much each place of the last feature map speaks for the prediction.

    Features times the gradient of the logit, summed over channels (HiResCAM; Draelos and Carin
    2020), are each place's signed contribution to the logit: behind global average pooling and a
    linear layer they add up to it, but for the bias. A binary prediction may be "no": there the
    negative contributions are the evidence. What speaks against the prediction is 0.

    ``images`` are prepared for ``network``, which is in evaluation mode; ``features`` is the part
    of it from ``last_features``.
    """
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())  # no gradient is needed before it
        return kept[-1]

    handle = features.register_forward_hook(keep)
    recurrent = any(isinstance(module, nn.LSTM) for module in network.modules())
    try:  # cuDNN's LSTM has no gradient in evaluation mode
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=not recurrent):
            logits = network(images).logits
            contributions = [
                (torch.autograd.grad(logit.sum(), kept[0], retain_graph=True)[0] * kept[0]).sum(1)
                for logit in logits.unbind(1)
            ]
    finally:
        handle.remove()
    signs = torch.where(logits > 0, 1.0, -1.0)[:, :, None, None]
    return (torch.stack(contributions, 1) * signs).clamp(min=0).detach()
