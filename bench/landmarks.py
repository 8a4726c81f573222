"""How exact, how complete and how fast the landmark detectors are.

    python -m bench.landmarks --data ATTPARSE_DATA/landmarks68/aligned --model face_landmarker.task
    python -m bench.landmarks --data ATTPARSE_DATA/landmarks68/wild --jitter 0.1 --model …

The folder has images and ``landmarks68.csv`` with hand-placed points. NME is normalised by the
outer eye corners, over the faces that a detector found; a face that it did not find counts as a
failure. Without ``--jitter`` the faces are aligned ones; with it each is looked for in the box
around its points, moved and scaled at random by this share. The last table compares the cascade
with a bare loop over MediaPipe's own call on the same decoded images, in one run.

The fitted map saw these faces: what it does on others says ``bench.fit_mesh_map``. dlib's model
saw them too.
"""

import argparse
import time
from pathlib import Path

import cv2
import mediapipe
import numpy as np
import pandas as pd

from pipeline.core import detectors
from pipeline.core.detectors.mediapipe_mesh import open_landmarker
from pipeline.core.landmark_table import COLUMNS
from pipeline.core.nme import INNER, PARTS, area_under_curve, failure_rate, nme

SEED = 64


def load(folder: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """The images of a folder (H, W, 3) and the true points (N, 68, 2)."""
    table = pd.read_csv(folder / "landmarks68.csv")
    flat = table[COLUMNS[1:-1]].to_numpy()
    names = [str(folder / name) for name in table.image_name]
    images = [cv2.imread(name, cv2.IMREAD_COLOR_RGB) for name in names]
    return images, np.stack([flat[:, :68], flat[:, 68:]], axis=-1)


def jittered_boxes(truths: np.ndarray, jitter: float) -> list[detectors.Box]:
    """The boxes around the points, each side moved by up to a share of the box's size."""
    low, high = truths.min(axis=1), truths.max(axis=1)
    moves = np.random.default_rng(SEED).uniform(-jitter, jitter, (2, len(truths), 2))
    corners = np.concatenate([low, high], axis=1)
    moved = corners + np.concatenate(list(moves), axis=1) * np.tile(high - low, 2)
    return [tuple(map(float, box)) for box in moved]


def judge(found: list[np.ndarray | None], truths: np.ndarray) -> dict[str, float]:
    """One row of the table: a detector's errors in percent."""
    whole = np.full(len(truths), np.inf)
    has = np.array([points is not None for points in found])
    errors = nme(np.stack([points for points in found if points is not None]), truths[has])
    whole[has] = errors.mean(axis=1)
    row = {"found": float(has.mean()), "NME": errors.mean(), "inner": errors[:, INNER].mean()}
    row |= {part: errors[:, where].mean() for part, where in PARTS.items()}
    row |= {"worst face": whole[has].max(), "fails 8%": failure_rate(whole, 0.08)}
    row |= {"fails 10%": failure_rate(whole, 0.10), "AUC 8%": area_under_curve(whole, 0.08)}
    return {name: 100 * value for name, value in row.items()}


def main() -> None:
    args = arguments()
    images, truths = load(args.data)
    aligned = args.jitter is None
    boxes = [None] * len(images) if aligned else jittered_boxes(truths, args.jitter)
    rows = {}
    for title, names, mesh_map in (
        ("mediapipe, hand-picked map", ["mediapipe"], "hand_picked"),
        ("mediapipe, fitted map", ["mediapipe"], "fitted"),
        ("mediapipe_enlarged", ["mediapipe_enlarged"], "fitted"),
        ("dlib", ["dlib"], "fitted"),
        ("the cascade", list(detectors.DETECTORS), "fitted"),
    ):
        with detectors.opened(names, args.model, mesh_map) as cascade:
            began = time.process_time()
            pairs = zip(images, boxes, strict=True)
            found = [detectors.find(image, cascade, box)[0] for image, box in pairs]
            rows[title] = judge(found, truths)
            rows[title]["images/core-s"] = len(images) / (time.process_time() - began)
    print(pd.DataFrame(rows).T.round(2).to_string())
    if aligned:
        print(compare_speed(images, args))


def compare_speed(images: list[np.ndarray], args: argparse.Namespace) -> str:
    """The median of the cascade's time an image over that of MediaPipe's own call, turn by turn."""
    ratios = []
    with detectors.opened(list(detectors.DETECTORS), args.model, "fitted") as cascade:
        landmarker = open_landmarker(args.model, confidence=0.5)
        for _ in range(args.turns):
            began = time.process_time()
            for image in images:
                landmarker.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, image))
            middle = time.process_time()
            for image in images:
                detectors.find(image, cascade)
            ratios.append((middle - began) / (time.process_time() - middle))
        landmarker.close()
    return (
        f"the cascade reaches {np.median(ratios):.2f} of the speed of MediaPipe's own call"
        f" (median of {args.turns} turns of {len(images)} images)"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--jitter", type=float, help="of whole photographs: 0.1")
    parser.add_argument("--turns", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
