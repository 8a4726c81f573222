"""The attribute losses: what each logit costs, given its label and the train split's counts.

``bce`` is the published loss. The others are for attributes that few faces have: they weigh a
rare class more, or what the network has already learned less.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from pipeline.core.model_settings import LossSettings, ModelSettings
from pipeline.core.networks.exclusive import log_odds


class AttributeLoss(nn.Module):
    """The loss that a model's settings name: logits (B, A) and targets (B, A) in 0–1 to (B, A).

    ``class_counts`` (2, A): how many faces of train lack and have each attribute. With
    ``logit_adjustment`` τ the loss sees each logit plus τ times the log odds of its attribute in
    train (the logit-adjusted loss of Menon et al., "Long-tail learning via logit adjustment",
    ICLR 2021). The network's own logits then rank as for even classes, so that a threshold of 0.5
    is one for balanced accuracy. Of exclusive attributes the logarithm of each one's probability is
    adjusted, by that of its share of train.
    """

    weights: Tensor
    adjustment: Tensor
    grouped: Tensor

    def __init__(self, settings: ModelSettings, class_counts: np.ndarray) -> None:
        super().__init__()
        self.name, self.chosen = settings.loss, settings.loss_parameters
        self.groups = settings.exclusive_columns
        grouped = np.isin(np.arange(class_counts.shape[1]), [a for of in self.groups for a in of])
        self.register_buffer("grouped", torch.from_numpy(grouped))
        counts = class_counts.clip(1)  # a class without a face is as rare as one with a single one
        weights = class_weights(counts, self.chosen.beta)
        lacking, having = np.log(counts)
        odds = settings.logit_adjustment * (having - np.where(grouped, 0, lacking))
        for name, values in (("weights", weights), ("adjustment", odds)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))
        self.adjusts = settings.logit_adjustment > 0

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.adjusts:
            logits = torch.where(self.grouped, logsigmoid(logits), logits) + self.adjustment
            logits = log_odds(logits, self.groups)
        if self.name == "focal":
            return focal(logits, targets, self.chosen)
        if self.name == "asymmetric":
            return asymmetric(logits, targets, self.chosen)
        loss = binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if self.name == "class_balanced":
            loss = loss * torch.where(targets > 0.5, self.weights[1], self.weights[0])
        return loss

    def counted(self, labels: Tensor) -> Tensor:
        """Which losses count, (B, A) bool: those of known labels (B, A), -1 where unknown.

        Of exclusive attributes that of the true one alone, −log p by the softmax: cross-entropy.
        """
        return torch.where(self.grouped, labels == 1, labels >= 0)


def class_weights(counts: np.ndarray, beta: float) -> np.ndarray:
    """(2, A) weights of both classes from their ``counts`` (2, A); each attribute's sum is 2.

    A class of n faces weighs as the inverse of its effective number, (1 − β^n) / (1 − β): Cui et
    al., "Class-balanced loss based on effective number of samples" (CVPR 2019), equation 2. β = 0
    weighs both alike, and β near 1 by the inverse of n.
    """
    with np.errstate(divide="ignore"):
        weights = (1 - beta) / -np.expm1(counts * np.log(beta))
    return 2 * weights / weights.sum(axis=0)


def focal(logits: Tensor, targets: Tensor, parameters: LossSettings) -> Tensor:
    """Cross-entropy times (1 − p)^γ, where p is the probability of the true class.

    With ``alpha`` positives weigh α and negatives 1 − α. Lin et al., "Focal loss for dense object
    detection" (ICCV 2017), equations 4 and 5.
    """
    true_logits = torch.where(targets > 0.5, logits, -logits)
    loss = -logsigmoid(true_logits) * (parameters.gamma * logsigmoid(-true_logits)).exp()
    if parameters.alpha is not None:
        loss = loss * torch.where(targets > 0.5, parameters.alpha, 1 - parameters.alpha)
    return loss


def asymmetric(logits: Tensor, targets: Tensor, parameters: LossSettings) -> Tensor:
    """The focal loss with a γ for positives and one for negatives, which a margin shifts.

    A negative's probability counts from ``margin`` on: p_m = max(p − margin, 0), so that what is
    surely negative costs nothing. Ridnik et al., "Asymmetric loss for multi-label classification"
    (ICCV 2021), equations 4 to 7.
    """
    positive = (parameters.gamma_positives * logsigmoid(-logits)).exp() * -logsigmoid(logits)
    # As in the authors' code, no logarithm of less than 1e-8.
    rest = ((-logits).sigmoid() + parameters.margin).clamp(1e-8, 1)  # 1 − p_m
    negative = (1 - rest).clamp(min=1e-8) ** parameters.gamma_negatives * -rest.log()
    return torch.where(targets > 0.5, positive, negative)
