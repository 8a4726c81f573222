"""How many faces of strips and rows of people ``predict`` finds.

    python -m bench.collages --data ATTPARSE_DATA/landmarks68/aligned --model face_landmarker.task

Aligned faces are put together in rows and columns, each picture at their own size and enlarged
three times. A face is found if the middle of one found there is within half a face of its own.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from bench.nme import known_faces
from pipeline.core.geometry import HEIGHT, WIDTH
from pipeline.core.landmarks.portraits import Finder, same

GRIDS = [*[(rows, columns) for rows in range(1, 9) for columns in range(1, 9)][1:], (4, 9), (9, 4)]
SEED = 64


def collage(
    images: list[np.ndarray], truths: np.ndarray, rows: int, columns: int, scale: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """A picture of the first rows × columns images, and their points (N, 68, 2) in it."""
    height, width = images[0].shape[:2]
    lines = [images[first : first + columns] for first in range(0, rows * columns, columns)]
    picture = np.vstack([np.hstack(line) for line in lines])
    if scale > 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    corners = [(width * column, height * row) for row in range(rows) for column in range(columns)]
    points = truths[: len(corners)] + np.array(corners)[:, None]
    return picture, points * scale + (scale - 1) / 2


class Count(NamedTuple):
    """Of the faces of a picture: found, and found once more; others, such as at an image's edge."""

    found: int
    twice: int
    others: int


def count(finder: Finder, picture: np.ndarray, truths: np.ndarray) -> Count:
    boxes = [portrait.box for portrait in finder.find(picture, (HEIGHT, WIDTH))]
    corners = np.array(boxes, float).reshape(-1, 2, 2)
    matches = np.array([[same(box, truth) for truth in truths] for box in corners])
    matches = matches.reshape(-1, len(truths))
    times = matches.sum(axis=0)
    twice = (times - 1).clip(0).sum()
    return Count(int((times > 0).sum()), int(twice), int((~matches.any(axis=1)).sum()))


def measure(
    folder: Path, model: Path, grids: Sequence[tuple[int, int]], scales: Sequence[int]
) -> Iterator[tuple[int, int, int, Count, float]]:
    """Scale, rows, columns, what is found, and seconds of processor time of each picture."""
    images, truths = known_faces(folder)
    random = np.random.default_rng(SEED)
    with closing(Finder(model)) as finder:
        for scale in scales:
            for rows, columns in grids:
                chosen = random.permutation(len(images))[: rows * columns]
                picture = collage([images[i] for i in chosen], truths[chosen], rows, columns, scale)
                began = time.process_time()
                counts = count(finder, *picture)
                yield scale, rows, columns, counts, time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="landmarks68/aligned")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--scales", type=int, nargs="+", default=[1, 3])
    args = parser.parse_args()
    worst, faces, totals = 1.0, 0, np.zeros(3, int)
    for scale, rows, columns, counts, seconds in measure(args.data, args.model, GRIDS, args.scales):
        print(f"×{scale} {rows}×{columns}: {counts} in {seconds:.1f} s", flush=True)
        worst = min(worst, counts.found / (rows * columns))
        faces, totals = faces + rows * columns, totals + counts
    print(
        f"{totals[0]} of {faces} found ({totals[0] / faces:.2%}; in the worst picture {worst:.0%}),"
        f" {totals[1]} twice, and {totals[2]} others"
    )


if __name__ == "__main__":
    main()
