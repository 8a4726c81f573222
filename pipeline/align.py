"""Warp photographs to CelebA's aligned geometry.

Each photograph of a folder becomes one aligned face, a JPEG of the same name. The five points come
from ``--points`` (in the form of CelebA's list_landmarks_celeba.txt) or, for a photograph without a
row there, from the landmark detector: of the face nearest to the photograph's box in ``--boxes``
(in the form of list_bbox_celeba.txt), or nearest to the centre. The CSV ``--table`` has a row for
each photograph: where its points came from, and the matrix (row by row) that maps (x, y, 1) to the
aligned image, or the reason why it was not aligned.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.faces.sources.text import read_numbers
from pipeline.core.faces.sources.trees import open_photographs
from pipeline.core.files import csv_rows, replacing, written
from pipeline.core.geometry import HEIGHT, WIDTH
from pipeline.core.landmarks.detectors import Detector
from pipeline.core.landmarks.given_points import require_convention
from pipeline.core.landmarks.photographs import Aligned, align_photograph, open_detectors

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("--photographs", type=Path, required=True, help="folder of JPEGs and PNGs")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, aligned JPEGs")
    parser.add_argument("--table", type=Path, required=True, help="CSV to write, a row for each")
    parser.add_argument("--points", type=Path, help="list of five points of each photograph")
    parser.add_argument("--boxes", type=Path, help="list of the box of the face in each photograph")
    parser.add_argument("--model", type=Path, help="MediaPipe's, for photographs without points")
    parser.add_argument(
        "--detect-unfit",
        action="store_true",
        help="find the face where given points or a box do not fit, instead of an error",
    )
    parser.add_argument(
        "--size", type=int, nargs=2, default=(HEIGHT, WIDTH), metavar=("HEIGHT", "WIDTH")
    )
    args = parser.parse_args(argv)
    with stage.running(args.log), open_detectors(args.model) as detectors:
        align(args, detectors)


def align(args: argparse.Namespace, detectors: Sequence[Detector]) -> None:
    """Align every photograph of a folder; the table has a row for each, aligned or not."""
    points = read_numbers(args.points, (5, 2)) if args.points else {}
    boxes = read_numbers(args.boxes, (4,)) if args.boxes else {}
    require_convention(np.array(list(points.values())).reshape(-1, 5, 2))
    out, table = args.out.resolve(), args.table.resolve()
    require_free(out, table)
    images, names = open_photographs(args.photographs)
    header = ["image_name", "points", *(f"m_{i}" for i in range(6)), "reason"]
    # The folder comes last: until it is there, the same command may be run again.
    with replacing(out) as folder, csv_rows(table, header) as write_row:
        folder.mkdir()
        for name in stage.progress(names, len(names), "aligning", "photograph"):
            given = images.read(name), points.get(name), boxes.get(name)
            aligned = align_photograph(*given, tuple(args.size), detectors, args.detect_unfit)
            if isinstance(aligned, Aligned):
                aligned = write_new(aligned, folder, name)
            if isinstance(aligned, str):
                log.info("%s %s", written(name), aligned)
                write_row([written(name), "", *[""] * 6, aligned])
            else:
                matrix = [f"{round(m, 6) + 0:.6f}" for m in aligned.matrix.ravel()]
                write_row([written(name), aligned.points, *matrix, ""])


def write_new(aligned: Aligned, folder: Path, name: str) -> Aligned | str:
    """Write an aligned photograph under its name as a JPEG; a reason if that file exists."""
    path = folder / Path(name).with_suffix(".jpg")
    if path.exists():
        return "would become the same JPEG as another photograph; rename one"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(aligned.encoded)
    return aligned


def require_free(out: Path, table: Path) -> None:
    """``UserError`` if a result would overwrite an existing folder, such as the photographs."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"--out {out} exists and is not empty: name a new folder.")
    if table.is_dir() or out in (table, *table.parents):
        raise UserError(f"--table {table} is a folder, or in --out {out}: name a file beside it.")


if __name__ == "__main__":
    main()
