"""Warp photographs to CelebA's aligned geometry.

Each photograph of a folder becomes one aligned face, a JPEG under its name. The five points come
from ``--points`` (in the form of CelebA's list_landmarks_celeba.txt) or, for a photograph that is
not in it, from the landmark detector, on the face nearest its box in ``--boxes`` (in the form of
list_bbox_celeba.txt) or nearest the middle. ``--table`` tells for each photograph where its points
came from and the matrix (row by row) that takes (x, y, 1) to the aligned image.
"""

import csv
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.faces.sources.images import FolderImages
from pipeline.core.faces.sources.numbers import read_numbers
from pipeline.core.files import replacing, written
from pipeline.core.geometry import HEIGHT, WIDTH, Size
from pipeline.core.landmarks.detectors import Detector
from pipeline.core.landmarks.photographs import align_photograph, may_be_image, open_detectors

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("--photographs", type=Path, required=True, help="folder of JPEGs and PNGs")
    parser.add_argument("--out", type=Path, required=True, help="folder to make, aligned JPEGs")
    parser.add_argument("--table", type=Path, required=True, help="CSV of what was done with each")
    parser.add_argument("--points", type=Path, help="five points a photograph")
    parser.add_argument("--boxes", type=Path, help="the box of the face in each photograph")
    parser.add_argument(
        "--model", type=Path, help="MediaPipe's face_landmarker.task, where points are missing"
    )
    parser.add_argument(
        "--size", type=int, nargs=2, default=(HEIGHT, WIDTH), metavar=("HEIGHT", "WIDTH")
    )
    args = parser.parse_args(argv)
    with stage.running(args.log), open_detectors(args.model) as found:
        points = read_numbers(args.points, 10) if args.points else {}
        boxes = read_numbers(args.boxes, 4) if args.boxes else {}
        align_folder(args.photographs, args.out, args.table, points, boxes, tuple(args.size), found)


def align_folder(
    photographs: Path,
    out: Path,
    table: Path,
    points: dict[str, np.ndarray],
    boxes: dict[str, np.ndarray],
    size: Size,
    detectors: Sequence[Detector],
) -> None:
    """Align every photograph of a folder; the table has a row for each, aligned or not.

    ``points`` and ``boxes`` hold (10,) x and y of the five points and (4,) left, top, width and
    height, by name.
    """
    if not photographs.is_dir():
        raise UserError(f"the folder of photographs {photographs} is not there.")
    out, table = out.resolve(), table.resolve()
    require_free(out, table)
    images = FolderImages(photographs)
    names = sorted(name for name in images.names if may_be_image(name))
    with (
        replacing(table) as partial,
        partial.open("w", newline="", encoding="utf-8") as stream,
        replacing(out) as folder,
    ):
        folder.mkdir()
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["image_name", "points", *(f"m_{i}" for i in range(6)), "reason"])
        for name in stage.progress(names, len(names), "aligning", "photograph"):
            given = np.reshape(points[name], (5, 2)) if name in points else None
            done = align_photograph(images.read(name), given, boxes.get(name), size, detectors)
            path = folder / Path(name).with_suffix(".jpg")
            if not isinstance(done, str) and path.exists():
                done = "would become the same JPEG as another photograph; rename one"
            if isinstance(done, str):
                log.info("%s %s", written(name), done)
                rows.writerow([written(name), "", *[""] * 6, done])
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(done.encoded)
            matrix = [f"{round(m, 6) + 0:.6f}" for m in done.matrix.ravel()]
            rows.writerow([written(name), done.points, *matrix, ""])


def require_free(out: Path, table: Path) -> None:
    """What stands where the results go, such as the photographs, is not for us to delete."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"--out {out} is there and not empty: name a folder that is to be made.")
    if table.is_dir() or out in (table, *table.parents):
        raise UserError(f"--table {table} is a folder, or in --out {out}: name a file beside it.")


if __name__ == "__main__":
    main()
