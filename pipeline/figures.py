"""Draw the figures: of the data, of a model's numbers, of where it looks, of what a run cost.

Plots are SVG, pictures PNG. ``attributes.svg``, ``maps.png`` and the like appear in ``--out``;
what each one shows is told in ``workflow/report``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.core import stage
from pipeline.core.faces import open_faces
from pipeline.core.figures import data, runs


def main(argv: list[str] | None = None) -> None:
    args = arguments().parse_args(argv)
    with stage.running(args.log):
        args.draw(args)


def arguments() -> argparse.ArgumentParser:
    parser = stage.parser(__doc__)
    commands = parser.add_subparsers(required=True)

    def command(name: str, draw: Any, what: str, *paths: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=what, description=what)
        for path in paths:
            made.add_argument(f"--{path}", type=Path, required=True)
        made.add_argument("--out", type=Path, required=True, help="folder for the figures")
        made.add_argument("--log", type=Path, help="write the details to this file")
        made.set_defaults(draw=draw)
        return made

    counts = command("data", draw_data, "faces at each step, and the attributes", "faces")
    counts.add_argument("--rejected", type=Path, help="rejected.csv")
    counts.add_argument("--landmarks", type=Path, help="landmarks.json")
    counts.add_argument("--masks", type=Path, help="masks.json")
    command(
        "numbers",
        draw_numbers,
        "a judged model's numbers",
        "run",
        "history",
        "predictions",
        "metrics",
        "table",
    )
    looks = command(
        "where",
        draw_where,
        "test faces and where the network looks",
        "weights",
        "faces",
        "predictions",
    )
    looks.add_argument("--masks", type=Path, help="masks.zarr, to show maps beside their targets")
    looks.add_argument("--images", type=int, default=1000, help="test faces that means are over")
    costs = command("costs", draw_costs, "time and memory of each rule")
    costs.add_argument("--benchmarks", type=Path, nargs="*", help="Snakemake's benchmark files")
    return parser


def draw_data(args: argparse.Namespace) -> None:
    faces = open_faces(args.faces)
    rejected = len(pd.read_csv(args.rejected)) if args.rejected else 0
    landmarks, masks = (
        json.loads(path.read_text()) if path else None for path in (args.landmarks, args.masks)
    )
    empty = masks["positive_with_empty_mask"] if masks else None
    data.counts(data.steps(faces.splits, rejected, landmarks), empty, args.out / "counts.svg")
    data.balance(faces.attributes, faces.splits, args.out / "balance.svg")


def draw_numbers(args: argparse.Namespace) -> None:
    from pipeline.core.figures import judgement
    from pipeline.core.predictions import read_predictions

    test = read_predictions(args.predictions).of("test")
    table = pd.read_csv(args.table)
    summary, run = (json.loads(path.read_text()) for path in (args.metrics, args.run))
    runs.training(
        pd.read_csv(args.history), run["best_epoch"], run["images"], args.out / "training.svg"
    )
    judgement.bars(table, args.out / "attributes.svg")
    counted = table["counted"].to_numpy(dtype=bool)
    judgement.reliability(test, counted, args.out / "reliability.svg")
    judgement.precision_recall(test, table, args.out / "precision_recall.svg")
    judgement.confusion(test, args.out / "confusion.svg")
    judgement.groups(summary, args.out / "groups.svg")


def draw_costs(args: argparse.Namespace) -> None:
    tables: dict[str, list[pd.DataFrame]] = {}
    for file in sorted(args.benchmarks or []):
        table = pd.read_csv(file, sep="\t")
        tables.setdefault(rule_of(file), []).append(table)
    joined = {rule: pd.concat(parts) for rule, parts in tables.items()}
    runs.costs(joined, args.out / "costs.svg")


def rule_of(benchmark: Path) -> str:
    """``landmarks/3-of-16.tsv`` → landmarks; ``attparsenet/seed-64/train.tsv`` → its model too."""
    if "-of-" in benchmark.stem:
        return benchmark.parent.name
    folders = [part for part in benchmark.parts if part.startswith(("seed-", "on-"))]
    if folders:
        at = benchmark.parts.index(folders[0])
        return f"{benchmark.stem} {benchmark.parts[at - 1]}"
    return benchmark.stem


def draw_where(args: argparse.Namespace) -> None:
    from pipeline.core.figures import where
    from pipeline.core.judged import open_judged
    from pipeline.core.viewing import Viewer

    viewer, test = Viewer(args.weights), open_judged(args.faces, args.predictions)
    where.draw_grid(test, args.out / "grid.png")
    where.draw_examples(viewer, test, args.out / "examples.png")
    if args.masks:
        where.draw_maps(viewer, test, args.masks, args.images, args.out)


if __name__ == "__main__":
    main()
