"""Find 68 landmarks on every face.

``find`` works on one part of the faces, ``gather`` joins the parts to one table, ``summarise``
describes the table as it is, with what a person has corrected in it. ``points`` is for itself: the
landmarks of every face in a folder of photographs.
"""

import argparse
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.faces.sources.trees import open_photographs
from pipeline.core.faces.store import SPLITS, Faces, open_faces
from pipeline.core.files import csv_rows, replacing, sha256, write_json, write_text, written
from pipeline.core.landmarks import detectors, portraits
from pipeline.core.landmarks.mesh_map import MAPS
from pipeline.core.landmarks.table import (
    COLUMNS,
    POINTS,
    Landmarks,
    read_landmarks,
    read_landmarks_of,
    write_landmarks,
)
from pipeline.core.partition import batched, part_rows

log = logging.getLogger(__name__)

BLOCK = 50  # faces mapped from mesh to points at once, which then takes hardly any time


def find_part(faces: Faces, rows: Sequence[int], cascade: list[detectors.Detector]) -> Landmarks:
    """The landmarks of some rows, read in order."""
    names = [faces.names[row] for row in rows]
    found = list(stage.progress(_find(faces, rows, cascade), len(rows), "landmarks"))
    for name, (_, detector) in zip(names, found, strict=True):
        if not detector:
            log.info("no landmarks on %s", name)
    points = np.reshape([points for points, _ in found], (-1, POINTS, 2))
    return Landmarks(names, points, [detector for _, detector in found])


def _find(
    faces: Faces, rows: Sequence[int], cascade: list[detectors.Detector]
) -> Iterator[tuple[np.ndarray, str]]:
    """The points (68, 2) and the detector of each row."""
    for block in batched(rows, BLOCK):
        found = detectors.find([faces.image(row) for row in block], cascade)
        yield from zip(*found, strict=True)


def gather_parts(faces: Faces, parts: dict[Path, Landmarks]) -> Landmarks:
    """One table from those of the parts, in the order of the faces."""
    names = [name for part in parts.values() for name in part.names]
    if names != faces.names:
        files = " ".join(map(str, parts))
        raise UserError(
            f"the parts hold {len(names)} landmarks of other faces or in another order than the"
            f" {len(faces)} faces: remove {files} and run the same command again."
        )
    points = np.concatenate([part.points for part in parts.values()])
    return Landmarks(names, points, [name for part in parts.values() for name in part.detectors])


def place(landmarks: Landmarks, table: Path, written: Path) -> None:
    """Write the table, unless a person has corrected the one that is there.

    ``written`` keeps the hashes of all tables that were ever written here, one a line: a table with
    another hash is a person's work, which stays.
    """
    known = written.read_text().split() if written.is_file() else []
    if known and table.exists() and sha256(table) not in known:
        log.warning(
            "%s has been changed by hand and is kept, although landmarks were found anew; to"
            " replace it, remove it and run `snakemake --cores 1 %s`",
            table,
            table,
        )
        return
    with replacing(table) as partial:
        write_landmarks(partial, landmarks)
        # Before the table is in place: whatever a kill leaves there is then known.
        write_text(written, "\n".join(dict.fromkeys([*known, sha256(partial)])) + "\n")


def summarise(faces: Faces, landmarks: Landmarks) -> dict[str, Any]:
    """Counts by detector and by split, and the faces without points."""
    found = landmarks.found
    return {
        "images": len(faces),
        "found": int(found.sum()),
        "detectors": dict(sorted(Counter(filter(None, landmarks.detectors)).items())),
        "without_landmarks": {
            split: [faces.names[row] for row in faces.rows(split) if not found[row]]
            for split in SPLITS
        },
    }


def main(argv: list[str] | None = None) -> None:
    args = arguments().parse_args(argv)
    with stage.running(args.log):
        args.run(args)


