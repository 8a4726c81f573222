"""Predict the attributes of the faces in any photographs, from a weights file alone.

    python -m pipeline.predict --weights weights.safetensors --photographs party --out out --align

Writes ``faces.csv`` (a row a face: its photograph, its box, a probability for each attribute) and
``index.html`` (each face, its likely attributes, and where they were seen). With --align the faces
in each photograph are found and warped as CelebA's were; without it each photograph is taken for
one face that is aligned already. A photograph that cannot be used has a row with the reason.
"""

import argparse
import csv
import logging
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.evaluation.inference import Inference, heat_maps
from pipeline.core.evaluation.metrics import probabilities
from pipeline.core.evaluation.summary import read_metrics
from pipeline.core.evaluation.thresholds import DEFAULT
from pipeline.core.faces.decoding import ImageError, decode
from pipeline.core.faces.sources.trees import open_photographs
from pipeline.core.files import replacing, sha256, written
from pipeline.core.geometry import Size
from pipeline.core.landmarks.portraits import (
    COLUMNS,
    MODEL,
    NO_FACE,
    Finder,
    Portrait,
    open_finder,
    whole,
)
from pipeline.core.presentation import pages
from pipeline.core.presentation.figures.faces import overlay
from pipeline.core.presentation.style import as_percent, readable
from pipeline.core.trained_on import statement
from pipeline.fetch import fetch

log = logging.getLogger(__name__)


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


def predict(args: argparse.Namespace) -> None:
    """Go through the photographs once; the page comes last, when the CSV is whole."""
    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out {args.out} is a file: name a folder, which may be a new one.")
    photographs, names = open_photographs(args.photographs)
    inference = Inference(args.weights)
    thresholds = thresholds_of(args.metrics, args.weights, inference.attributes)
    if args.align:
        fetch_model(args.model)
    about = statement(inference.trained_on)
    log.warning("%s", about)
    page = Page(args.shown, inference.attributes, thresholds)
    with (
        open_finder(args.model) if args.align else nullcontext() as finder,
        replacing(args.out / "faces.csv") as partial,
        partial.open("w", newline="", encoding="utf-8") as stream,
    ):
        table = csv.writer(stream, lineterminator="\n")
        table.writerow([*COLUMNS, *inference.attributes])
        for name in stage.progress(names, len(names), "predicting", "photograph"):
            shown = written(name)
            portraits = find_portraits(photographs.read(name), finder, inference.size)
            if isinstance(portraits, str):
                log.warning("%s: %s", shown, portraits)
                page.add_fault(shown, portraits)
                blank = [""] * len(inference.attributes)
                table.writerow([shown, "", "", "", "", "", portraits, *blank])
                continue
            for number, portrait in enumerate(
                portraits[: 1 if args.faces == "largest" else None], start=1
            ):
                output = inference.predict(portrait.image[None], attention=True)
                found = probabilities(output.logits[0].cpu().numpy())
                maps = heat_maps(output)
                box = portrait.box or ("", "", "", "")
                table.writerow([shown, number, *box, "", *(f"{value:.4f}" for value in found)])
                page.add(shown, number, portrait.image, found, None if maps is None else maps[0])
    pages.write_page(
        args.out / "index.html",
        Path(__file__).with_suffix(".html"),
        title=f"Faces in {written(args.photographs.resolve().name)}",
        photographs=len(names),
        faces=page.faces,
        cards=page.cards,
        faults=page.faults,
        attention=inference.has_attention,
        about=about,
    )


def find_portraits(encoded: bytes | str, finder: Finder | None, size: Size) -> list[Portrait] | str:
    """The faces of a photograph, warped as those trained on were; or why there is none.

    ``encoded`` is a file's bytes, or why it could not be read.
    """
    if isinstance(encoded, str):
        return encoded
    try:
        photograph = decode(encoded)
    except ImageError as error:
        return str(error)
    if finder is None:
        return [whole(photograph, size)]
    return finder.find(photograph, size) or NO_FACE


class Page:
    """What ``index.html`` shows: the first ``limit`` faces, and the photographs without one."""

    def __init__(self, limit: int, attributes: list[str], thresholds: np.ndarray) -> None:
        self.limit, self.attributes, self.thresholds = limit, attributes, thresholds
        self.faces = 0
        self.cards: list[dict[str, Any]] = []
        self.faults: list[dict[str, str]] = []

    def add_fault(self, photograph: str, why: str) -> None:
        self.faults.append({"name": photograph, "why": why})

    def add(
        self,
        photograph: str,
        number: int,
        image: np.ndarray,
        predicted: np.ndarray,
        maps: np.ndarray | None,
    ) -> None:
        """A face with its probabilities (A,) and, where there are any, maps (A, h, w).

        Likely attributes come first, each with where it was seen.
        """
        self.faces += 1
        if len(self.cards) >= self.limit:
            return
        order = np.argsort(-predicted, kind="stable").tolist()
        self.cards.append(
            {
                "name": photograph,
                "number": number,
                "picture": pages.data_uri(image),
                "likely": [
                    {
                        "words": readable(self.attributes[k]),
                        "probability": as_percent(predicted[k]),
                        "map": None
                        if maps is None
                        else pages.data_uri(overlay(image, maps[k]), quality=55),
                    }
                    for k in order
                    if predicted[k] > self.thresholds[k]
                ],
                "all": [(readable(self.attributes[k]), as_percent(predicted[k])) for k in order],
            }
        )


def thresholds_of(metrics: Path | None, weights: Path, attributes: list[str]) -> np.ndarray:
    """(A,) probabilities above which an attribute is likely."""
    if metrics is None:
        return np.full(len(attributes), DEFAULT)
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
