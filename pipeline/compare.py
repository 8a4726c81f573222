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
from pipeline.core.evaluation.comparison import MEAN, ModelMetrics
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
        one.add_argument("--threads", type=int, default=1, help="parts of the resamples at once")
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
    models = {name: evaluate(of_one, args) for name, of_one in by_name.items()}
    values = {name: comparison.summarise(model) for name, model in models.items()}
    differences = {
        (one, other): comparison.summarise(comparison.difference(models[one], models[other]))
        for one, other in combinations(models, 2)
        if set(models[one].attributes) & set(models[other].attributes)
    }
    common = common_attributes(models)
    summary: dict[str, Any] = {
        "judged": about(runs),
        "models": {name: means(table) for name, table in values.items()},
    }
    if common:
        summary["common"] = {
            "attributes": common,
            "models": {
                name: means(comparison.summarise_means(model.only(common)))
                for name, model in models.items()
            },
        }
    summary["differences"] = [
        {"model": one, "minus": other, **means(table)}
        for (one, other), table in differences.items()
    ]
    summary["settings"] = args.settings
    summary["inputs_sha256"] = {
        name: [sha256(path) for of, path in args.predictions if of == name]
        for name, _ in args.predictions
    }
    tables = [table.assign(model=name, minus="") for name, table in values.items()]
    tables += [table.assign(model=one, minus=other) for (one, other), table in differences.items()]
    write_table(args.out_table, led_by(pd.concat(tables), "model", "minus"))
    print(as_text(summary))
    figures.models(panels(models, common), summary["judged"], args.out_figure)
    write_json(args.out_json, summary)


def common_attributes(models: dict[str, ModelMetrics]) -> list[str]:
    """The attributes that all models have."""
    return [
        name
        for name in models[MAJORITY].attributes
        if all(name in model.attributes for model in models.values())
    ]


def panels(models: dict[str, ModelMetrics], common: list[str]) -> dict[str, pd.DataFrame]:
    """What the figure shows: the means over each model's own attributes, and over those of all.

    The latter only where the models do not have the same attributes.
    """
    own = {name: int(model.included.sum()) for name, model in models.items()}
    title = "Mean over each model's attributes (their number)"
    shown = {title: {f"{name} ({own[name]})": model for name, model in models.items()}}
    if len(set(own.values())) == 1:
        shown = {f"Mean over {own[MAJORITY]} attributes": models}
    elif common:
        title = common[0] if len(common) == 1 else f"Mean over {len(common)} attributes"
        shown[title] = {name: model.only(common) for name, model in models.items()}
    return {
        title: pd.concat(
            [
                comparison.summarise_means(model).assign(model=name)
                for name, model in of_title.items()
            ]
        )
        for title, of_title in shown.items()
    }


def compare_segmentation(args: argparse.Namespace) -> None:
    """Write the table, the summary with its sentence, and the figure of ``segmentation``."""
    sides = {"with": args.with_masks, "without": args.without_masks}
    keys = paired_keys(sides)
    runs = comparison.read_runs([path for files in sides.values() for _, _, path in files])
    of_key = dict(
        zip([(side, *key) for side, files in sides.items() for *key, _ in files], runs, strict=True)
    )
    differences, tables = {}, []
    for share in sorted({share for share, _ in keys}):
        seeds = [seed for at, seed in keys if at == share]
        one, other = (
            evaluate([of_key[side, share, seed] for seed in seeds], args) for side in sides
        )
        differences[share] = comparison.summarise(comparison.difference(one, other))
        tables.append(
            differences[share]
            .rename(columns={"value": "difference"})
            .assign(
                share=share,
                with_masks=comparison.summarise(one)["value"],
                without_masks=comparison.summarise(other)["value"],
            )
        )
    faces = about(runs)
    words = f"{faces['images']:,} test images of {faces['units']:,} {faces['over']}"
    words += ", too few for exact intervals" if faces["few_identities"] else ""
    summary = {
        "says": comparison.in_words(differences, words),
        "judged": faces,
        "differences": {f"{share:g}": means(table) for share, table in differences.items()},
        "settings": args.settings,
        "inputs_sha256": {
            side: {f"{share:g}/{seed}": sha256(path) for share, seed, path in files}
            for side, files in sides.items()
        },
    }
    log.info(summary["says"])
    print(as_text(summary))
    write_table(args.out_table, led_by(pd.concat(tables), "share"))
    figures.segmentation(differences, faces, args.out_figure)
    write_json(args.out_json, summary)


def paired_keys(sides: dict[str, list[tuple[float, int, Path]]]) -> list[tuple[float, int]]:
    """The sorted (share, seed) of both sides; a ``UserError`` where a run has no partner."""
    keys = {side: sorted(key[:2] for key in files) for side, files in sides.items()}
    for side, found in keys.items():
        for share, seed in found:
            if found.count((share, seed)) > 1:
                raise UserError(
                    f"--{side} {share:g}/{seed} is given twice: give each share and seed once."
                )
    if keys["with"] != keys["without"]:
        share, seed = min(set(keys["with"]) ^ set(keys["without"]))
        raise UserError(
            f"share {share:g} with seed {seed} is there only with or only without masks: give both,"
            " since the difference is paired by share and seed."
        )
    return keys["with"]


def evaluate(runs: list[Predictions], args: argparse.Namespace) -> ModelMetrics:
    how = args.settings
    return comparison.evaluate(runs, how["min_class"], how["draws"], how["seed"], args.threads)


def about(runs: list[Predictions]) -> dict[str, Any]:
    """What was evaluated on, and the warnings of every run."""
    people = bool((runs[0].identities >= 0).any())
    clusters = int(bootstrap.cluster_numbers(runs[0].identities).max()) + 1
    warnings = [warning for run in runs for warning in run.warnings]
    warnings += bootstrap.few_clusters_warning(clusters, people)
    return {
        "images": len(runs[0].names),
        "units": clusters,
        "over": "people" if people else "images",
        "few_identities": clusters < bootstrap.MIN_CLUSTERS,
        "warnings": list(dict.fromkeys(warnings)),
    }


def means(table: pd.DataFrame) -> dict[str, Any]:
    """The rows of the mean as ``{seeds, attributes, metric: {value, low, high}}``."""
    rows = table[table["attribute"] == MEAN].set_index("metric")
    values: dict[str, Any] = {
        "seeds": int(rows["seeds"].iloc[0]),
        "attributes": int(rows["attributes"].iloc[0]),
    }
    for metric, row in rows.iterrows():
        values[str(metric)] = {
            name: round(float(row[name]), 6) if pd.notna(row[name]) else None
            for name in ("value", "low", "high")
        }
    return values


def led_by(table: pd.DataFrame, *first: str) -> pd.DataFrame:
    """The same table with the columns ``first`` first."""
    return table[[*first, *(column for column in table.columns if column not in first)]]


if __name__ == "__main__":
    main()
