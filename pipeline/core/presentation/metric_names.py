"""Metrics as people read them: one table for the terminal, figures, model card and comparisons."""

NAMES = {
    "accuracy": "accuracy",
    "majority_accuracy": "majority rule",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "average_precision": "average precision",
    "auroc": "AUROC",
    "ece": "calibration error",
    "iou": "mask IoU",
}
SHORT_NAMES = NAMES | {"majority_accuracy": "majority", "balanced_accuracy": "balanced"}
COMPARED = ("accuracy", "balanced_accuracy", "auroc")  # what comparisons show
