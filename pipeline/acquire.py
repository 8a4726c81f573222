"""Read the faces of a data set, verify each image, and store them in one form.

Equal images and labels give the same ``faces/`` whatever their source: train, valid, test, each in
the source's order. An image that cannot be used is listed in ``rejected.csv`` with the reason; more
of them than the data set's entry allows end the stage.
"""

import hashlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.core import stage
from pipeline.core.attributes import UNKNOWN, AttributeSet
from pipeline.core.errors import UserError
from pipeline.core.faces.sources import Source, open_source
from pipeline.core.faces.sources.corrections import corrected
from pipeline.core.faces.sources.labels import Labels, is_subset, select
from pipeline.core.faces.split_checks import identities_apart
from pipeline.core.faces.store import SPLITS, Face, face_writer, faces_sha256
from pipeline.core.faces.verification import find_fault, name_fault
from pipeline.core.files import csv_rows, sha256, write_json, write_text, written
from pipeline.core.landmarks.photographs import AlignedSource, open_detectors
from pipeline.core.partition import batched

log = logging.getLogger(__name__)

IMAGES_PER_BATCH = 64  # images in memory while they are verified


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument(
        "--settings", type=stage.settings, required=True, help="one entry of datasets:"
    )
    parser.add_argument("--drawn", type=Path, help="the drawn faces, for source: synthetic")
    parser.add_argument("--downloads", type=Path, required=True, help="folder for downloaded files")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, faces/")
    parser.add_argument(
        "--manifest", type=Path, required=True, help="CSV of name, sha256, size and split"
    )
    parser.add_argument("--rejected", type=Path, required=True, help="CSV of rejected images")
    parser.add_argument("--terms", type=Path, required=True, help="text file of the terms of use")
    parser.add_argument("--summary", type=Path, required=True, help="JSON of counts, written last")
    parser.add_argument(
        "--model", type=Path, help="MediaPipe's model, for photographs without points"
    )
    parser.add_argument("--threads", type=int, default=1, help="images to process at the same time")
    args = parser.parse_args(argv)
    with stage.running(args.log), open_detectors(args.model) as detectors:
        source = open_source(args.settings, args.downloads, args.drawn)
        if not args.settings["aligned"]:
            size = tuple(args.settings["size"])
            detect_unfit = args.settings["unfit_points"] == "detect"
            source = AlignedSource(source, size, detectors, args.threads, detect_unfit)
        outputs = Outputs(args.out, args.manifest, args.rejected, args.terms, args.summary)
        acquire(source, args.settings, outputs, args.threads)


class Outputs(NamedTuple):
    faces: Path
    manifest: Path
    rejected: Path
    terms: Path
    summary: Path


def acquire(source: Source, settings: dict[str, Any], out: Outputs, threads: int = 1) -> None:
    """Verify the selected images of a source and write every file of ``out``."""
    height, width = settings["size"]
    labels, attributes = source.labels, AttributeSet.of(settings["attributes"], settings["unfold"])
    corrections = settings["labels"]["corrections"]
    changed: dict[str, int] = {}
    if corrections:
        labels, changed = corrected(labels, attributes, Path(corrections))
        log.info("%s corrects %d labels: %s", corrections, sum(changed.values()), changed)
    rows = select(labels, attributes, settings)
    unmatched = [] if is_subset(settings) else source.unmatched
    rejected = RejectedImages(len(rows) + len(unmatched), settings["max_rejected"])
    for name, reason in unmatched:
        rejected.add(name, reason)
    for warning in identities_apart(np.array(SPLITS)[labels.splits], labels.identities):
        log.warning("%s", warning)
    counts, unknown = dict.fromkeys(SPLITS, 0), np.zeros(len(attributes.names), int)
    with (
        face_writer(out.faces, (height, width), attributes) as faces,
        csv_rows(out.manifest, ["image_name", "sha256", "bytes", "split"]) as write_row,
    ):
        verified = verify_images(source, rows, (height, width), threads)
        for row, encoded, fault in stage.progress(verified, len(rows), "verifying"):
            face = make_face(labels, row, encoded)
            if fault := fault or name_fault(face.name):
                rejected.add(face.name, fault)
                continue
            faces.add(face)
            write_row([face.name, hashlib.sha256(encoded).hexdigest(), len(encoded), face.split])
            counts[face.split] += 1
            unknown += face.attributes == UNKNOWN
    with csv_rows(out.rejected, ["image_name", "reason"]) as write_row:
        for name_and_reason in rejected.images:
            write_row(name_and_reason)
    write_text(out.terms, source.terms)
    summary: dict[str, Any] = {
        "faces": sum(counts.values()),
        **counts,
        "rejected": len(rejected.images),
        "size": [height, width],
        "sha256": faces_sha256(out.faces),
    }
    if unknown.any():
        counted = dict(zip(attributes.names, unknown.tolist(), strict=True))
        log.info("unknown labels: %s", counted)
        summary["unknown_labels"] = counted
    if corrections:
        summary["corrections"] = {"sha256": sha256(Path(corrections)), "changed_labels": changed}
    write_json(out.summary, summary)


class RejectedImages:
    """Names of the rejected images, each with its reason; ``UserError`` if they become too many.

    ``total`` is the number of all images, ``max_share`` the share of them that may be rejected.
    """

    def __init__(self, total: int, max_share: float) -> None:
        self.total, self.max_share = total, max_share
        self.images: list[tuple[str, str]] = []

    def add(self, name: str, reason: str) -> None:
        name = written(name)
        log.info("rejected %s: %s", name, reason)
        self.images.append((name, reason))
        if len(self.images) > self.max_share * self.total:
            raise UserError(
                f"{len(self.images)} of {self.total} images cannot be used, more than the share"
                f" max_rejected: {self.max_share} allows; the last is {name}, which {reason}; the"
                " log lists them all."
            )


def verify_images(
    source: Source, rows: np.ndarray, size: tuple[int, int], threads: int
) -> Iterator[tuple[int, bytes, str | None]]:
    """Read and verify the images of ``rows``: row, bytes and what is wrong with them, or None."""
    pairs = zip(rows, source.images(rows), strict=True)
    with ThreadPoolExecutor(threads) as pool:
        for batch in batched(pairs, IMAGES_PER_BATCH):
            images = [image for _, image in batch]
            faults = pool.map(lambda i: i if isinstance(i, str) else find_fault(i, size), images)
            for (row, image), fault in zip(batch, faults, strict=True):
                yield row, image if isinstance(image, bytes) else b"", fault


def make_face(labels: Labels, row: int, encoded: bytes) -> Face:
    split = SPLITS[labels.splits[row]]
    return Face(
        labels.names[row], split, int(labels.identities[row]), labels.attributes[row], encoded
    )


if __name__ == "__main__":
    main()
