"""Predict the attributes of the faces in any photographs, from a weights file alone.

    python -m pipeline.predict --weights weights.safetensors --photographs party --out out --align

Writes ``faces.csv`` (a row a face: its photograph, its box, a probability for each attribute) and
``index.html`` (each face, its likely attributes, and where they were seen). With --align the faces
in each photograph are found and warped as CelebA's were; without it each photograph is taken for
one face that is aligned already. A photograph that cannot be used has a row with the reason.
"""

import argparse
import logging
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.evaluation.inference import Inference, heat_maps
from pipeline.core.evaluation.metrics import probabilities
from pipeline.core.evaluation.summary import read_metrics
from pipeline.core.evaluation.thresholds import DEFAULT
from pipeline.core.faces.sources.trees import open_photographs
from pipeline.core.files import csv_rows, sha256, written
from pipeline.core.landmarks.portraits import COLUMNS, MODEL, Finder, found_in, whole
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
    attributes = inference.attributes
    thresholds = thresholds_of(args.metrics, args.weights, attributes)
    if args.align and not args.model.is_file():
        fetch(args.model, *defaults())
    about = statement(inference.trained_on)
    log.warning("%s", about)
    cards: list[dict[str, Any]] = []
    faces, faults = 0, []
    with (
        closing(Finder(args.model)) if args.align else nullcontext() as finder,
        csv_rows(args.out / "faces.csv", [*COLUMNS, *attributes]) as write_row,
    ):
        find = partial(finder.find if finder else whole, size=inference.size)
        most = 1 if args.faces == "largest" else None
        for name in stage.progress(names, len(names), "predicting", "photograph"):
            shown, portraits = written(name), found_in(photographs.read(name), find)
            if isinstance(portraits, str):
                log.warning("%s: %s", shown, portraits)
                faults.append({"name": shown, "why": portraits})
                write_row([shown, *[""] * 5, portraits, *[""] * len(attributes)])
                continue
            for number, portrait in enumerate(portraits[:most], start=1):
                output = inference.predict(portrait.image[None], attention=True)
                predicted = probabilities(output.logits[0].cpu().numpy())
                box = portrait.box or [""] * 4
                write_row([shown, number, *box, "", *(f"{value:.4f}" for value in predicted)])
                faces += 1
                if len(cards) < args.shown:
                    cards.append(
                        {"name": shown, "number": number}
                        | card(portrait.image, predicted, heat_maps(output), attributes, thresholds)
                    )
    pages.write_page(
        args.out / "index.html",
        Path(__file__).with_suffix(".html"),
        title=f"Faces in {written(args.photographs.resolve().name)}",
        photographs=len(names),
        faces=faces,
        cards=cards,
        faults=faults,
        attention=inference.has_attention,
        about=about,
    )


def card(
    image: np.ndarray,
    predicted: np.ndarray,
    maps: np.ndarray | None,
    attributes: list[str],
    thresholds: np.ndarray,
) -> dict[str, Any]:
    """What ``index.html`` shows of a face: its probabilities (A,), the highest first, and where
    those above their thresholds (A,) were seen, if there are maps (1, A, h, w).
    """
    order = np.argsort(-predicted, kind="stable").tolist()
    words = [(readable(attributes[k]), as_percent(predicted[k])) for k in order]
    likely = [
        {
            "words": readable(attributes[k]),
            "probability": as_percent(predicted[k]),
            "map": None if maps is None else pages.data_uri(overlay(image, maps[0, k]), quality=55),
        }
        for k in order
        if predicted[k] > thresholds[k]
    ]
    return {"picture": pages.data_uri(image), "likely": likely, "all": words}


def thresholds_of(metrics: Path | None, weights: Path, attributes: list[str]) -> np.ndarray:
    """(A,) probabilities above which an attribute is likely."""
    if metrics is None:
        return np.full(len(attributes), DEFAULT)
    found = read_metrics(metrics, sha256(weights))["thresholds"]
    return np.array([found[name] for name in attributes], float)


def defaults() -> tuple[str, list[str]]:
    """The hash and the mirrors of MediaPipe's model, from the schema that holds every default."""
    import yaml

    schema = Path(__file__).parents[1] / "workflow/schemas/config.schema.yaml"
    keys: Any = yaml.safe_load(schema.read_text(encoding="utf-8"))["properties"]
    model = keys["landmarks"]["properties"]["model"]["properties"]
    return model["sha256"]["default"], model["mirrors"]["default"]


if __name__ == "__main__":
    main()
