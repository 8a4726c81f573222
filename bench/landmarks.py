"""How exact, how complete and how fast the landmark detectors are.

    python -m bench.landmarks --data ATTPARSE_DATA/landmarks68/aligned --model face_landmarker.task
    python -m bench.landmarks --data ATTPARSE_DATA/landmarks68/wild --jitter 0.1 --model …

The folder has images and ``landmarks68.csv`` with hand-placed points. NME is normalised by the
outer eye corners, over the faces that a detector found; a face that it did not find counts as a
failure. Without ``--jitter`` the faces are aligned ones; with it each is looked for in the box
around its points, moved and scaled at random by this share. Detectors that are not installed are
left out.

    python -m bench.landmarks --data …/aligned --covered 0.1 0.2 0.35 0.5 --model …

covers the eyes, then the mouth of each face with a grey box, wider than their points by a share of
the distance of the eyes, and measures what the fallbacks accept of the faces that MediaPipe misses.

    python -m bench.landmarks --faces results/celeba/faces --model face_landmarker.task --turns 5

measures speed instead: the stage on a folder of faces against a bare loop that reads each face and
calls MediaPipe; and two processes, half the faces each, against one. The models are loaded before.
The first ratio is of processor time, in one process that does both by turns, 50 faces at a time;
the second of wall time, on an idle machine.

The map was fitted on these faces; ``bench.fit_mesh_map`` measures it on others. dlib's model was
trained on them too.
"""

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import mediapipe
import numpy as np
import pandas as pd

from bench.nme import INNER, PARTS, area_under_curve, failure_rate, known_faces, nme
from pipeline.core.faces.store import Faces, open_faces
from pipeline.core.landmarks import detectors
from pipeline.core.landmarks.detectors.mediapipe_mesh import open_landmarker
from pipeline.landmarks import find_part

SEED = 64
TURN = 50  # faces


def jittered_boxes(truths: np.ndarray, jitter: float) -> list[detectors.Box]:
    """The boxes around the points, each side moved by up to a share of the box's size."""
    low, high = truths.min(axis=1), truths.max(axis=1)
    moves = np.random.default_rng(SEED).uniform(-jitter, jitter, (2, len(truths), 2))
    corners = np.concatenate([low, high], axis=1)
    moved = corners + np.concatenate(list(moves), axis=1) * np.tile(high - low, 2)
    return [tuple(map(float, box)) for box in moved]


def evaluate(points: np.ndarray, truths: np.ndarray) -> dict[str, float]:
    """One row of the table: a detector's errors in percent."""
    has = np.isfinite(points).all(axis=(1, 2))
    errors = nme(points[has], truths[has])
    whole = np.full(len(truths), np.inf)
    whole[has] = errors.mean(axis=1)
    row = {"found": float(has.mean()), "NME": errors.mean(), "inner": errors[:, INNER].mean()}
    row |= {part: errors[:, where].mean() for part, where in PARTS.items()}
    row |= {"worst face": whole[has].max(), "fails 8%": failure_rate(whole, 0.08)}
    row |= {"fails 10%": failure_rate(whole, 0.10), "AUC 8%": area_under_curve(whole, 0.08)}
    return {name: 100 * value for name, value in row.items()}


def covered(image: np.ndarray, points: np.ndarray, margin: float) -> np.ndarray:
    """An image with a grey box over points (P, 2), wider than these by so many pixels."""
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    (left, top), (right, bottom) = np.maximum(low, 0).astype(int), high.astype(int)
    image = image.copy()
    image[top:bottom, left:right] = 128
    return image


def errors_when_covered(
    images: list[np.ndarray], truths: np.ndarray, cascade: list[detectors.Detector], around: float
) -> tuple[int, list[float]]:
    """Of faces whose eyes or mouth are covered: how many the first detector misses, and the NME
    of those among them that the others accept.
    """
    missed, errors = 0, []
    for image, truth in zip(images, truths, strict=True):
        margin = around * float(np.linalg.norm(truth[36] - truth[45]))
        for part in (PARTS["eyes"], PARTS["mouth"]):
            points, (name,) = detectors.find([covered(image, truth[part], margin)], cascade)
            if name == cascade[0].name:
                continue
            missed += 1
            if name:
                errors.append(float(nme(points, truth[None]).mean()))
    return missed, errors


def main() -> None:
    args = arguments()
    if args.faces:
        print(compare_speed(args))
    else:
        print(compare_covered(args) if args.covered else compare_errors(args))


