"""Metrics as people read them: one table for the terminal, figures, model card and comparisons."""

import pandas as pd

NAMES = {
    "accuracy": "accuracy",
    "majority_accuracy": "majority rule",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "average_precision": "average precision",
    "auroc": "AUROC",
    "ece": "calibration error",
}
MAP_NAMES = {
    "iou": "mask IoU",
    "region_iou": "region IoU",
    "map_energy_positives": "map energy, positives",
    "map_energy_negatives": "map energy, negatives",
    "map_energy_uniform": "map energy, even map",
}
SHORT_NAMES = NAMES | {"majority_accuracy": "majority", "balanced_accuracy": "balanced"}
MAP_SHORT_NAMES = {
    "iou": "mask IoU",
    "region_iou": "regions",
    "map_energy_positives": "energy +",
    "map_energy_negatives": "energy −",
}
MAIN = ("accuracy", "balanced_accuracy", "auroc")  # what is shown where there is little room


def number(value: float | None) -> str:
    """A metric with three decimals; a dash where it has no meaning (None, NaN)."""
    return "–" if pd.isna(value) else f"{value:.3f}"
