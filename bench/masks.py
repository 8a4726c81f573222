"""How fast masks are drawn, stored and read, against AttParseNet's own way, in one run.

The reference is AttParseNet's way, written anew: for each attribute its coordinates are fetched
one by one from a DataFrame and its regions filled, and each of the 40 masks becomes a JPEG; its
loader decodes 40 files a face into float tensors, joins them one to the other, crops, resizes
and flips them. It is not tuned down: a scalar is fetched by ``at``, pandas' fastest way, and only
the points that a positive attribute needs; small masks are flipped in place of large ones.

    python -m bench.masks --faces results/celeba/faces --landmarks results/celeba/landmarks.csv

Everything runs in one thread. Each measure is repeated (``--repeats``), all in turn, and its
medians reported: images a second of CPU time of this process (a core's own work, whatever else
the machine does) and a second on the clock.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
import zarr

from pipeline.core.attributes import ATTRIBUTES, CELEBA, REGIONS
from pipeline.core.faces.store import Faces, open_faces
from pipeline.core.landmarks.table import Landmarks, read_landmarks
from pipeline.core.masks.regions import (
    POLYGONS,
    attribute_masks,
    codes,
    fill_polygons,
    region_polygons,
)
from pipeline.core.masks.store import finish, open_masks, write_shard
from pipeline.core.training.transforms import Batch, draw_augmentation, masks_for, nearest

CODES = codes(CELEBA.table)
MAPS = (96, 76)  # AttParseNet's maps of a 218×178 face
BATCH = 40
SHIFT = 8
SHARD = 1024
# The landmarks that decide a region, besides its corners.
ALSO = {
    "nose": {31, 32, 34, 35},
    "top_of_head": {8, 33},
    "left_ear": {16, 17, 26},
    "right_ear": {0, 17, 26},
    "neck": {33, 58},
}


class Reference:
    """AttParseNet's way: 40 image files a face."""

    def __init__(self, landmarks: Landmarks, labels: np.ndarray, size: tuple[int, int]) -> None:
        flat = landmarks.points.astype(np.int32)
        columns = [f"{axis}_{i}" for axis in "xy" for i in range(68)]
        values = np.concatenate([flat[..., 0], flat[..., 1]], axis=1)
        self.frame = pd.DataFrame(values, columns=columns, index=landmarks.names)
        self.names, self.labels, self.size = landmarks.names, labels, size
        self.needs = {
            attribute: sorted(
                set().union(*({c for c in POLYGONS[r] if c < 68} | ALSO.get(r, set()) for r in rs))
            )
            for attribute, rs in CELEBA.to_json().items()
        }

    def mask(self, row: int, attribute: str) -> np.ndarray:
        points = np.zeros((68, 2))
        for i in self.needs[attribute]:
            points[i] = [self.frame.at[self.names[row], f"{axis}_{i}"] for axis in "xy"]  # noqa: PD008
        mask = np.zeros(self.size, np.uint8)
        polygons = region_polygons(points, self.size)
        for region in CELEBA.to_json()[attribute]:
            if region in polygons:
                cv2.fillPoly(mask, [polygons[region]], 255)
        return mask

    def draw(self, row: int) -> list[np.ndarray]:
        black = np.zeros(self.size, np.uint8)
        return [
            self.mask(row, name) if self.labels[row, k] else black
            for k, name in enumerate(ATTRIBUTES)
        ]

    def write(self, row: int, folder: Path) -> None:
        for attribute, mask in zip(ATTRIBUTES, self.draw(row), strict=True):
            cv2.imwrite(str(folder / f"{row}_{attribute}.jpg"), mask)

    def read(self, row: int, folder: Path) -> list[np.ndarray]:
        names = (str(folder / f"{row}_{attribute}.jpg") for attribute in ATTRIBUTES)
        return [cv2.imread(name, cv2.IMREAD_GRAYSCALE) for name in names]

    def batch(self, rows: np.ndarray, folder: Path, random: np.random.Generator) -> torch.Tensor:
        height, width = self.size
        faces = []
        for row in rows:
            masks = joined(
                [torch.from_numpy(m)[None].float() / 255 for m in self.read(row, folder)]
            )
            top, left = (int(n) for n in random.integers(0, 2 * SHIFT, 2))
            masks = masks.narrow(1, top, height - 2 * SHIFT).narrow(2, left, width - 2 * SHIFT)
            small = [cv2.resize(m.numpy(), MAPS[::-1], interpolation=0) for m in masks]
            masks = joined([torch.from_numpy(mask)[None] for mask in small])
            faces.append(masks.flip(2) if random.random() < 0.5 else masks)
        return torch.stack(faces)


