"""How well predicted maps lie on their target masks, counted pixel by pixel over many faces."""

import numpy as np
import torch


class MaskTally:
    """Counts that grow batch by batch; nothing of a batch is kept."""

    def __init__(self, attributes: int) -> None:
        self.faces = 0
        self.pixels = 0
        self.counts = np.zeros((3, attributes), np.int64)  # both, map or mask, equal
        self.positives = np.zeros((2, attributes))  # faces with a mask, and the sum of their IoU
        self.empty = np.zeros(attributes, np.int64)  # pixels that an empty map would have right

    def add(self, maps: torch.Tensor, targets: torch.Tensor) -> None:
        """Count ``maps`` (B, A, h, w), masks where above 0.5, against ``targets``, bool."""
        said, pixels = maps > 0.5, (-2, -1)
        both, either = (said & targets).sum(pixels), (said | targets).sum(pixels)
        masked = targets.any(dim=-1).any(dim=-1)
        overlap = torch.where(masked, both / either.clamp(min=1), 0)
        same, empty = (said == targets).sum(pixels), (~targets).sum(pixels)
        self.faces += len(maps)
        self.pixels = maps.shape[-2] * maps.shape[-1]
        self.counts += torch.stack([both, either, same]).sum(dim=1).cpu().numpy()
        self.positives += torch.stack([masked, overlap]).sum(dim=1).cpu().numpy()
        self.empty += empty.sum(dim=0).cpu().numpy()

    def result(self) -> dict[str, np.ndarray]:
        """(A,) each, NaN where nothing was counted.

        ``positives``: faces with a mask. ``iou``: pixels in both over pixels in either, over all
        faces, so that a map where no mask should be counts against it. ``iou_positives``: the
        mean over faces with a mask. ``pixel_accuracy``: pixels that agree; and
        ``pixel_accuracy_empty``: what maps without a pixel would reach.
        """
        both, either, same = self.counts
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "positives": self.positives[0],
                "iou": both / either,
                "iou_positives": self.positives[1] / self.positives[0],
                "pixel_accuracy": same / np.float64(self.faces * self.pixels),
                "pixel_accuracy_empty": self.empty / np.float64(self.faces * self.pixels),
            }
