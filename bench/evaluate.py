"""How long judging takes once the network has spoken: 20,000 images, 40 attributes, 1,000 draws.

    python bench/evaluate.py --runs 3

Labels at CelebA's rate, 20 images a person, logits of a middling model. Prints the median of the
runs, and that of images drawn one by one, where people are unknown.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.predictions import Predictions
from pipeline.evaluate import assess


def predictions(images: int, a_person: int) -> Predictions:
    """Drawn labels and logits; ``a_person`` 0 leaves people unknown."""
    rng = np.random.default_rng(0)
    labels = rng.random((images, 40)) < np.linspace(0.02, 0.5, 40)
    logits = (2 * labels - 1.5 + 1.5 * rng.standard_normal(labels.shape)).astype(np.float32)
    return Predictions(
        names=[f"{row:06d}.jpg" for row in range(images)],
        splits=np.full(images, "test"),
        identities=np.arange(images) // a_person if a_person else np.full(images, -1),
        labels=labels,
        attributes=list(ATTRIBUTES),
        logits=logits,
        thresholds=np.full(40, 0.5),
        train_positives=labels.mean(axis=0),
        weights="",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    settings = {"min_class": 10, "draws": args.draws, "seed": 0, "groups": [["Blond_Hair", "Male"]]}
    for title, a_person in (("people of 20 images", 20), ("people unknown", 0)):
        judged, seconds, busy = predictions(args.images, a_person), [], []
        for _ in range(args.runs):
            began, work = time.perf_counter(), time.process_time()
            assess(judged, settings)
            seconds.append(time.perf_counter() - began)
            busy.append(time.process_time() - work)
        print(
            f"{args.images} images, {args.draws} draws, {title}: median"
            f" {statistics.median(seconds):.1f} s of {args.runs} runs"
            f" ({min(seconds):.1f} to {max(seconds):.1f}), {os.cpu_count()} cores;"
            f" {statistics.median(busy):.1f} s of processor time"
        )


if __name__ == "__main__":
    main()
