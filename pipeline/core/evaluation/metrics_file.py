"""``metrics.json`` read back, for the weights that it judges and for no others."""

from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import read_json


def read_metrics(path: Path, digest: str) -> dict[str, Any]:
    """What a judgement wrote; a ``UserError`` unless it judged weights of this sha256."""
    metrics = read_json(path, "model", "thresholds")
    if metrics["model"]["weights_sha256"] != digest:
        raise UserError(
            f"{path} judges other weights than those given: give the metrics.json of these"
            " weights, or none."
        )
    return metrics
