"""Set models side by side on the same test faces, with intervals for their differences.

    python -m pipeline.compare models --predictions attparsenet=A.parquet
        --predictions cnn_rnn=B.parquet … --out-table T.csv --out-json J.json --out-figure F.svg
    python -m pipeline.compare segmentation --with 0.1/64=A.parquet --without 0.1/64=B.parquet …

``models`` takes any models and puts the majority rule beside them; the same name again is another
seed. ``segmentation`` takes AttParseNet with and without masks, each at its share of train and
seed, and says in one sentence what masks do.
"""

import argparse
import logging
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.evaluation import bootstrap, comparison
from pipeline.core.evaluation.comparison import MEAN, Judged
from pipeline.core.evaluation.predictions import Predictions
from pipeline.core.files import sha256, write_json, write_table
from pipeline.core.presentation.comparison_text import as_text
from pipeline.core.presentation.figures import comparison as figures

log = logging.getLogger(__name__)
MAJORITY = "majority rule"


def main(argv: list[str] | None = None) -> None:
    parser, command = stage.commands(__doc__)
    models = command("models", "any models and the majority rule")
    models.set_defaults(run=compare_models)
    models.add_argument(
        "--predictions", type=named, action="append", required=True, metavar="NAME=FILE"
    )
    segmentation = command("segmentation", "AttParseNet with and without masks")
    segmentation.set_defaults(run=compare_segmentation)
    for side in ("with", "without"):
        segmentation.add_argument(
            f"--{side}",
            dest=f"{side}_masks",
            type=share_and_seed,
            action="append",
            required=True,
            metavar="SHARE/SEED=FILE",
        )
    for one in (models, segmentation):
        one.add_argument("--settings", type=stage.settings, required=True)
        one.add_argument("--threads", type=int, default=1, help="parts of the draws at once")
        one.add_argument("--out-table", type=Path, required=True)
        one.add_argument("--out-json", type=Path, required=True)
        one.add_argument("--out-figure", type=Path, required=True)
    args = parser.parse_args(argv)
    with stage.running(args.log):
        args.run(args)


