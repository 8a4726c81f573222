"""Print the metrics of a model, or a comparison, for a terminal of 80 columns.

With --results, what there is to open is named as well.

python -m pipeline.show --results results/synthetic --model attparsenet --model mask_guided
python -m pipeline.show --metrics metrics.json --table metrics.csv
python -m pipeline.show --comparison results/synthetic/comparisons/models.json
"""

import argparse
import os
import sys
from pathlib import Path
from textwrap import wrap
from typing import Any

import pandas as pd

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.files import read_json, read_table
from pipeline.core.presentation.comparison_text import as_text, line
from pipeline.core.presentation.edited import may_be_edited
from pipeline.core.presentation.metric_names import MAIN, MAP_NAMES, NAMES, SHORT_NAMES, number
from pipeline.core.trained_on import faces_of, read_trained_on

BOLD, FAINT, YELLOW = "1", "2", "33"
# Of metrics.csv, with the width of each.
COLUMNS = {"majority_accuracy": 10, "accuracy": 10, "balanced_accuracy": 10, "f1": 8, "auroc": 8}
ARTIFACTS = {  # below results/{dataset}: what it is
    "drawn": "drawn faces with their true parts: an image viewer",
    "faces": "the faces: datasets.load_from_disk",
    "manifest.csv": "every face with its sha256",
    "rejected.csv": "rejected images, with the reason",
    "landmarks.csv": "68 points a face: pandas.read_csv",
    "masks.zarr": "the masks of each face: zarr.open_group(path)['masks'][i]",
    "*/seed-*/weights.safetensors": "the trained network, for predict and export",
    "*/seed-*/history.csv": "losses and metrics, a row an epoch",
    "*/seed-*/run.json": "settings, seed, versions, hashes of the inputs",
    "*/seed-*/on-*/predictions.parquet": "labels and logits: pandas.read_parquet",
    "*/seed-*/on-*/metrics.csv": "every metric with its interval, a row an attribute",
    "*/seed-*/on-*/metrics.json": "means, intervals, groups, warnings",
    "*/seed-*/on-*/label_issues.csv": "labels that the model contradicts, the surest first",
    "*/seed-*/on-*/figures": "pictures: open them in a browser",
    "figures": "pictures of the data: open them in a browser",
    "comparisons": "models side by side",
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, help="folder of a data set's results")
    parser.add_argument("--model", action="append", help="with --results: only this, or these")
    parser.add_argument("--metrics", type=Path, help="one metrics.json")
    parser.add_argument("--table", type=Path, help="with --metrics: its metrics.csv")
    parser.add_argument("--comparison", type=Path, help="one models.json or pairs.json")
    args = parser.parse_args(argv)
    asked = [args.results, args.metrics, args.comparison]
    if asked.count(None) != 2 or bool(args.metrics) != bool(args.table):
        parser.error("give --results, or --metrics together with --table, or --comparison")
    with stage.running():
        stage.print_text("\n".join(show(args)))


def paint(text: str, colour: str) -> str:
    """The text in a colour, on a terminal that is not asked to show none (no-color.org)."""
    colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return f"\x1b[{colour}m{text}\x1b[0m" if colours and colour else text


def show(args: argparse.Namespace) -> list[str]:
    """The lines to print."""
    if args.comparison:
        summary = read_json(args.comparison, "judged")
        if not {"models", "pairs"} & summary.keys():
            raise UserError(
                f"{args.comparison} is no comparison of this version: expected a models.json or"
                " pairs.json; make it again with the target compare_models or compare_pairs."
            )
        return as_text(summary).splitlines()
    if args.metrics:
        return evaluation(args.metrics, args.table, str(args.metrics.parent))
    folders: dict[str, Path] = {}
    for model in args.model or ["*"]:
        found = sorted(args.results.glob(f"{model}/seed-*/on-*/metrics.json"))
        if not found:
            raise UserError(
                f"{args.results} holds no metrics of {'any model' if model == '*' else model}: run"
                " Snakemake with the target train_attparsenet, train_cnn_rnn or all first."
            )
        folders |= {p.parent.relative_to(args.results).as_posix(): p.parent for p in found}
    lines = []
    for title, folder in folders.items():
        lines += evaluation(folder / "metrics.json", folder / "metrics.csv", title)
    if len(folders) > 1:
        lines += side_by_side(folders)
    return [*lines, *artifacts(args.results, args.model or ["*"])]


