"""Find 68 landmarks on every face.

``find`` works on one part of the faces, ``gather`` joins the parts to one table, ``sheet`` draws
contact sheets for the eye.
"""

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.faces.store import SPLITS, Faces, open_faces
from pipeline.core.files import remove, replacing, sha256, write_json
from pipeline.core.landmarks import detectors
from pipeline.core.landmarks.table import POINTS, Landmarks, read_landmarks, write_landmarks
from pipeline.core.partition import batched, part_rows

log = logging.getLogger(__name__)

AT_ONCE = 50  # faces: what follows the network is then not worth mentioning
COLUMNS_A_SHEET = 6


def find_part(faces: Faces, rows: Sequence[int], cascade: list[detectors.Detector]) -> Landmarks:
    """The landmarks of some rows, read in order."""
    points, names = np.full((len(rows), POINTS, 2), np.nan), [""] * len(rows)
    ticking = stage.progress(range(len(rows)), len(rows), "landmarks")
    for block in batched(ticking, AT_ONCE):
        at = slice(block[0], block[-1] + 1)
        points[at], names[at] = detectors.find([faces.image(rows[i]) for i in block], cascade)
    for row, name in zip(rows, names, strict=True):
        if not name:
            log.info("no landmarks on %s", faces.names[row])
    return Landmarks([faces.names[row] for row in rows], points, names)


def gather_parts(faces: Faces, parts: Sequence[Landmarks]) -> Landmarks:
    """One table from those of the parts, in the order of the faces."""
    names = [name for part in parts for name in part.names]
    if names != faces.names:
        raise UserError(
            f"the parts hold {len(names)} landmarks of other faces or in another order than the"
            f" {len(faces)} faces; make the parts again from these faces."
        )
    points = np.concatenate([part.points for part in parts])
    return Landmarks(names, points, [name for part in parts for name in part.detectors])


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


def implausibility(points: np.ndarray) -> np.ndarray:
    """(N,) how unlike the mean face each face (N, 68, 2) is, place and all; NaN where no points.

    The mean distance of the points from their median place, in units of the median of that.
    """
    with np.errstate(invalid="ignore"):
        usual = np.nanmedian(points, axis=0)
        apart = np.linalg.norm(points - usual, axis=-1).mean(axis=1)
    return np.asarray(apart / np.nanmedian(apart))


def choose_faces(landmarks: Landmarks, count: int, seed: int) -> dict[str, np.ndarray]:
    """Rows for each sheet: at random, by detector, the least plausible, those without points."""
    generator = np.random.default_rng(seed)
    names = np.array(landmarks.detectors)
    groups = {"random": np.arange(len(names))}
    groups |= {name: np.flatnonzero(names == name) for name in sorted(set(names)) if name}
    groups["without_landmarks"] = np.flatnonzero(~landmarks.found)
    chosen = {
        title: np.sort(generator.choice(rows, min(count, len(rows)), replace=False))
        for title, rows in groups.items()
        if len(rows)
    }
    found = np.flatnonzero(landmarks.found)
    if not len(found):
        return chosen
    odd = np.argsort(-implausibility(landmarks.points[found]), kind="stable")[:count]
    return chosen | {"least_plausible": found[odd]}


def draw_sheet(faces: Faces, landmarks: Landmarks, rows: np.ndarray) -> np.ndarray:
    """Faces with their points and names, six a row and twice as large -> (H, W, 3) RGB."""
    tiles = []
    for row in rows:
        tile = cv2.resize(faces.image(row), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        for x, y in landmarks.points[row][np.isfinite(landmarks.points[row]).all(axis=1)]:
            place = (round(2 * x + 0.5), round(2 * y + 0.5))
            cv2.circle(tile, place, 2, (0, 255, 0), cv2.FILLED, cv2.LINE_AA)
        cv2.putText(tile, faces.names[row], (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 0))
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS_A_SHEET)
    lines = [tiles[i : i + COLUMNS_A_SHEET] for i in range(0, len(tiles), COLUMNS_A_SHEET)]
    return np.vstack([np.hstack(line) for line in lines])


