"""Set models side by side on the same test faces, with intervals for their differences.

    python -m pipeline.compare models --predictions attparsenet=A.parquet
        --predictions cnn_rnn=B.parquet … --out-table T.csv --out-json J.json --out-figure F.svg
    python -m pipeline.compare pairs --pair guided,plain --run guided/0.1/64=A.parquet,A.json
        --run plain/0.1/64=B.parquet,B.json … --out-table T.csv --out-json J.json --out-figure F.svg

``models`` takes any models and puts the majority rule beside them; the same name again is another
seed. ``pairs`` takes models trained on the same shares of train with the same seeds, and reports
for each pair, in a sentence and in numbers, how their attributes and their maps differ.
"""

import argparse
import logging
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.evaluation import bootstrap, comparison
from pipeline.core.evaluation.comparison import MEAN, ModelMetrics
from pipeline.core.evaluation.predictions import Predictions
from pipeline.core.evaluation.summary import for_json, read_metrics
from pipeline.core.files import sha256, write_json, write_table
from pipeline.core.presentation.comparison_text import as_text
from pipeline.core.presentation.figures import comparison as figures
from pipeline.core.provenance import made_by

log = logging.getLogger(__name__)
MAJORITY = "majority rule"


def main(argv: list[str] | None = None) -> None:
    parser, command = stage.commands(__doc__)
    models = command("models", "any models and the majority rule")
    models.set_defaults(run=compare_models)
    models.add_argument(
        "--predictions", type=stage.named_file, action="append", required=True, metavar="NAME=FILE"
    )
    pairs = command("pairs", "pairs of models, at the same shares of train and seeds")
    pairs.set_defaults(run=compare_pairs)
    pairs.add_argument("--pair", type=pair, action="append", required=True, metavar="MODEL,MODEL")
    pairs.add_argument(
        "--run",
        type=run_of_model,
        dest="runs",
        action="append",
        required=True,
        metavar="MODEL/SHARE/SEED=PREDICTIONS,METRICS",
    )
    pairs.add_argument(
        "--own-share",
        type=own_share,
        dest="own_shares",
        action="append",
        default=[],
        metavar="MODEL=SHARE",
        help="the share of train that a model learned from by its own settings, where SHARE is 1",
    )
    for one in (models, pairs):
        one.add_argument("--settings", type=stage.settings, required=True)
        one.add_argument("--threads", type=int, default=1, help="parts of the resamples at once")
        one.add_argument("--out-table", type=Path, required=True)
        one.add_argument("--out-json", type=Path, required=True)
        one.add_argument("--out-figure", type=Path, required=True)
    args = parser.parse_args(argv)
    with stage.running(args.log):
        args.run(args)


def pair(text: str) -> tuple[str, str]:
    """``MODEL,MODEL``: the first is compared with the second."""
    names = text.split(",")
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise argparse.ArgumentTypeError(f"must be two models, like guided,plain, not {text!r}")
    return names[0], names[1]


class Run(NamedTuple):
    """A trained and evaluated model; ``key`` is its name, its share of train and its seed."""

    key: tuple[str, float, int]
    predictions: Path
    metrics: Path


def run_of_model(text: str) -> Run:
    """``MODEL/SHARE/SEED=PREDICTIONS,METRICS``, such as ``guided/0.1/64=A.parquet,A.json``."""
    key, _, files = text.partition("=")
    try:
        model, share, seed = key.split("/")
        predictions, metrics = files.split(",")
        return Run((model, float(share), int(seed)), Path(predictions), Path(metrics))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be like guided/0.1/64=predictions.parquet,metrics.json, not {text!r}"
        ) from None


def own_share(text: str) -> tuple[str, float]:
    """``MODEL=SHARE``, such as ``guided=0.1``."""
    model, _, share = text.partition("=")
    try:
        found = float(share)
    except ValueError:
        found = 0
    if not (model and 0 < found <= 1):
        raise argparse.ArgumentTypeError(f"must be like guided=0.1, up to 1, not {text!r}")
    return model, found


