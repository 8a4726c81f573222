"""Draw the masks of every face from its landmarks and labels.

``draw`` writes the shards of one part of the faces into a folder, ``gather`` checks that all are
there and makes the store of them, which has the same files under a second name (hard links).
"""

import argparse
import logging
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import stage
from pipeline.core.attributes import REGIONS
from pipeline.core.errors import UserError
from pipeline.core.faces.store import Faces, open_faces
from pipeline.core.files import digest, read_json, replacing, sha256, write_json
from pipeline.core.landmarks.table import Landmarks, read_landmarks_of
from pipeline.core.masks.regions import attribute_masks, codes, fill_polygons, region_polygons
from pipeline.core.masks.store import finish, shards_sha256, write_shard
from pipeline.core.partition import part_rows

log = logging.getLogger(__name__)

PART_KEYS = ("rows", "shard", "shards", "without_landmarks", "empty", "absent", "clipped")


class Drawing:
    """Draws the masks of faces, and counts what could not be drawn, or not whole.

    ``without_landmarks`` rows; ``empty`` attribute → rows that are positive and have landmarks,
    and whose mask has no pixel, though the attribute has regions; ``absent`` and ``clipped``
    region → faces on which it does not exist, or leaves the image.
    """

    def __init__(self, landmarks: Landmarks, faces: Faces) -> None:
        self.points, self.found = landmarks.points, landmarks.found
        self.faces, self.codes = faces, codes(faces.attribute_set.table)
        self.without_landmarks: list[int] = []
        self.empty: dict[str, list[int]] = defaultdict(list)
        self.absent: Counter[str] = Counter()
        self.clipped: Counter[str] = Counter()

    def draw(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """The masks (A, H, W) bool and regions (H, W) uint16 of one face."""
        polygons = region_polygons(self.points[row], self.faces.size)
        bits = fill_polygons(polygons, self.faces.size)
        masks = attribute_masks(bits, self.faces.attributes[row], self.codes)
        if self.found[row]:
            self._count(row, polygons, masks)
        else:
            self.without_landmarks.append(row)
        return masks, bits

    def _count(self, row: int, polygons: dict[str, np.ndarray], masks: np.ndarray) -> None:
        self.absent.update(set(REGIONS) - set(polygons))
        border = self.faces.size[::-1]
        self.clipped.update(n for n, p in polygons.items() if (p < 0).any() or (p >= border).any())
        for k in np.flatnonzero(self.faces.attributes[row] == 1):
            if self.codes[k] and not masks[k].any():
                self.empty[self.faces.attribute_set.names[k]].append(row)


def draw_part(
    folder: Path, faces: Faces, landmarks: Landmarks, part: str, shard: int
) -> dict[str, Any]:
    """Write a part's shards; return their hashes and counts, which ``gather`` needs."""
    rows = part_rows(part, len(faces), shard)
    drawing = Drawing(landmarks, faces)
    drawn = map(drawing.draw, stage.progress(rows, len(rows), "masks"))
    shards: dict[str, str] = {}
    for first in rows[::shard]:
        shards |= write_shard(folder, first // shard, shard, islice(drawn, shard))
    next(drawn, None)  # none is left: the progress ends, and logs its time
    return {
        "rows": [rows.start, rows.stop],
        "shard": shard,
        "shards": shards,
        "without_landmarks": drawing.without_landmarks,
        "empty": dict(sorted(drawing.empty.items())),
        "absent": dict(sorted(drawing.absent.items())),
        "clipped": dict(sorted(drawing.clipped.items())),
    }


def gather_parts(
    store: Path, faces: Faces, parts: dict[Path, dict[str, Any]], settings: dict[str, Any]
) -> dict[str, Any]:
    """Make the store of the shards of the parts, by their folders; return its summary."""
    shard, attributes = settings["shard"], faces.attribute_set
    _check(len(faces), parts, shard)
    found = np.ones(len(faces), bool)
    found[[row for part in parts.values() for row in part["without_landmarks"]]] = False
    empty = {
        name: [row for part in parts.values() for row in part["empty"].get(name, ())]
        for name in attributes.names
    }
    labels = faces.attributes.copy()
    if settings["repair_labels"]:
        for k, name in enumerate(attributes.names):
            labels[empty[name], k] = 0
    with replacing(store) as partial:
        for folder, part in parts.items():
            for name in part["shards"]:
                _link(folder / name, partial / name)
        finish(partial, faces.names, found, labels, faces.size, shard, attributes)
    return _summary(faces, empty, list(parts.values()), settings)


def _link(file: Path, name: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links."""
    name.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, name)
    except OSError:
        shutil.copyfile(file, name)


def _check(faces: int, parts: dict[Path, dict[str, Any]], shard: int) -> None:
    """``UserError`` unless the parts hold every face once and their shards are in place."""
    again = "make the parts again from these faces (the rule masks_part does)."
    spans = [part["rows"] for part in parts.values()]
    if sorted(row for span in spans for row in range(*span)) != list(range(faces)):
        raise UserError(f"the parts hold rows {spans}, and there are {faces} faces: {again}")
    if other := {part["shard"] for part in parts.values()} - {shard}:
        raise UserError(f"some parts have {min(other)} faces a shard, others {shard}: {again}")
    for folder, part in parts.items():
        for name, expected in part["shards"].items():
            there = (folder / name).is_file()
            if not there or sha256(folder / name) != expected:
                raise UserError(
                    f"{folder / name} is {'not as its part wrote it' if there else 'missing'}:"
                    f" remove {folder} and run the same command again; it is then made anew."
                )


def _summary(
    faces: Faces,
    empty: dict[str, list[int]],
    parts: Sequence[dict[str, Any]],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """What ``masks.json`` says: the same for equal stores, into however many parts they were cut.

    ``sha256`` is that of all shards' names and hashes.
    """
    shards = {name: digest for part in parts for name, digest in part["shards"].items()}
    empty_masks = {name: len(rows) for name, rows in empty.items() if rows}
    return {
        "images": len(faces),
        "size": list(faces.size),
        "shard": settings["shard"],
        "without_landmarks": sum(len(part["without_landmarks"]) for part in parts),
        "positive_with_empty_mask": empty_masks,
        "repaired_labels": empty_masks if settings["repair_labels"] else {},
        "repaired_faces": len(set().union(*empty.values())) if settings["repair_labels"] else 0,
        "regions_absent": _total(parts, "absent"),
        "regions_clipped": _total(parts, "clipped"),
        "sha256": shards_sha256(shards),
    }


def _total(parts: Sequence[dict[str, Any]], key: str) -> dict[str, int]:
    """A count of the parts added up, in the order of the regions."""
    return {r: count for r in REGIONS if (count := sum(part[key].get(r, 0) for part in parts))}


def main(argv: list[str] | None = None) -> None:
    args = arguments().parse_args(argv)
    with stage.running(args.log):
        args.run(args)


def arguments() -> argparse.ArgumentParser:
    parser, command = stage.commands(__doc__)
    faces = {"faces": "the folder faces/"}
    what, shards = "draw the masks of one part of the faces", "folder of the part's shards"
    draw = command("draw", what, **faces, landmarks="landmarks.csv", shards=shards)
    draw.add_argument("--out", type=Path, required=True, help="the part's hashes and counts")
    draw.add_argument("--part", required=True, help="such as 2-of-16")
    draw.set_defaults(run=run_draw)
    what = "check that all shards are there, make the store of them"
    gather = command("gather", what, **faces, store="masks.zarr", summary="masks.json")
    gather.add_argument("--parts", type=Path, nargs="+", required=True, help="each part's --out")
    gather.add_argument("--shards", type=Path, nargs="+", required=True, help="in the same order")
    gather.set_defaults(run=run_gather)
    for one in (draw, gather):
        one.add_argument("--settings", type=stage.settings, required=True)
    return parser


def run_draw(args: argparse.Namespace) -> None:
    faces = open_faces(args.faces)
    landmarks = read_landmarks_of(args.landmarks, faces.names, args.faces)
    with replacing(args.shards) as folder:
        folder.mkdir()
        part = draw_part(folder, faces, landmarks, args.part, args.settings["shard"])
    write_json(args.out, part | {"sha256": digest(part)})


def read_part(path: Path, folder: Path) -> dict[str, Any]:
    """What ``run_draw`` wrote of a part; ``UserError`` if it was changed since."""
    part = read_json(path, *PART_KEYS, "sha256")
    if part.pop("sha256") != digest(part):
        raise UserError(
            f"{path} is not as it was written: remove {folder} and run the same command again; it"
            " is then made anew."
        )
    return part


def run_gather(args: argparse.Namespace) -> None:
    faces = open_faces(args.faces)
    pairs = zip(args.parts, args.shards, strict=True)
    parts = {folder: read_part(path, folder) for path, folder in pairs}
    summary = gather_parts(args.store, faces, parts, args.settings)
    for key, value in summary.items():
        log.info("%s: %s", key, value)
    write_json(args.summary, summary)


if __name__ == "__main__":
    main()