def compare_covered(args: argparse.Namespace) -> str:
    """A row for each width of the box."""
    images, truths = known_faces(args.data)
    lines = [
        f"| wider by | missed by MediaPipe, of {2 * len(images)} | accepted | their mean NME |"
    ]
    lines.append("|---|---|---|---|")
    with detectors.opened(list(detectors.DETECTORS), args.model, "fitted") as cascade:
        for around in args.covered:
            missed, errors = errors_when_covered(images, truths, cascade, around)
            mean = f"{100 * np.mean(errors):.1f} %" if errors else "–"
            lines.append(f"| {around:g} | {missed} | {len(errors)} | {mean} |")
    return "\n".join(lines)


def compare_errors(args: argparse.Namespace) -> str:
    """A row for each detector that is installed, and for the cascade."""
    images, truths = known_faces(args.data)
    boxes = None if args.jitter is None else jittered_boxes(truths, args.jitter)
    rows = {}
    for title, names, mesh_map in (
        ("mediapipe, hand-picked map", ["mediapipe"], "hand_picked"),
        ("mediapipe, fitted map", ["mediapipe"], "fitted"),
        ("mediapipe_enlarged", ["mediapipe_enlarged"], "fitted"),
        ("dlib", ["dlib"], "fitted"),
        ("the cascade", list(detectors.DETECTORS), "fitted"),
    ):
        if not detectors.usable(names):
            continue
        with detectors.opened(names, args.model, mesh_map) as cascade:
            began = time.process_time()
            points, _ = detectors.find(images, cascade, boxes)
            rows[title] = evaluate(points, truths)
            rows[title]["images/core-s"] = len(images) / (time.process_time() - began)
    return pd.DataFrame(rows).T.round(2).to_string()


def compare_speed(args: argparse.Namespace) -> str:
    """A sentence on ``by_turns`` and ``timed``: medians over the turns."""
    count = min(args.count, len(open_faces(args.faces)))
    halves = [range(0, count // 2), range(count // 2, count)]
    bare, scaled = [], []
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        started = [pool.submit(timed, args, range(4)) for _ in halves]  # both import and start
        [one.result() for one in started]
        for _ in range(args.turns):
            bare.append(pool.submit(by_turns, args, range(count)).result())
            whole = pool.submit(timed, args, range(count)).result()
            both = [pool.submit(timed, args, half) for half in halves]
            scaled.append(whole / max(one.result() for one in both))
    return (
        f"the stage reaches {np.median(bare):.3f} of the speed of MediaPipe's own call (processor"
        f" time, {min(bare):.3f} to {max(bare):.3f}), and two processes {np.median(scaled):.2f}"
        f" times that of one (wall time, {min(scaled):.2f} to {max(scaled):.2f});"
        f" medians of {args.turns} turns of {count} faces"
    )


def by_turns(args: argparse.Namespace, rows: range) -> float:
    """The processor time of reading the faces and calling MediaPipe over that of the stage."""
    faces = open_faces(args.faces)
    bare = stage = 0.0
    landmarker = open_landmarker(args.model)
    with detectors.opened(list(detectors.DETECTORS), args.model, "fitted") as cascade:
        warm_up(cascade, faces)
        for first in range(0, len(rows), TURN):
            turn = rows[first : first + TURN]
            began = time.process_time()
            for row in turn:
                landmarker.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, faces.image(row)))
            between = time.process_time()
            find_part(faces, turn, cascade)
            bare, stage = bare + between - began, stage + time.process_time() - between
    landmarker.close()
    return bare / stage


def timed(args: argparse.Namespace, rows: range) -> float:
    """Wall time in seconds of the stage on some faces, its models loaded."""
    faces = open_faces(args.faces)
    with detectors.opened(list(detectors.DETECTORS), args.model, "fitted") as cascade:
        warm_up(cascade, faces)
        began = time.perf_counter()
        find_part(faces, rows, cascade)
        return time.perf_counter() - began


def warm_up(cascade: list[detectors.Detector], faces: Faces) -> None:
    """Some detectors load their models with the first image."""
    for detector in cascade:
        detector.find([faces.image(0)], [None])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="folder in the form of landmarks68: errors")
    what.add_argument("--faces", type=Path, help="folder of faces: speed")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--jitter", type=float, help="of whole photographs: 0.1")
    parser.add_argument("--covered", type=float, nargs="+", help="cover eyes or mouth, so wide")
    parser.add_argument("--turns", type=int, default=5, help="of the speed")
    parser.add_argument("--count", type=int, default=1500, help="faces of the speed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
