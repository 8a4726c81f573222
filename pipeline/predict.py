"""Tell the attributes of faces in any photographs, from a weights file alone.

    python -m pipeline.predict --weights weights.safetensors --photographs party --out told --align

Writes ``faces.csv`` (a row a face: its photograph, its box, a probability for each attribute) and
``index.html`` (each face, its likely attributes, and where they were seen). With --align the faces
in each photograph are found and warped as CelebA's were; without it each photograph is taken for
one face that is aligned already. A photograph that cannot be used has a row that says why.
"""

import argparse
import csv
import logging
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.evaluation.inference import Seen, Viewer
from pipeline.core.evaluation.metrics_file import read_metrics
from pipeline.core.evaluation.thresholds import USUAL
from pipeline.core.faces.sources.images import FolderImages
from pipeline.core.faces.store import decode
from pipeline.core.faces.verification import find_fault
from pipeline.core.files import replacing, sha256, written
from pipeline.core.landmarks.photographs import may_be_image
from pipeline.core.landmarks.portraits import Finder, Portrait, open_finder, whole
from pipeline.core.presentation import pages
from pipeline.core.presentation.figures.places import overlaid
from pipeline.core.presentation.style import readable, share
from pipeline.fetch import fetch

log = logging.getLogger(__name__)

MODEL = Path("downloads/face_landmarker.task")
NO_FACE = "no face was found"


def main(argv: list[str] | None = None) -> None:
    args = arguments().parse_args(argv)
    with stage.running(args.log):
        predict(args)


def arguments() -> argparse.ArgumentParser:
    parser = stage.parser(__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors")
    parser.add_argument("--photographs", type=Path, required=True, help="folder of JPEGs and PNGs")
    parser.add_argument("--out", type=Path, required=True, help="folder for CSV and page")
    parser.add_argument("--align", action="store_true", help="find and align the faces first")
    parser.add_argument(
        "--faces",
        choices=["all", "largest"],
        default="all",
        help="with --align: every face of a photograph, or its largest (default: all)",
    )
    parser.add_argument("--metrics", type=Path, help="metrics.json, for its thresholds; else 0.5")
    parser.add_argument(
        "--model",
        type=Path,
        default=MODEL,
        help=f"with --align: MediaPipe's face model, fetched if it is not there ({MODEL})",
    )
    parser.add_argument(
        "--shown", type=int, default=100, help="faces on the page; the CSV has all (default: 100)"
    )
    return parser


class Told(NamedTuple):
    """One face of a photograph and what was said of it; or, without a face, why there is none."""

    photograph: str
    number: int
    portrait: Portrait | None
    seen: Seen | None
    fault: str


def predict(args: argparse.Namespace) -> None:
    """Go through the photographs once; the page comes last, when the CSV is whole."""
    if not args.photographs.is_dir():
        raise UserError(f"{args.photographs} is no folder: name one with photographs in it.")
    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out {args.out} is a file: name a folder, which may be a new one.")
    viewer = Viewer(args.weights)
    thresholds = thresholds_of(args.metrics, args.weights, viewer.attributes)
    photographs = FolderImages(args.photographs)
    names = sorted(name for name in photographs.names if may_be_image(name))
    if not names:
        raise UserError(f"{args.photographs} holds no image: put JPEGs or PNGs there.")
    if args.align:
        fetch_model(args.model)
    cards: list[dict[str, Any]] = []
    faces, faults = 0, []
    with open_finder(args.model) if args.align else nullcontext() as finder:
        told = (
            one
            for name in stage.progress(names, len(names), "predicting", "photograph")
            for one in tell(written(name), photographs.read(name), viewer, finder, args.faces)
        )
        with replacing(args.out / "faces.csv") as partial:
            for one in write_rows(partial, told, viewer.attributes):
                faces += one.portrait is not None
                if one.fault:
                    faults.append({"name": one.photograph, "why": one.fault})
                elif len(cards) < args.shown:
                    cards.append(card(one, viewer.attributes, thresholds))
    pages.write_page(
        args.out / "index.html",
        Path(__file__).with_suffix(".html"),
        title=f"Faces in {written(args.photographs.resolve().name)}",
        photographs=len(names),
        faces=faces,
        cards=cards,
        faults=faults,
        attends=viewer.attends,
    )


def tell(
    name: str,
    encoded: bytes | str,
    viewer: Viewer,
    finder: Finder | None,
    which: str,
) -> Iterator[Told]:
    """What the network says of the faces of one photograph, warped as those trained on were."""
    fault = encoded if isinstance(encoded, str) else find_fault(encoded)
    if fault:
        log.warning("%s: %s", name, fault)
        yield Told(name, 0, None, None, fault)
        return
    photograph = decode(encoded)  # type: ignore[arg-type]  # OpenCV turns it upright by its EXIF
    if finder is None:
        portraits = [whole(photograph, viewer.size)]
    else:
        portraits = finder.find(photograph, viewer.size)
    if not portraits:
        log.info("%s: %s", name, NO_FACE)
        yield Told(name, 0, None, None, NO_FACE)
    for number, portrait in enumerate(portraits[: 1 if which == "largest" else None], start=1):
        yield Told(name, number, portrait, viewer.look(portrait.image[None]), "")


def write_rows(path: Path, told: Iterator[Told], attributes: list[str]) -> Iterator[Told]:
    """Write a row for each face, and for each photograph without one; pass them on."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(
            ["photograph", "face", "left", "top", "right", "bottom", "fault", *attributes]
        )
        for one in told:
            box = (one.portrait and one.portrait.box) or ("", "", "", "")
            chances = one.seen.chances[0] if one.seen else []
            said = [f"{chance:.4f}" for chance in chances] or [""] * len(attributes)
            rows.writerow([one.photograph, one.number or "", *box, one.fault, *said])
            yield one


def card(one: Told, attributes: list[str], thresholds: np.ndarray) -> dict[str, Any]:
    """A face for the page: likely attributes first, each with where it was seen."""
    assert one.portrait is not None
    assert one.seen is not None
    chances, image = one.seen.chances[0], one.portrait.image
    order = np.argsort(-chances, kind="stable").tolist()
    places = {k: one.seen.place(0, k) for k in order if chances[k] > thresholds[k]}
    return {
        "name": one.photograph,
        "number": one.number,
        "picture": pages.picture(image),
        "likely": [
            {
                "words": readable(attributes[k]),
                "chance": share(chances[k]),
                "map": None if place is None else pages.picture(overlaid(image, place), quality=55),
            }
            for k, place in places.items()
        ],
        "all": [(readable(attributes[k]), share(chances[k])) for k in order],
    }


def thresholds_of(metrics: Path | None, weights: Path, attributes: list[str]) -> np.ndarray:
    """(A,) probabilities above which an attribute counts as likely."""
    if metrics is None:
        return np.full(len(attributes), USUAL)
    found = read_metrics(metrics, sha256(weights))["thresholds"]
    return np.array([found[name] for name in attributes], float)


def fetch_model(model: Path) -> None:
    """Fetch MediaPipe's model where it is missing, as the configuration's defaults say."""
    if not model.is_file():
        fetch(model, *defaults())


def defaults() -> tuple[str, list[str]]:
    """The hash and the mirrors of MediaPipe's model, from the schema that holds every default."""
    import yaml

    schema = Path(__file__).parents[1] / "workflow/schemas/config.schema.yaml"
    keys: Any = yaml.safe_load(schema.read_text(encoding="utf-8"))["properties"]
    model = keys["landmarks"]["properties"]["model"]["properties"]
    return model["sha256"]["default"], model["mirrors"]["default"]


if __name__ == "__main__":
    main()
