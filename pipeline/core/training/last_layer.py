"""What is done to a network's last layer when its training has ended, on the split valid.

Its logits are a linear function of features, so that a temperature an attribute is a factor of this
layer's weights: what is calibrated needs nothing more wherever the network goes.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, logsumexp
from torch import Tensor, nn

from pipeline.core.classification import enough_faces
from pipeline.core.model_settings import ModelSettings
from pipeline.core.networks.exclusive import last_layer
from pipeline.core.training.loaders import FaceBatches, Loader, once
from pipeline.core.training.transforms import prepare

MIN_CLASS = 10  # faces of each class; with fewer a temperature would follow a few of them
COLDEST, HOTTEST = 0.05, 20.0


class Outputs(NamedTuple):
    """``features`` (N, F) that the last layer sees, ``logits`` (N, A), ``labels`` (N, A).

    Features that were not asked for are (N, 0).
    """

    features: np.ndarray
    logits: np.ndarray
    labels: np.ndarray


@torch.inference_mode()
def read_outputs(
    network: nn.Module,
    settings: ModelSettings,
    faces: FaceBatches,
    rows: np.ndarray,
    device: torch.device,
    workers: int,
    features: bool = False,
) -> Outputs:
    """The outputs for ``rows``, seen whole and in full precision, as evaluation sees them.

    ``features``: these too, which of AttParseNet are a megabyte a face.
    """
    network = network.to(device).eval()
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    seen: list[Tensor] = []
    hook = last_layer(network).register_forward_hook(lambda _, given, __: seen.append(given[0]))
    without_masks = FaceBatches(faces.faces, faces.labels, None)
    for batch in Loader(without_masks, once(rows, settings.batch_size), workers, device):
        logits = network(prepare(batch.images.to(device), settings)).logits
        read = seen.pop()
        kept = read.cpu() if features else read.new_empty(len(read), 0, device="cpu")
        parts.append((kept, logits.cpu(), batch.labels))
    hook.remove()
    return Outputs(*(torch.cat(part).numpy() for part in zip(*parts, strict=True)))


def temperatures(
    labels: np.ndarray, logits: np.ndarray, groups: Sequence[list[int]] = ()
) -> np.ndarray:
    """(A,): dividing an attribute's logits by it gives the lowest log loss for these faces.

    Labels (N, A), of which the known ones count; logits (N, A). Guo et al., "On calibration of
    modern neural networks" (ICML 2017), for each attribute by itself. An attribute with fewer than
    ``MIN_CLASS`` faces of a class keeps 1. No prediction at a threshold of 0.5 changes, and no
    ranking. The columns of each of ``groups``, whose logits are log odds of a softmax, have one
    temperature, if as many faces are known: the one for the softmax.
    """
    chosen = np.ones(labels.shape[1])
    single = enough_faces(labels, MIN_CLASS)
    single[[a for group in groups for a in group]] = False
    for a in np.flatnonzero(single):
        known = labels[:, a] >= 0
        label, logit = labels[known, a], logits[known, a]
        true = np.where(label == 1, logit, -logit).astype(np.float64)
        chosen[a] = best_temperature(log_loss, true)
    for group in groups:
        known = (labels[:, group] == 1).any(axis=1)
        if known.sum() >= MIN_CLASS:
            # The logarithms of the softmax are the last layer's outputs but for one constant.
            scores = log_expit(logits[known][:, group].astype(np.float64))
            true = labels[known][:, group] == 1
            chosen[group] = best_temperature(softmax_log_loss, scores, true)
    return chosen


def best_temperature(loss: Callable[..., float], *outputs: np.ndarray) -> float:
    """The temperature at which ``loss(log temperature, *outputs)`` is lowest."""
    bounds = (np.log(COLDEST), np.log(HOTTEST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, args=outputs, method="bounded").x))


def log_loss(log_temperature: float, true_logits: np.ndarray) -> float:
    """The mean log loss of ``true_logits`` (N,), those of the true classes, at a temperature."""
    return float(np.logaddexp(0, -true_logits / np.exp(log_temperature)).mean())


def softmax_log_loss(log_temperature: float, scores: np.ndarray, true: np.ndarray) -> float:
    """The mean log loss of a softmax of scores (N, K) at a temperature; ``true`` (N, K) bool."""
    divided = scores / np.exp(log_temperature)
    return float((logsumexp(divided, axis=1) - divided[true]).mean())


@torch.no_grad()
def divide_logits(network: nn.Module, by: np.ndarray) -> None:
    """Divide each output of the last layer by its own of ``by`` (A,), in the layer's weights."""
    layer = last_layer(network)
    divisor = torch.as_tensor(by, dtype=layer.weight.dtype, device=layer.weight.device)
    layer.weight.div_(divisor[:, None])
    layer.bias.div_(divisor)
