"""Take faces from their source, verify each one, and store them in one form.

Whatever the source, ``faces/`` holds the same rows in the same order for the same images: train,
valid, test, each in the source's order. An image that cannot be used is listed with its reason
in ``rejected.csv``; more of them than the data set's entry allows end the stage.
"""

import csv
import hashlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.faces.sources import Source, open_source
from pipeline.core.faces.sources.labels import Labels, is_subset, select
from pipeline.core.faces.split_checks import identities_apart
from pipeline.core.faces.store import SPLITS, Face, write_faces
from pipeline.core.faces.verification import find_fault
from pipeline.core.files import replacing, sha256, write_json, write_text, written
from pipeline.core.landmarks.photographs import AlignedSource, open_detectors
from pipeline.core.partition import batched

log = logging.getLogger(__name__)

AT_ONCE = 64  # images that are checked at the same time, and held in memory


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument(
        "--settings", type=stage.settings, required=True, help="one entry of datasets:"
    )
    parser.add_argument("--drawn", type=Path, help="the drawn faces, for source: synthetic")
    parser.add_argument(
        "--downloads", type=Path, required=True, help="folder for what must be fetched"
    )
    parser.add_argument("--out", type=Path, required=True, help="the faces, as one folder")
    parser.add_argument("--manifest", type=Path, required=True, help="sha256 of each image")
    parser.add_argument("--rejected", type=Path, required=True, help="what was left out, and why")
    parser.add_argument("--terms", type=Path, required=True, help="the terms of the data")
    parser.add_argument("--summary", type=Path, required=True, help="counts, written last")
    parser.add_argument(
        "--model", type=Path, help="MediaPipe's model, for photographs without points"
    )
    parser.add_argument("--threads", type=int, default=1, help="images to work on at once")
    args = parser.parse_args(argv)
    with stage.running(args.log), open_detectors(args.model) as detectors:
        source = open_source(args.settings, args.downloads, args.drawn)
        if not args.settings["aligned"]:
            size = tuple(args.settings["size"])
            source = AlignedSource(source, size, detectors, args.threads)
        outputs = Outputs(args.out, args.manifest, args.rejected, args.terms, args.summary)
        acquire(source, args.settings, outputs, args.threads)


class Outputs(NamedTuple):
    faces: Path
    manifest: Path
    rejected: Path
    terms: Path
    summary: Path


def acquire(source: Source, settings: dict[str, Any], out: Outputs, threads: int = 1) -> None:
    """Check the selected images of a source and write every file of ``out``."""
    height, width = settings["size"]
    rows = select(source.labels, settings)
    odd = [] if is_subset(settings) else source.odd
    rejected = [(written(name), reason) for name, reason in odd]  # names of labels are UTF-8
    total = len(rows) + len(rejected)
    budget = Budget(total, settings["max_rejected"], rejected)
    for warning in identities_apart(
        np.array(SPLITS)[source.labels.splits], source.labels.identities
    ):
        log.warning("%s", warning)
    counts = dict.fromkeys(SPLITS, 0)
    with (
        replacing(out.manifest) as partial,
        partial.open("w", newline="", encoding="utf-8") as stream,
    ):
        manifest = csv.writer(stream, lineterminator="\n")
        manifest.writerow(["image_name", "sha256", "bytes", "split"])

        def accepted() -> Iterator[Face]:
            checked = verified(source, rows, (height, width), threads)
            for row, encoded, fault in stage.progress(checked, len(rows), "verifying"):
                face = make_face(source.labels, row, encoded)
                if fault:
                    budget.reject(face.name, fault)
                    continue
                digest = hashlib.sha256(encoded).hexdigest()
                manifest.writerow([face.name, digest, len(encoded), face.split])
                counts[face.split] += 1
                yield face

        write_faces(out.faces, accepted(), (height, width))
    write_rejected(out.rejected, rejected)
    write_text(out.terms, source.terms)
    write_json(
        out.summary,
        {
            "faces": sum(counts.values()),
            **counts,
            "rejected": len(rejected),
            "size": [height, width],
            "sha256": sha256(out.faces),
        },
    )


class Budget:
    """The images that were rejected, and how many may be: one more is a ``UserError``."""

    def __init__(self, total: int, share: float, rejected: list[tuple[str, str]]) -> None:
        self.total, self.share, self.rejected = total, share, rejected
        for name, reason in rejected:
            log.info("rejected %s: %s", name, reason)
        self.check()

    def reject(self, name: str, reason: str) -> None:
        log.info("rejected %s: %s", name, reason)
        self.rejected.append((name, reason))
        self.check()

    def check(self) -> None:
        if len(self.rejected) > self.share * self.total:
            name, reason = self.rejected[-1]
            raise UserError(
                f"{len(self.rejected)} of {self.total} images cannot be used, more than the share"
                f" max_rejected: {self.share} allows; the last is {name}, which {reason}; the log"
                " lists them all."
            )


def verified(
    source: Source, rows: np.ndarray, size: tuple[int, int], threads: int
) -> Iterator[tuple[int, bytes, str | None]]:
    """Each row with its image's bytes, and what is wrong with them: None if nothing is."""
    pairs = zip(rows, source.images(rows), strict=True)
    with ThreadPoolExecutor(threads) as pool:
        for some in batched(pairs, AT_ONCE):
            found = [encoded for _, encoded in some]
            faults = pool.map(lambda e: e if isinstance(e, str) else find_fault(e, size), found)
            for (row, encoded), fault in zip(some, faults, strict=True):
                yield row, encoded if isinstance(encoded, bytes) else b"", fault


def make_face(labels: Labels, row: int, encoded: bytes) -> Face:
    split = SPLITS[labels.splits[row]]
    return Face(
        labels.names[row], split, int(labels.identities[row]), labels.attributes[row], encoded
    )


def write_rejected(path: Path, rejected: list[tuple[str, str]]) -> None:
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([("image_name", "reason"), *rejected])


if __name__ == "__main__":
    main()