def arguments() -> argparse.ArgumentParser:
    parser, command = stage.commands(__doc__)
    faces = {"faces": "the folder faces/"}
    what = "find the landmarks of one part of the faces"
    find = command("find", what, **faces, model="face_landmarker.task", out="the part's CSV")
    find.add_argument("--part", required=True, help="such as 2-of-16")
    find.add_argument("--settings", type=stage.settings, required=True)
    find.set_defaults(run=run_find)
    tables = "hashes of the tables written here: no other is replaced"
    gather = command("gather", "join the parts", **faces, out="landmarks.csv", written=tables)
    gather.add_argument("--parts", type=Path, nargs="+", required=True, help="in order")
    gather.add_argument("--done", type=Path, required=True, help="an empty file, written last")
    gather.add_argument("--settings", type=stage.settings, required=True, help="detectors")
    gather.set_defaults(run=run_gather)
    what = "check the table against the faces and count what was found"
    summary = command("summarise", what, **faces, landmarks="landmarks.csv", out="landmarks.json")
    summary.set_defaults(run=run_summarise)
    what = "find the landmarks of every face in any photographs"
    photographs, table = "folder of JPEGs and PNGs", "CSV to write, a row a face"
    points = command("points", what, photographs=photographs, out=table)
    points.add_argument("--model", type=Path, default=portraits.MODEL, help="face_landmarker.task")
    points.add_argument(
        "--map", choices=MAPS, default="fitted", help="from mesh to points (default: fitted)"
    )
    points.set_defaults(run=run_points)
    return parser


def run_find(args: argparse.Namespace) -> None:
    faces = open_faces(args.faces)
    rows = part_rows(args.part, len(faces), shard=1)
    names, mesh_map = args.settings["detectors"], args.settings["map"]
    with detectors.opened(names, args.model, mesh_map) as cascade:
        write_landmarks(args.out, find_part(faces, rows, cascade))


def run_gather(args: argparse.Namespace) -> None:
    faces = open_faces(args.faces)
    parts = {path: read_landmarks(path) for path in args.parts}
    place(gather_parts(faces, parts), args.out, args.written)
    write_text(args.done, "")
    installed = detectors.usable(args.settings["detectors"])
    # Not in the summary: a detector that found nothing more changes nothing that comes after.
    log.info("detectors used: %s", ", ".join(installed))
    for name in set(args.settings["detectors"]) - set(installed):
        log.warning("%s is not installed: the cascade went without it", name)


def run_summarise(args: argparse.Namespace) -> None:
    faces = open_faces(args.faces)
    landmarks = read_landmarks_of(args.landmarks, faces.names, args.faces)
    summary = summarise(faces, landmarks)
    for split, names in summary["without_landmarks"].items():
        log.info("%s: %d faces without landmarks %s", split, len(names), " ".join(names))
    write_json(args.out, summary | {"sha256": sha256(args.landmarks)})


def run_points(args: argparse.Namespace) -> None:
    """A row for each face, and one with the reason for each photograph that has none."""
    photographs, names = open_photographs(args.photographs)
    faults, faces = 0, 0
    with (
        closing(portraits.Finder(args.model, args.map)) as finder,
        csv_rows(args.out, [*portraits.COLUMNS, *COLUMNS[1:-1]]) as write_row,
    ):
        for name in stage.progress(names, len(names), "landmarks", "photograph"):
            found = portraits.found_in(photographs.read(name), finder.points)
            if isinstance(found, str):
                log.info("%s: %s", written(name), found)
                write_row([written(name), *[""] * 5, found, *[""] * 2 * POINTS])
                faults += 1
                continue
            for number, points in enumerate(found, start=1):
                numbers = (f"{value:.3f}" for value in points.T.ravel())
                write_row([written(name), number, *portraits.box_of(points), "", *numbers])
            faces += len(found)
    log.info("%d faces in %d photographs", faces, len(names))
    if faults:
        log.warning(
            "%d of %d photographs have no points: %s says why", faults, len(names), args.out
        )


if __name__ == "__main__":
    main()
