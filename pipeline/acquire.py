"""Read the faces of a data set, verify each image, and store them in one form.

Equal images and labels give the same ``faces/`` whatever their source: train, valid, test, each in
the source's order. An image that cannot be used is listed in ``rejected.csv`` with the reason; more
of them than the data set's entry allows end the stage.
"""

import argparse
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import stage
from pipeline.core.attributes import UNKNOWN, AttributeSet
from pipeline.core.errors import UserError
from pipeline.core.faces.sources import Source, open_source
from pipeline.core.faces.sources.corrections import corrected
from pipeline.core.faces.sources.labels import is_subset, select
from pipeline.core.faces.split_checks import identities_apart
from pipeline.core.faces.store import SPLITS, Face, face_writer, faces_sha256, open_faces
from pipeline.core.faces.verification import find_fault, name_fault
from pipeline.core.files import csv_rows, sha256, write_json, write_text, written
from pipeline.core.landmarks.photographs import AlignedSource, open_detectors
from pipeline.core.partition import batched

log = logging.getLogger(__name__)

WriteRow = Callable[[Iterable[Any]], object]
IMAGES_PER_BATCH = 64  # images in memory while they are verified


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("--settings", type=stage.settings, required=True, help="entry of datasets")
    parser.add_argument("--drawn", type=Path, help="the drawn faces, for source: synthetic")
    parser.add_argument("--downloads", type=Path, required=True, help="folder for downloaded files")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, faces/")
    parser.add_argument("--manifest", type=Path, required=True, help="CSV of the faces' sha256")
    parser.add_argument("--rejected", type=Path, required=True, help="CSV of rejected images")
    parser.add_argument("--terms", type=Path, required=True, help="text file of the terms of use")
    parser.add_argument("--summary", type=Path, required=True, help="JSON of counts, written last")
    parser.add_argument("--model", type=Path, help="MediaPipe's, for photographs without points")
    parser.add_argument("--threads", type=int, default=1, help="images to process at the same time")
    args = parser.parse_args(argv)
    with stage.running(args.log), open_detectors(args.model) as detectors:
        source = open_source(args.settings, args.downloads, args.drawn)
        if not args.settings["aligned"]:
            size, detect_unfit = args.settings["size"], args.settings["unfit_points"] == "detect"
            source = AlignedSource(source, tuple(size), detectors, args.threads, detect_unfit)
        acquire(source, args)


def acquire(source: Source, args: argparse.Namespace) -> None:
    """Verify the selected images of a source and write every output."""
    settings, size = args.settings, tuple(args.settings["size"])
    labels, attributes = source.labels, AttributeSet.of(settings["attributes"], settings["unfold"])
    corrections = settings["labels"]["corrections"]
    changed: dict[str, int] = {}
    if corrections:
        labels, changed = corrected(labels, attributes, Path(corrections))
        log.info("%s corrects %d labels: %s", corrections, sum(changed.values()), changed)
    rows = select(labels, attributes, settings)
    unmatched = [] if is_subset(settings) else source.unmatched
    for warning in identities_apart(np.array(SPLITS)[labels.splits], labels.identities):
        log.warning("%s", warning)
    with (
        csv_rows(args.rejected, ["image_name", "reason"]) as write_rejected,
        csv_rows(args.manifest, ["image_name", "sha256", "bytes", "split"]) as write_manifest,
        face_writer(args.out, size, attributes) as faces,
    ):
        total = len(rows) + len(unmatched)
        rejected = RejectedImages(write_rejected, total, settings["max_rejected"])
        for name, reason in unmatched:
            rejected.add(name, reason)
        verified = verify_images(source, rows, size, args.threads)
        for row, encoded, fault in stage.progress(verified, len(rows), "verifying"):
            name, split = labels.names[row], SPLITS[labels.splits[row]]
            if fault := fault or name_fault(name):
                rejected.add(name, fault)
                continue
            write_manifest([name, hashlib.sha256(encoded).hexdigest(), len(encoded), split])
            identity = int(labels.identities[row])
            faces.add(Face(name, split, identity, labels.attributes[row], encoded))
    write_text(args.terms, source.terms)
    stored = open_faces(args.out)
    summary: dict[str, Any] = {
        "faces": len(stored),
        **{split: len(stored.rows(split)) for split in SPLITS},
        "rejected": rejected.count,
        "size": settings["size"],
        "sha256": faces_sha256(args.out),
    }
    if (unknown := (stored.attributes == UNKNOWN).sum(axis=0)).any():
        counted = dict(zip(attributes.names, unknown.tolist(), strict=True))
        log.info("unknown labels: %s", counted)
        summary["unknown_labels"] = counted
    if corrections:
        summary["corrections"] = {"sha256": sha256(Path(corrections)), "changed_labels": changed}
    write_json(args.summary, summary)


class RejectedImages:
    """Lists the rejected images, each with its reason; ``UserError`` if they become too many.

    ``total`` is the number of all images, ``max_share`` the share of them that may be rejected.
    """

    def __init__(self, write_row: WriteRow, total: int, max_share: float) -> None:
        self.write_row, self.total, self.max_share, self.count = write_row, total, max_share, 0

    def add(self, name: str, reason: str) -> None:
        name = written(name)
        log.info("rejected %s: %s", name, reason)
        self.write_row([name, reason])
        self.count += 1
        if self.count > self.max_share * self.total:
            raise UserError(
                f"{self.count} of {self.total} images cannot be used, more than the share"
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


if __name__ == "__main__":
    main()