def joined(masks: list[torch.Tensor]) -> torch.Tensor:
    """Masks (1, h, w) put one after the other by concatenation, as the published loader does."""
    whole = masks[0]
    for ten in range(1, len(masks), 10):
        some = masks[ten]
        for mask in masks[ten + 1 : ten + 10]:
            some = torch.cat((some, mask))
        whole = torch.cat((whole, some))
    return whole


class Ours:
    """The way of the pipeline, from points to a batch."""

    def __init__(self, landmarks: Landmarks, faces: Faces) -> None:
        self.points, self.found = landmarks.points, landmarks.found
        self.labels, self.names, self.size = faces.attributes, faces.names, faces.size
        self.random = np.random.default_rng(0)
        self.room = np.empty((BATCH, len(ATTRIBUTES), *MAPS), bool)  # used again for each batch
        self.generator = torch.Generator().manual_seed(0)
        self.table = torch.from_numpy(CELEBA.table)

    def draw(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        bits = self.regions(row)
        return attribute_masks(bits, self.labels[row], CODES), bits

    def regions(self, row: int) -> np.ndarray:
        return fill_polygons(region_polygons(self.points[row], self.size), self.size)

    def write(self, count: int, store: Path) -> None:
        for first in range(0, count, SHARD):
            rows = range(first, min(first + SHARD, count))
            write_shard(store, first // SHARD, SHARD, (self.draw(row) for row in rows))
        rest = self.names[:count], self.found[:count], self.labels[:count]
        finish(store, *rest, self.size, SHARD)

    def batch(self, rows: np.ndarray, bits: np.ndarray) -> torch.Tensor:
        settings = {"augmentation": {"flip": True, "shift": SHIFT, "brightness": 0, "contrast": 0}}
        change = draw_augmentation(len(rows), settings, self.generator)
        batch = Batch(
            images=torch.empty(0),
            labels=torch.from_numpy(self.labels[rows]),
            bits=torch.from_numpy(bits).view(torch.int16),
            found=torch.from_numpy(self.found[rows]),
            counted=torch.ones(len(rows), dtype=torch.bool),
        )
        return masks_for(batch, self.table, MAPS, change)

    def numpy_batch(self, rows: np.ndarray, bits: np.ndarray) -> np.ndarray:
        """The same without torch, face by face, into the same room: for any framework."""
        made = self.room[: len(rows)]
        down, across = (nearest(n, m).numpy() for n, m in zip(self.size, MAPS, strict=True))
        for masks, face, row in zip(made, bits, rows, strict=True):
            top, left = self.random.integers(-SHIFT, SHIFT + 1, 2)
            columns = across[::-1] if self.random.random() < 0.5 else across
            view = np.ix_(
                (down + top).clip(0, self.size[0] - 1), (columns + left).clip(0, self.size[1] - 1)
            )
            masks[:] = attribute_masks(face[view], self.labels[row], CODES)
        return made

    def drawn_bits(self, rows: np.ndarray) -> np.ndarray:
        return np.stack([self.regions(row) for row in rows])


def batches(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]


def measures(
    faces: Faces, landmarks: Landmarks, folder: Path, few: int, many: int
) -> dict[str, tuple[int, Callable[[], Any]]]:
    """Name → (images that it works on, what to time). The order makes files before reading."""
    random = np.random.default_rng(0)
    reference = Reference(landmarks, faces.attributes, faces.size)
    ours = Ours(landmarks, faces)
    jpegs, store = folder / "jpegs", folder / "masks.zarr"
    jpegs.mkdir()
    for row in range(few):
        reference.write(row, jpegs)
    ours.write(many, store)
    masks, group = open_masks(store), zarr.open_group(store, mode="r")
    shuffled = random.permutation(many)
    in_blocks = np.concatenate([random.permutation(b) for b in np.array_split(np.arange(many), 4)])
    some, ordered = shuffled[:few], np.arange(few)

    def ours_batches(rows: np.ndarray, bits: Callable[[np.ndarray], np.ndarray]) -> None:
        for part in batches(rows):
            ours.batch(part, bits(part))

    def rewrite() -> None:
        shutil.rmtree(folder / "again.zarr", ignore_errors=True)
        ours.write(many, folder / "again.zarr")

    return {
        "draw: reference": (few, lambda: [reference.draw(row) for row in range(few)]),
        "draw: regions": (many, lambda: ours.drawn_bits(shuffled)),
        "draw: regions and 40 masks": (many, lambda: [ours.draw(row) for row in shuffled]),
        "landmarks to files: reference": (
            few, lambda: [reference.write(row, jpegs) for row in range(few)]
        ),
        "landmarks to store": (many, rewrite),
        "read masks, random: reference": (
            few, lambda: [reference.read(row % few, jpegs) for row in some]
        ),
        "read masks, random: zarr": (few, lambda: [group["masks"][row] for row in some]),
        "read masks, random": (few, lambda: [masks.masks(int(row)) for row in some]),
        "read masks, in order: zarr": (few, lambda: group["masks"][0:few]),
        "read masks, in order": (few, lambda: [masks.masks(row) for row in ordered]),
        "read regions, random: zarr": (few, lambda: [group["regions"][row] for row in some]),
        "read regions, random": (many, lambda: [masks.region_bits(b) for b in batches(shuffled)]),
        "read regions, in order: zarr": (many, lambda: group["regions"][0:many]),
        "read regions, in order": (
            many, lambda: [masks.region_bits(b) for b in batches(np.arange(many))]
        ),
        "batch: reference": (
            few, lambda: [reference.batch(b % few, jpegs, random) for b in batches(some)]
        ),
        "batch: store, one by one": (many, lambda: ours_batches(shuffled, masks.region_bits)),
        "batch: store, block by block": (many, lambda: ours_batches(in_blocks, masks.region_bits)),
        "batch: store, one by one, NumPy": (
            many,
            lambda: [ours.numpy_batch(b, masks.region_bits(b)) for b in batches(shuffled)],
        ),
        "batch: drawn from points": (many, lambda: ours_batches(shuffled, ours.drawn_bits)),
    }  # fmt: skip


def on_disk(folder: Path, images: int) -> dict[str, float]:
    """Bytes and files an image."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return {"bytes_an_image": round(size / images, 1), "files_an_image": len(files) / images}


def clipped(landmarks: Landmarks, size: tuple[int, int]) -> dict[str, dict[str, int]]:
    """Region → faces on which it leaves the image, and on which the published code drops it."""
    counts = {name: {"clipped": 0, "dropped as published": 0} for name in REGIONS}
    for points in landmarks.points[landmarks.found]:
        for name, polygon in region_polygons(points, size).items():
            left = (polygon < 0).any()
            counts[name]["clipped"] += int(left or (polygon >= size[::-1]).any())
            drops = left and name in {"top_of_head", "left_ear", "right_ear"}
            counts[name]["dropped as published"] += int(drops)
    return {name: count for name, count in counts.items() if count["clipped"]}


def run(faces: Faces, landmarks: Landmarks, few: int, many: int, repeats: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        timed = measures(faces, landmarks, folder, few, many)
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
        for _ in range(repeats):
            for name, (_, work) in timed.items():
                began = time.process_time(), time.perf_counter()
                work()
                ended = time.process_time(), time.perf_counter()
                seconds[name].append((ended[0] - began[0], ended[1] - began[1]))
        disk = {
            "reference": on_disk(folder / "jpegs", few),
            "store": on_disk(folder / "masks.zarr", many),
        }
    return {
        "images_a_second": {
            name: {
                "a_core": round(timed[name][0] / statistics.median(cpu for cpu, _ in times)),
                "on_the_clock": round(
                    timed[name][0] / statistics.median(wall for _, wall in times)
                ),
                "images": timed[name][0],
            }
            for name, times in seconds.items()
        },
        "repeats": repeats,
        "on_disk": disk,
        "regions_that_leave_the_image": clipped(landmarks, faces.size),
        "faces_with_landmarks": int(landmarks.found.sum()),
    }


def report(result: dict[str, Any]) -> str:
    lines = [
        f"{'images/s, median of ' + str(result['repeats']):34}{'a core':>9}{'clock':>9}{'ratio':>8}"
    ]
    rates = result["images_a_second"]
    base = 1.0
    for name, rate in rates.items():
        base = rate["a_core"] if "reference" in name else base
        numbers = f"{rate['a_core']:9,}{rate['on_the_clock']:9,}"
        lines.append(f"{name:34}{numbers}{rate['a_core'] / base:7.1f}×")
    for name, disk in result["on_disk"].items():
        files = disk["files_an_image"]
        lines.append(f"{name}: {disk['bytes_an_image']:,} bytes and {files:.4f} files an image")
    for name, counts in result["regions_that_leave_the_image"].items():
        lines.append(f"{name}: {counts} of {result['faces_with_landmarks']} faces")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--landmarks", type=Path, required=True)
    parser.add_argument("--few", type=int, default=120, help="images for the slow measures")
    parser.add_argument("--many", type=int, default=2000, help="images for the fast measures")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    faces, landmarks = open_faces(args.faces), read_landmarks(args.landmarks)
    many = min(args.many, len(faces))
    result = run(faces, landmarks, min(args.few, many), many, args.repeats)
    print(report(result))
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