def side_by_side(folders: dict[str, Path]) -> list[str]:
    """A line an evaluation: the means that are shown for all."""
    head = "".join(f"{SHORT_NAMES[name]:>10}" for name in MAIN)
    lines = ["", paint(f"{'means':<38}{head}{'mask IoU':>10}", BOLD)]
    for title, folder in folders.items():
        summary = read_json(folder / "metrics.json", "masks", *MAIN)
        with may_be_edited(folder / "metrics.json"):
            maps = (summary["masks"] or {}).get("test") or {"mean": {}}
            values = [*(summary[name] for name in MAIN), maps["mean"].get("iou")]
            lines += line(title, "".join(f"{number(value):>10}" for value in values), 38)
    return lines


def evaluation(metrics: Path, table: Path, title: str) -> list[str]:
    """One model's means, attributes and warnings."""
    summary = read_json(metrics, "split", "intervals", "masks", "warnings")
    rows = read_table(table, "attribute", "counted", "positives", *COLUMNS)
    with may_be_edited(metrics, table):
        about = f"trained on {faces_of(read_trained_on(summary.get('model', {})))}"
        lines = ["", paint(title, BOLD), *wrap(about, 80), *means(summary), "", *attributes(rows)]
        for warning in summary["warnings"]:
            lines += [paint(text, YELLOW) for text in wrap(f"Warning: {warning}.", 80)]
        return lines


def means(summary: dict[str, Any]) -> list[str]:
    """The means over attributes, with their intervals."""
    intervals = summary["intervals"]
    mean = f"mean of {summary['attributes']} attributes"
    over = "people" if intervals["over"] == "identities" else "images of unknown people"
    lines = [
        f"{summary['images']:,} {summary['split']} images, intervals over {intervals['units']:,}"
        f" {over}",
        "",
        f"{mean:<36}   95 % interval",
    ]
    for name, words in NAMES.items():
        if summary[name] is not None:
            low_high = intervals.get(name)
            ends = f"   {low_high[0]:.3f} to {low_high[1]:.3f}" if low_high else ""
            lines.append(f"  {words:<25}{summary[name]:>9.3f}{ends}")
    for key, kind in (("masks", "maps"), ("class_activation", "class activation")):
        maps = (summary.get(key) or {}).get("test")
        if maps and maps["attributes"]:
            of = f"   {kind} of {maps['attributes']} attributes"
            values = [(words, maps["mean"].get(name)) for name, words in MAP_NAMES.items()]
            lines += [f"  {words:<25}{value:>9.3f}{of}" for words, value in values if value]
    return lines


def attributes(rows: pd.DataFrame) -> list[str]:
    """A line an attribute, best AUROC first; those outside the means last and marked."""
    rows = rows.sort_values(["counted", "auroc"], ascending=False, kind="stable")
    heads = "".join(f"{SHORT_NAMES[metric]:>{width}}" for metric, width in COLUMNS.items())
    lines = [paint(f"{'attribute':<21}{'positives':>9}{heads}", BOLD)]
    for row in rows.to_dict("records"):
        name = row["attribute"] + ("" if row["counted"] else " *")
        cells = "".join(f"{number(row[metric]):>{width}}" for metric, width in COLUMNS.items())
        worse = row["counted"] and row["accuracy"] < row["majority_accuracy"]
        colour = FAINT if not row["counted"] else YELLOW if worse else ""
        lines.append(paint(f"{name:<21}{row['positives']:>9}{cells}", colour))
    if not rows["counted"].all():
        lines.append("* too few test images of a class: not in the means")
    return lines


def artifacts(results: Path, models: list[str]) -> list[str]:
    """What lies below ``results``, and what each of it is."""
    lines = ["", paint(f"To open, in {results}/", BOLD)]
    for pattern, what in ARTIFACTS.items():
        of_model = pattern.startswith("*/")
        patterns = [model + pattern[1:] for model in models] if of_model else [pattern]
        for path in sorted(path for one in patterns for path in results.glob(one)):
            name = path.relative_to(results).as_posix()
            lines += [f"  {name:<26}{what}"] if len(name) < 25 else [f"  {name}", f"{'':28}{what}"]
    return lines


if __name__ == "__main__":
    main()
