"""How long evaluation takes but for the network: 20,000 test images, 1,000 resamples.

    python -m bench.evaluate --runs 3

The stage itself runs, from opening the faces to the last file, on a data set of CelebA's size:
labels at CelebA's rate, 20 images a person, images of random bytes. Only the network is left out:
in its place stand logits of a middling model. Prints the median of the runs, also for faces of
unknown people, where images are resampled one by one.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from pipeline import evaluate
from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.faces.store import Face, Faces, write_faces
from pipeline.core.networks import Output

BYTES = 7_000  # a CelebA image's


class SimulatedInference:
    """In place of the network: logits that follow the labels."""

    def __init__(self, *_: object) -> None:
        self.attributes, self.settings = list(ATTRIBUTES), {}

    def keep(self, attributes: list[str]) -> None:
        self.attributes = attributes

    def over(self, faces: Faces, rows: np.ndarray, *_: object) -> Iterator[tuple]:
        noise = np.random.default_rng(1).standard_normal((len(rows), 40))
        logits = 2 * faces.attributes[rows] - 1.5 + 1.5 * noise
        yield rows, None, Output(torch.from_numpy(logits.astype(np.float32)))


def draw(counts: dict[str, int], known: bool) -> Iterator[Face]:
    """Faces of each split, one person after the other."""
    rng, row = np.random.default_rng(0), 0
    for split, count in counts.items():
        labels = rng.random((count, 40)) < np.linspace(0.02, 0.5, 40)
        for own in labels:
            yield Face(f"{row:06d}.jpg", split, row // 20 if known else -1, own, rng.bytes(BYTES))
            row += 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=int, default=160_000)
    parser.add_argument("--images", type=int, default=20_000, help="of valid and of test each")
    parser.add_argument("--resamples", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    evaluate.Inference = SimulatedInference
    counts = {"train": args.train, "valid": args.images, "test": args.images}
    settings = {"min_class": 10, "threshold": "valid", "draws": args.resamples, "seed": 0,
                "groups": [["Blond_Hair", "Male"], ["Male"]],
                "accelerator": "cpu", "precision": "32-true", "batch_size": 64}  # fmt: skip
    for title, known in (("people of 20 images", True), ("people unknown", False)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_faces(folder / "faces", draw(counts, known), (218, 178))
            (folder / "weights").touch()
            flags = (
                f"--weights {folder}/weights --faces {folder}/faces --trained-on {folder}/faces"
                f" --predictions {folder}/predictions.parquet --metrics {folder}/metrics.json"
                f" --table {folder}/metrics.csv --threads {os.cpu_count()}"
            )
            seconds, busy = [], []
            for _ in range(args.runs):
                began, work = time.perf_counter(), time.process_time()
                evaluate.main([*flags.split(), "--settings", json.dumps(settings)])
                seconds.append(time.perf_counter() - began)
                busy.append(time.process_time() - work)
        print(
            f"{args.images:,} test images ({args.train:,} train), {args.resamples:,} resamples,"
            f" {title}: median {statistics.median(seconds):.1f} s of {args.runs} runs"
            f" ({min(seconds):.1f} to {max(seconds):.1f}), {os.cpu_count()} cores;"
            f" {statistics.median(busy):.1f} s of processor time"
        )


if __name__ == "__main__":
    main()