def compare_models(args: argparse.Namespace) -> None:
    """Write the table, the summary and the figure of ``models``."""
    runs = comparison.read_runs([path for _, path in args.predictions])
    by_name: dict[str, list[Predictions]] = {}
    for (name, _), run in zip(args.predictions, runs, strict=True):
        by_name.setdefault(name, []).append(run)
    by_name[MAJORITY] = [comparison.majority_rule(runs[0])]
    models = {name: evaluate(of_one, args) for name, of_one in by_name.items()}
    tables = {name: comparison.summarise(model) for name, model in models.items()}
    differences = {
        (one, other): comparison.summarise(comparison.difference(models[one], models[other]))
        for one, other in combinations(models, 2)
        if set(models[one].attributes) & set(models[other].attributes)
    }
    summary: dict[str, Any] = {
        "judged": about(runs),
        "models": {name: means(table) for name, table in tables.items()},
    }
    common = common_attributes(models)
    in_common: dict[str, pd.DataFrame] = {}
    if common:
        for name, model in models.items():
            in_common[name] = comparison.summarise(model.only(common))
        summary["common"] = {
            "attributes": common,
            "models": {name: means(table) for name, table in in_common.items()},
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
    summary["made_by"] = made_by("compare")
    alone = {(name, ""): table for name, table in tables.items()}
    write_table(args.out_table, with_keys(alone | differences, ["model", "minus"]))
    stage.print_text(as_text(summary))
    figures.models(panels(tables, in_common, common), summary["judged"], args.out_figure)
    write_json(args.out_json, summary)


def common_attributes(models: dict[str, ModelMetrics]) -> list[str]:
    """The attributes that all models have."""
    return [
        name
        for name in models[MAJORITY].attributes
        if all(name in model.attributes for model in models.values())
    ]


def panels(
    tables: dict[str, pd.DataFrame], in_common: dict[str, pd.DataFrame], common: list[str]
) -> dict[str, pd.DataFrame]:
    """What the figure shows: the means over each model's own attributes, and over those of all.

    The latter only where the models do not have the same attributes.
    """
    own = {name: means(table)["attributes"] for name, table in tables.items()}
    if len(set(own.values())) == 1:
        shown = {f"Mean over {own[MAJORITY]} attributes": tables}
    else:
        title = "Mean over each model's attributes (their number)"
        shown = {title: {f"{name} ({own[name]})": table for name, table in tables.items()}}
        if common:
            title = common[0] if len(common) == 1 else f"Mean over {len(common)} attributes"
            shown[title] = in_common
    return {
        title: pd.concat(
            [of[of["attribute"] == MEAN].assign(model=name) for name, of in of_title.items()]
        )
        for title, of_title in shown.items()
    }


def compare_pairs(args: argparse.Namespace) -> None:
    """Write the table, the summary with its sentences, and the figure of ``pairs``."""
    trained = seeds_by_share(args.runs, args.pair)
    own_shares = dict.fromkeys(trained, 1.0) | dict(args.own_shares)
    if other := sorted(own_shares.keys() - trained.keys()):
        raise UserError(f"--own-share names {other[0]}, of which there is no --run: give its runs.")
    predictions = comparison.read_runs([run.predictions for run in args.runs])
    of_key = {run.key: found for run, found in zip(args.runs, predictions, strict=True)}
    models = {
        (model, share): evaluate([of_key[model, share, seed] for seed in seeds], args)
        for model in sorted({name for names in args.pair for name in names})
        for share, seeds in trained[model].items()
    }
    faces, maps = about(predictions), mean_maps(args.runs, predictions)
    compared, tables = [], {}
    differences: dict[tuple[str, str], dict[float, pd.DataFrame]] = {}
    for one, other in args.pair:
        of_pair = differences[one, other] = {}
        for share in trained[one]:
            two = models[one, share], models[other, share]
            of_pair[share] = comparison.summarise(comparison.difference(*two))
            tables[one, other, share] = pair_table(two, of_pair[share])
        own = own_shares[one], own_shares[other]
        compared.append(
            {
                "model": one,
                "minus": other,
                "says": comparison.in_words((one, other), of_pair, own, faces),
                "differences": {f"{share:g}": means(table) for share, table in of_pair.items()},
                "maps": {
                    f"{share:g}": {name: maps.get((name, share)) for name in (one, other)}
                    for share in of_pair
                },
            }
        )
    summary = {
        "judged": faces,
        "pairs": compared,
        "settings": args.settings,
        "inputs_sha256": {
            "{}/{:g}/{}".format(*run.key): [sha256(run.predictions), sha256(run.metrics)]
            for run in args.runs
        },
        "made_by": made_by("compare"),
    }
    stage.print_text(as_text(summary))
    write_table(args.out_table, with_keys(tables, ["model", "minus", "share"]))
    figures.pairs(differences, own_shares, faces, args.out_figure)
    write_json(args.out_json, summary)


def seeds_by_share(
    runs: list[Run], pairs: list[tuple[str, str]]
) -> dict[str, dict[float, list[int]]]:
    """For each model the sorted seeds at each share; a ``UserError`` where a run has no partner."""
    keys = [run.key for run in runs]
    for model, share, seed in keys:
        if keys.count((model, share, seed)) > 1:
            raise UserError(f"--run {model}/{share:g}/{seed} is given twice: give each run once.")
    trained: dict[str, dict[float, list[int]]] = {}
    for model, share, seed in sorted(keys):
        trained.setdefault(model, {}).setdefault(share, []).append(seed)
    for one, other in pairs:
        alone = {key[1:] for key in keys if key[0] == one} ^ {
            key[1:] for key in keys if key[0] == other
        }
        if alone or one not in trained:
            share, seed = min(alone, default=(1, 0))
            raise UserError(
                f"{one} and {other} are not both there at share {share:g} with seed {seed}: give"
                " both runs, since the difference is paired by share and seed."
            )
    return trained


def mean_maps(
    runs: list[Run], predictions: list[Predictions]
) -> dict[tuple[str, float], dict[str, float]]:
    """How well each model's maps agree with the test masks: means over attributes and seeds.

    By model and share. Of a model without maps these are its class activation maps; one that was
    evaluated without masks has no entry.
    """
    found: dict[tuple[str, float], list[dict[str, float]]] = {}
    for run, of_run in zip(runs, predictions, strict=True):
        metrics = read_metrics(run.metrics, of_run.weights)
        maps = metrics.get("masks") or metrics.get("class_activation") or {}
        if "test" in maps:
            found.setdefault(run.key[:2], []).append(maps["test"]["mean"])
    tables = {key: pd.DataFrame(of_seeds, dtype=float) for key, of_seeds in found.items()}
    return {key: for_json(table.mean().dropna().to_dict()) for key, table in tables.items()}


def pair_table(two: tuple[ModelMetrics, ModelMetrics], difference: pd.DataFrame) -> pd.DataFrame:
    """The differences of two models, with the values of each in the attributes of both."""
    common = difference["attribute"][difference["attribute"] != MEAN].unique().tolist()
    model, minus = (comparison.summarise(one.only(common))["value"] for one in two)
    renamed = difference.rename(columns={"value": "difference"})
    return renamed.assign(model_value=model, minus_value=minus)


def evaluate(runs: list[Predictions], args: argparse.Namespace) -> ModelMetrics:
    how = args.settings
    return comparison.evaluate(runs, how["min_class"], how["draws"], how["seed"], args.threads)


def about(runs: list[Predictions]) -> dict[str, Any]:
    """What was evaluated on, and the warnings of every run."""
    identities = runs[0].identities
    clusters = int(bootstrap.cluster_numbers(identities).max()) + 1
    warnings = [warning for run in runs for warning in run.warnings]
    warnings += bootstrap.few_clusters_warning(identities)
    return {
        "images": len(runs[0].names),
        "units": clusters,
        "over": "people" if (identities >= 0).any() else "images",
        "few_identities": clusters < bootstrap.MIN_CLUSTERS,
        "warnings": list(dict.fromkeys(warnings)),
    }


def means(table: pd.DataFrame) -> dict[str, Any]:
    """The rows of the mean as ``{seeds, attributes, metric: {value, low, high}}``."""
    rows = table[table["attribute"] == MEAN].set_index("metric")
    counts = {name: int(rows[name].iloc[0]) for name in ("seeds", "attributes")}
    return counts | for_json(rows[["value", "low", "high"]].to_dict("index"))


def with_keys(tables: dict[Any, pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The rows of all ``tables``, in whose first ``columns`` is the key of each."""
    return pd.concat(tables, names=columns).reset_index(columns)


if __name__ == "__main__":
    main()
