"""Draw the figures: of the data, of a model's numbers, of where it looks, of what a run cost.

Plots are SVG, pictures PNG. ``attributes.svg``, ``maps.png`` and the like appear in ``--out``;
the captions in ``workflow/report`` say what each one shows.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.faces.store import open_faces
from pipeline.core.files import read_json, read_table
from pipeline.core.presentation import pages
from pipeline.core.presentation.edited import may_be_edited
from pipeline.core.presentation.figures import data, runs
from pipeline.core.trained_on import faces_of, read_trained_on

LANDMARK_KEYS = ("found", "detectors", "without_landmarks")  # of landmarks.json
EMPTY_MASKS = "positive_with_empty_mask"  # of masks.json


def main(argv: list[str] | None = None) -> None:
    args = arguments().parse_args(argv)
    with stage.running(args.log):
        args.draw(args)


def arguments() -> argparse.ArgumentParser:
    parser, command = stage.commands(__doc__)
    out = "folder for the figures"
    counts = command("data", "faces at each step, and the attributes", faces="faces/", out=out)
    counts.add_argument("--rejected", type=Path, help="rejected.csv")
    counts.add_argument("--landmarks", type=Path, help="landmarks.json")
    counts.add_argument("--masks", type=Path, help="masks.json")
    counts.set_defaults(draw=draw_data)
    numbers = command(
        "numbers",
        "metrics of an evaluated model",
        run="run.json",
        history="history.csv",
        predictions="predictions.parquet",
        metrics="metrics.json",
        table="metrics.csv",
        out=out,
    )
    numbers.set_defaults(draw=draw_numbers)
    model = {"weights": "weights.safetensors", "predictions": "predictions.parquet"}
    model |= {"faces": "the faces evaluated on", "out": out}
    what = "test faces with labels, predictions and where the network looks"
    command("where", what, **model).set_defaults(draw=draw_where)
    maps = command("maps", "a network's maps beside their targets", **model, masks="masks.zarr")
    maps.add_argument("--images", type=int, default=1000, help="test faces that means are over")
    maps.set_defaults(draw=draw_maps)
    costs = command("costs", "time and memory of each rule", out=out)
    costs.add_argument(
        "--benchmarks",
        type=stage.named_file,
        nargs="+",
        required=True,
        metavar="RULE=FILE",
        help="Snakemake's benchmark files; those that are not there are left out",
    )
    costs.set_defaults(draw=draw_costs)
    about = command("configuration", "the configuration as a page", out=out)
    about.add_argument("--settings", type=stage.settings, required=True)
    about.set_defaults(draw=draw_configuration)
    return parser


def draw_data(args: argparse.Namespace) -> None:
    faces = open_faces(args.faces)
    rejected = len(read_table(args.rejected, "image_name")) if args.rejected else 0
    landmarks = read_json(args.landmarks, *LANDMARK_KEYS) if args.landmarks else None
    empty = read_json(args.masks, EMPTY_MASKS)[EMPTY_MASKS] if args.masks else None
    data.counts(data.steps(faces.splits, rejected, landmarks), empty, args.out / "counts.svg")
    names = faces.attribute_set.names
    data.balance(faces.attributes, names, faces.splits, args.out / "balance.svg")


def draw_numbers(args: argparse.Namespace) -> None:
    from pipeline.core.evaluation.predictions import read_predictions
    from pipeline.core.presentation.figures import performance

    test = read_predictions(args.predictions).of("test")
    table = read_table(args.table, "attribute", "counted", "accuracy", "auroc")
    summary = read_json(args.metrics, "warnings", "groups", "impossible")
    if table["attribute"].tolist() != test.attributes:
        raise UserError(
            f"{args.table} has other attributes than {args.predictions}, or in another order: give"
            " both of one evaluation, which the rule evaluate makes again."
        )
    run = read_json(args.run, "best_epoch", "images")
    history = read_table(args.history, "epoch", "train_mask_loss")
    with may_be_edited(args.run, args.history):
        runs.training(history, run["best_epoch"], run["images"], args.out / "training.svg")
    with may_be_edited(args.metrics, args.table):
        about = f"Trained on {faces_of(read_trained_on(summary.get('model', {})))}"
        performance.bars(table, about, summary["warnings"], args.out / "attributes.svg")
        included = table["counted"].to_numpy(dtype=bool)
        performance.precision_recall(test, table, args.out / "precision_recall.svg")
        performance.groups(summary, args.out / "groups.svg")
    performance.reliability(test, included, args.out / "reliability.svg")
    performance.confusion(test, args.out / "confusion.svg")


def draw_costs(args: argparse.Namespace) -> None:
    """From Snakemake's benchmark files; a job that did not run here has left none."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for rule, file in args.benchmarks:
        if file.is_file():
            jobs = read_table(file, "s", "max_rss", separator="\t")
            tables.setdefault(rule, []).append(jobs)
    joined = {rule: pd.concat(parts) for rule, parts in tables.items()}
    runs.costs(joined, args.out / "costs.svg")


def draw_configuration(args: argparse.Namespace) -> None:
    """Every key with its value, the defaults that were filled in among them."""
    pages.write_page(
        args.out / "configuration.html",
        Path(__file__).with_suffix(".html"),
        title="Configuration",
        sections={key: list(leaves(value)) for key, value in args.settings.items()},
    )


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The values of a section with their dotted keys."""
    if isinstance(value, dict) and value:
        for name, below in value.items():
            yield from leaves(below, f"{key}.{name}" if key else name)
    else:
        yield key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def draw_where(args: argparse.Namespace) -> None:
    from pipeline.core.evaluation.evaluated import open_evaluated
    from pipeline.core.evaluation.inference import Inference
    from pipeline.core.presentation.figures import localization

    test = open_evaluated(args.faces, args.predictions)
    localization.draw_grid(test, args.out / "grid.png")
    inference = Inference(args.weights, attributes=test.predictions.attributes)
    localization.draw_examples(inference, test, args.out / "examples.png")


def draw_maps(args: argparse.Namespace) -> None:
    from pipeline.core.evaluation.evaluated import open_evaluated
    from pipeline.core.evaluation.inference import Inference
    from pipeline.core.presentation.figures import localization

    test = open_evaluated(args.faces, args.predictions)
    inference = Inference(args.weights, attributes=test.predictions.attributes)
    localization.draw_maps(inference, test, args.masks, args.images, args.out)


if __name__ == "__main__":
    main()