def main(argv: list[str] | None = None) -> None:
    args = arguments().parse_args(argv)
    with stage.running(args.log):
        args.run(args)


def arguments() -> argparse.ArgumentParser:
    parser, command = stage.commands(__doc__)
    find = command("find", "find the landmarks of one part of the faces")
    find.add_argument("--faces", type=Path, required=True)
    find.add_argument("--model", type=Path, required=True, help="face_landmarker.task")
    find.add_argument("--part", required=True, help="such as 2-of-16")
    find.add_argument("--out", type=Path, required=True, help="the part's CSV")
    find.add_argument("--settings", type=stage.settings, required=True)
    find.set_defaults(run=run_find)
    gather = command("gather", "join the parts")
    gather.add_argument("--faces", type=Path, required=True)
    gather.add_argument("--parts", type=Path, nargs="+", required=True, help="in order")
    gather.add_argument("--out", type=Path, required=True, help="landmarks.csv")
    gather.add_argument("--summary", type=Path, required=True, help="landmarks.json")
    gather.add_argument("--settings", type=stage.settings, required=True, help="detectors")
    gather.set_defaults(run=run_gather)
    sheet = command("sheet", "draw contact sheets: real faces, not to be shared")
    sheet.add_argument("--faces", type=Path, required=True)
    sheet.add_argument("--landmarks", type=Path, required=True, help="landmarks.csv")
    sheet.add_argument("--out", type=Path, required=True, help="folder of the PNG files")
    sheet.add_argument(
        "--count", type=stage.at_least(1), default=36, help="faces a sheet (%(default)s)"
    )
    sheet.add_argument("--seed", type=int, default=64, help="of the random faces (%(default)s)")
    sheet.set_defaults(run=run_sheet)
    return parser


def run_find(args: argparse.Namespace) -> None:
    faces = open_faces(args.faces)
    rows = part_rows(args.part, len(faces), shard=1)
    names, mesh_map = args.settings["detectors"], args.settings["map"]
    with detectors.opened(names, args.model, mesh_map) as cascade:
        write_landmarks(args.out, find_part(faces, rows, cascade))


def run_gather(args: argparse.Namespace) -> None:
    faces = open_faces(args.faces)
    landmarks = gather_parts(faces, [read_landmarks(path) for path in args.parts])
    write_landmarks(args.out, landmarks)
    asked = detectors.usable(args.settings["detectors"])
    # In no summary: who was asked and found nothing more changes nothing that comes after.
    log.info("asked: %s", ", ".join(asked))
    for name in set(args.settings["detectors"]) - set(asked):
        log.warning("%s is not installed: the cascade went without it", name)
    summary = summarise(faces, landmarks)
    for split, names in summary["without_landmarks"].items():
        log.info("%s: %d faces without landmarks %s", split, len(names), " ".join(names))
    write_json(args.summary, summary | {"sha256": sha256(args.out)})


def run_sheet(args: argparse.Namespace) -> None:
    faces, landmarks = open_faces(args.faces), read_landmarks(args.landmarks)
    if landmarks.names != faces.names:
        raise UserError(
            f"{args.landmarks} is not of the faces in {args.faces}; make it again from them."
        )
    args.out.mkdir(parents=True, exist_ok=True)
    for old in args.out.glob("*.png"):  # a group that has become empty leaves no picture behind
        remove(old)
    for title, rows in choose_faces(landmarks, args.count, args.seed).items():
        image = draw_sheet(faces, landmarks, rows)[:, :, ::-1]
        with replacing(args.out / f"{title}.png") as partial:
            partial.write_bytes(cv2.imencode(".png", image)[1].tobytes())
        print(f"{args.out / title}.png: {len(rows)} faces")


if __name__ == "__main__":
    main()
