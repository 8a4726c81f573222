"""Labels that a model contradicts, the surest contradiction first: candidates for a second look."""

import numpy as np
import pandas as pd

from pipeline.core.evaluation.metrics import probabilities
from pipeline.core.evaluation.predictions import Predictions


def label_issues(predictions: Predictions) -> pd.DataFrame:
    """A row for each known label that is less likely than not, the least likely first.

    Columns ``image_name``, ``split``, ``attribute``, ``value`` (the label, 1 or 0),
    ``probability`` (predicted, of 1) and ``confidence`` (predicted, of the label). The order is by
    self-confidence, the label quality score of Kuan and Mueller, "Model-agnostic label quality
    scoring to detect real-world label errors" (ICML DataPerf workshop 2022), attribute by
    attribute; cleanlab's score for one class of a multi-label problem is the same number.
    """
    labels, predicted = predictions.model_labels, probabilities(predictions.logits)
    confidence = np.where(labels == 1, predicted, 1 - predicted)
    rows, columns = np.nonzero((labels >= 0) & (confidence < 0.5))
    order = np.argsort(confidence[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    return pd.DataFrame(
        {
            "image_name": np.array(predictions.names, object)[rows],
            "split": predictions.splits[rows],
            "attribute": np.array(predictions.attributes, object)[columns],
            "value": labels[rows, columns],
            "probability": predicted[rows, columns],
            "confidence": confidence[rows, columns],
        }
    )
