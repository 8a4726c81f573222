"""Check the demo's results: both models have learned, and mask_guided knows where."""

import json
from pathlib import Path

for model, mask_iou in (("attparsenet", 0.0), ("mask_guided", 0.35)):
    path = Path(f"results/synthetic/{model}/seed-64/on-synthetic/metrics.json")
    found = json.loads(path.read_text())
    assert found["auroc"] >= 0.85, (model, found["auroc"])
    assert found["accuracy"] >= found["majority_accuracy"] + 0.05, (model, found["accuracy"])
    assert found["masks"]["test"]["mean"]["iou"] >= mask_iou, (
        model,
        found["masks"]["test"]["mean"],
    )