def named(text: str) -> tuple[str, Path]:
    """``NAME=FILE``."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"must be like name=predictions.parquet, not {text!r}")
    return name, Path(path)


def share_and_seed(text: str) -> tuple[float, int, Path]:
    """``SHARE/SEED=FILE``, such as ``0.1/64=predictions.parquet``."""
    key, equals, path = text.partition("=")
    try:
        share, seed = key.split("/")
        if equals and path:
            return float(share), int(seed), Path(path)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"must be like 0.1/64=predictions.parquet, not {text!r}")


def compare_models(args: argparse.Namespace) -> None:
    """Write the table, the summary and the figure of ``models``."""
    runs = comparison.read_runs([path for _, path in args.predictions])
    by_name: dict[str, list[Predictions]] = {}
    for (name, _), run in zip(args.predictions, runs, strict=True):
        by_name.setdefault(name, []).append(run)
    by_name[MAJORITY] = [comparison.majority_rule(runs[0])]
    judged = {name: judge(of_one, args) for name, of_one in by_name.items()}
    values = {name: comparison.summarise(of_one) for name, of_one in judged.items()}
    pairs = {
        (one, other): comparison.summarise(comparison.difference(judged[one], judged[other]))
        for one, other in combinations(judged, 2)
        if set(judged[one].attributes) & set(judged[other].attributes)
    }
    table = pd.concat(
        [of_one.assign(model=name, minus="") for name, of_one in values.items()]
        + [of_pair.assign(model=one, minus=other) for (one, other), of_pair in pairs.items()]
    )
    write_table(args.out_table, led_by(table, "model", "minus"))
    summary: dict[str, Any] = {
        "judged": about(runs),
        "models": {name: means(of_one) for name, of_one in values.items()},
    }
    common = shared(judged)
    if common:
        only = {name: means_of(of_one.only(common)) for name, of_one in judged.items()}
        summary["common"] = {
            "attributes": common,
            "models": {name: means(table) for name, table in only.items()},
        }
    summary["differences"] = [
        {"model": one, "minus": other, **means(of_pair)} for (one, other), of_pair in pairs.items()
    ]
    summary["settings"] = args.settings
    summary["inputs_sha256"] = {
        name: [sha256(path) for of, path in args.predictions if of == name]
        for name, _ in args.predictions
    }
    print(as_text(summary))
    figures.models(panels(judged, common), summary["judged"], args.out_figure)
    write_json(args.out_json, summary)


def shared(judged: dict[str, Judged]) -> list[str]:
    """The attributes that all models have."""
    everyone = [set(of_one.attributes) for of_one in judged.values()]
    return [name for name in judged[MAJORITY].attributes if name in set.intersection(*everyone)]


def panels(judged: dict[str, Judged], common: list[str]) -> dict[str, pd.DataFrame]:
    """What the figure shows: the means over each model's own attributes, and over those of all.

    The latter only where the models do not have the same attributes.
    """
    own = {name: int(of_one.counted.sum()) for name, of_one in judged.items()}
    title = "Mean over each model's attributes (their number)"
    shown = {title: {f"{name} ({own[name]})": one for name, one in judged.items()}}
    if len(set(own.values())) == 1:
        shown = {f"Mean over {own[MAJORITY]} attributes": judged}
    elif common:
        title = common[0] if len(common) == 1 else f"Mean over {len(common)} attributes"
        shown[title] = {name: of_one.only(common) for name, of_one in judged.items()}
    return {
        title: pd.concat([means_of(one).assign(model=name) for name, one in of_title.items()])
        for title, of_title in shown.items()
    }


def means_of(judged: Judged) -> pd.DataFrame:
    table = comparison.summarise(judged)
    return table[table["attribute"] == MEAN]


def compare_segmentation(args: argparse.Namespace) -> None:
    """Write the table, the summary with its sentence, and the figure of ``segmentation``."""
    sides = {"with": args.with_masks, "without": args.without_masks}
    keys = {
        side: sorted((share, seed) for share, seed, _ in files) for side, files in sides.items()
    }
    for side, found in keys.items():
        for share, seed in found:
            if found.count((share, seed)) > 1:
                raise UserError(
                    f"--{side} {share:g}/{seed} is given twice: give each share and seed once."
                )
    if keys["with"] != keys["without"]:
        lone = set(keys["with"]) ^ set(keys["without"])
        share, seed = min(lone)
        raise UserError(
            f"share {share:g} with seed {seed} is there only with or only without masks: give both,"
            " since the difference is paired by share and seed."
        )
    runs = read_sides(sides)
    differences, tables = {}, []
    for share in sorted({share for share, _ in keys["with"]}):
        seeds = [seed for at, seed in keys["with"] if at == share]
        one, other = (judge([runs[side, share, seed] for seed in seeds], args) for side in sides)
        between = comparison.difference(one, other)
        differences[share] = comparison.summarise(between)
        tables.append(
            differences[share]
            .rename(columns={"value": "difference"})
            .assign(
                share=share,
                with_masks=comparison.summarise(one)["value"],
                without_masks=comparison.summarise(other)["value"],
            )
        )
    judged = about(list(runs.values()))
    faces = f"{judged['images']:,} test images of {judged['units']:,} {judged['over']}"
    faces += ", too few for exact intervals" if judged["few_identities"] else ""
    says = comparison.in_words(differences, faces)
    log.info(says)
    summary = {
        "says": says,
        "judged": judged,
        "differences": {f"{share:g}": means(table) for share, table in differences.items()},
        "settings": args.settings,
        "inputs_sha256": {
            side: {f"{share:g}/{seed}": sha256(path) for share, seed, path in files}
            for side, files in sides.items()
        },
    }
    print(as_text(summary))
    write_table(args.out_table, led_by(pd.concat(tables), "share"))
    figures.segmentation(differences, judged, args.out_figure)
    write_json(args.out_json, summary)


def read_sides(
    sides: dict[str, list[tuple[float, int, Path]]],
) -> dict[tuple[str, float, int], Predictions]:
    """The predictions by side, share and seed."""
    keys = [(side, share, seed) for side, files in sides.items() for share, seed, _ in files]
    runs = comparison.read_runs([path for files in sides.values() for _, _, path in files])
    return dict(zip(keys, runs, strict=True))


def judge(runs: list[Predictions], args: argparse.Namespace) -> Judged:
    how = args.settings
    return comparison.judge(runs, how["min_class"], how["draws"], how["seed"], args.threads)


def about(runs: list[Predictions]) -> dict[str, Any]:
    """What was judged on, and the warnings of every run."""
    people = bool((runs[0].identities >= 0).any())
    units = int(bootstrap.unit_numbers(runs[0].identities).max()) + 1
    warnings = [doubt for run in runs for doubt in run.warnings] + bootstrap.too_few(units, people)
    return {
        "images": len(runs[0].names),
        "units": units,
        "over": "people" if people else "images",
        "few_identities": units < bootstrap.FEW,
        "warnings": list(dict.fromkeys(warnings)),
    }


def means(table: pd.DataFrame) -> dict[str, Any]:
    """The rows of the mean as ``{seeds, attributes, metric: {value, low, high}}``."""
    rows = table[table["attribute"] == MEAN].set_index("metric")
    found: dict[str, Any] = {
        "seeds": int(rows["seeds"].iloc[0]),
        "attributes": int(rows["attributes"].iloc[0]),
    }
    for metric, row in rows.iterrows():
        found[str(metric)] = {
            name: round(float(row[name]), 6) if pd.notna(row[name]) else None
            for name in ("value", "low", "high")
        }
    return found


def led_by(table: pd.DataFrame, *first: str) -> pd.DataFrame:
    """The same table with the columns ``first`` first."""
    return table[[*first, *(column for column in table.columns if column not in first)]]


if __name__ == "__main__":
    main()
