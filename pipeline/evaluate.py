"""Judge a trained network: each face of valid and test gets its logits, the test split its metrics.

The images are seen whole, never cropped at random. ``predictions.parquet`` keeps the labels and
logits, ``metrics.csv`` has a row an attribute, ``metrics.json`` the means and all that is said of
them. The test split chooses nothing: thresholds come from valid, or are 0.5.
"""

import argparse
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import pipeline.core.torchvision_on_cpu  # noqa: F401  before lightning

# isort: split
from lightning import Fabric
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException

from pipeline.core import stage
from pipeline.core.attributes import columns_of
from pipeline.core.errors import UserError
from pipeline.core.evaluation import bootstrap, groups, metrics, thresholds
from pipeline.core.evaluation.mask_evaluation import MaskGauge
from pipeline.core.evaluation.predictions import Predictions, write_predictions
from pipeline.core.faces import split_checks
from pipeline.core.faces.store import Faces, open_faces
from pipeline.core.files import sha256, write_json, write_table
from pipeline.core.networks.weights import load_network
from pipeline.core.training.transforms import prepare

log = logging.getLogger(__name__)
JUDGED = ("valid", "test")
ROUNDED = 0.03  # stretching of as much may come of whole pixels alone, in a small image


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors")
    parser.add_argument("--faces", type=Path, required=True, help="the faces to judge on")
    parser.add_argument("--trained-on", type=Path, required=True, help="the faces trained on")
    parser.add_argument("--masks", type=Path, help="masks of the judged faces, to judge maps")
    parser.add_argument("--predictions", type=Path, required=True, help="write: labels and logits")
    parser.add_argument("--metrics", type=Path, required=True, help="write: means, as JSON")
    parser.add_argument("--table", type=Path, required=True, help="write: a row an attribute")
    parser.add_argument("--threads", type=int, default=1, help="images, or draws, at once")
    parser.add_argument("--settings", type=stage.settings, required=True)
    args = parser.parse_args(argv)
    with stage.running(args.log):
        evaluate(args)


def evaluate(args: argparse.Namespace) -> None:
    """Write the three results; ``metrics.json`` last, when the others are whole."""
    settings = args.settings
    judge = Judge(args.weights, settings, args.threads)
    faces, trained = open_faces(args.faces), open_faces(args.trained_on)
    require_proportions(faces, trained)
    rows = judged_rows(faces, args.faces)
    logits, masks = judge.see(faces, rows, args.masks)
    predictions = Predictions(
        names=[faces.names[row] for row in rows],
        splits=faces.splits[rows],
        identities=faces.identities[rows],
        labels=faces.attributes[rows],
        attributes=judge.attributes,
        logits=logits,
        thresholds=np.full(len(judge.attributes), thresholds.USUAL),
        train_positives=train_positives(trained, args.trained_on),
        weights=sha256(args.weights),
    )
    predictions = with_thresholds(predictions, settings)
    predictions = replace(predictions, warnings=doubts(trained, faces, predictions, settings))
    summary, table = assess(predictions, settings, args.threads)
    chosen = {"thresholds": summary["thresholds"]}  # a rare attribute's may be next to nothing
    summary = rounded(summary | {"masks": masks}) | chosen
    summary["warnings"] = list(predictions.warnings)
    summary["model"] = {"weights_sha256": predictions.weights, "settings": judge.model}
    hashes = {path: sha256(path) for path in {args.faces, args.trained_on}}
    summary["data"] = {
        "faces_sha256": hashes[args.faces],
        "trained_on_sha256": hashes[args.trained_on],
    }
    summary["settings"] = settings
    write_predictions(args.predictions, predictions)
    write_table(args.table, table)
    write_json(args.metrics, summary)


class Judge:
    """A trained network that looks at faces, decoded by ``threads``, on the configured device."""

    def __init__(self, weights: Path, settings: dict[str, Any], threads: int) -> None:
        network, self.model = load_network(weights)
        self.attributes: list[str] = self.model["attributes"]
        self.columns = columns_of(self.attributes)
        self.settings, self.threads = settings, threads
        try:
            self.fabric = Fabric(
                accelerator=settings["accelerator"],
                devices=1,
                precision=settings["precision"],
                plugins=LightningEnvironment(),  # one process, inside a SLURM job too
            )
        except (MisconfigurationException, ValueError, RuntimeError) as error:
            raise UserError(
                f"Lightning cannot judge with accelerator {settings['accelerator']!r} and precision"
                f" {settings['precision']!r} ({error}): change them in the section evaluate;"
                " accelerator auto takes what there is."
            ) from None
        self.network = self.fabric.setup_module(network).eval()

    @torch.inference_mode()
    def see(
        self, faces: Faces, rows: np.ndarray, store: Path | None
    ) -> tuple[np.ndarray, dict[str, Any] | None]:
        """Logits (N, A) float32 of the faces ``rows``, and how well the maps fit the masks.

        The latter is None without a store, or when the network makes no maps.
        """
        gauge = MaskGauge(store, faces, self.columns, JUDGED) if store else None
        logits = np.empty((len(rows), len(self.attributes)), np.float32)
        size = self.settings["batch_size"]
        parts = list(range(0, len(rows), size))
        batches = decoded(faces, [rows[at : at + size] for at in parts], self.threads)
        for at, (batch, images) in zip(
            parts, stage.progress(batches, len(parts), "judging", "batch"), strict=True
        ):
            said = self.network(
                prepare(self.fabric.to_device(torch.from_numpy(images)), self.model)
            )
            logits[at : at + len(batch)] = said.logits.float().cpu().numpy()
            if gauge and said.maps is not None:
                gauge.add(batch, said.maps.float())
        if not np.isfinite(logits).all():
            raise UserError(
                "the network's outputs are not finite: its training diverged. Train it again with"
                " a lower learning rate, or in higher precision."
            )
        summary = gauge.summary(self.attributes, self.settings["min_class"]) if gauge else None
        return logits, summary


def decoded(
    faces: Faces, batches: list[np.ndarray], threads: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row numbers and images (B, 3, H, W) uint8 of each batch."""
    with ThreadPoolExecutor(threads) as pool:
        for rows in batches:
            images = np.stack(list(pool.map(faces.image, rows)))
            yield rows, np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def require_proportions(judged: Faces, trained: Faces) -> None:
    """Larger or smaller is no matter; other proportions would be stretched to the network's."""
    stretched = (judged.size[0] / judged.size[1]) / (trained.size[0] / trained.size[1])
    if abs(stretched - 1) > ROUNDED:
        sizes = ["{} × {}".format(*faces.size) for faces in (judged, trained)]
        raise UserError(
            f"the faces of {judged.path} are {sizes[0]} pixels and those trained on {sizes[1]}"
            " (height × width): the network would see them stretched. Give the data set that is"
            f" judged a `size` of the same proportions, such as {list(trained.size)}; photographs"
            " are warped to it with `aligned: false`."
        )


def judged_rows(faces: Faces, path: Path) -> np.ndarray:
    """The faces of valid and test, in the order of ``faces/``; without test it is an error."""
    if not len(faces.rows("test")):
        raise UserError(
            f"{path} has no face in the split test, and only that is judged: give the data set one,"
            " or judge on another."
        )
    return np.flatnonzero(np.isin(faces.splits, JUDGED))


def train_positives(faces: Faces, path: Path) -> np.ndarray:
    """(40,) share of positives in the split train, whose majority is the rule to beat."""
    rows = faces.rows("train")
    if not len(rows):
        raise UserError(
            f"{path} has no face in the split train, so nothing was trained on it: name with"
            " --trained-on the faces that the weights were trained on."
        )
    share: np.ndarray = faces.attributes[rows].mean(axis=0)
    return share


def with_thresholds(predictions: Predictions, settings: dict[str, Any]) -> Predictions:
    """The same predictions with the configured thresholds: 0.5, or chosen on the valid faces."""
    if settings["threshold"] == "fixed":
        return predictions
    valid = predictions.of("valid")
    labels = valid.labels[:, valid.columns]
    chosen = thresholds.on_valid(labels, valid.logits, settings["min_class"])
    return replace(predictions, thresholds=chosen)


def assess(
    predictions: Predictions, settings: dict[str, Any], threads: int = 1
) -> tuple[dict[str, Any], pd.DataFrame]:
    """``metrics.json``'s means, intervals, groups and ``metrics.csv``, from predictions alone.

    Only the split test is looked at. Means are over the attributes with at least ``min_class``
    faces of each class; the others keep their row, marked by ``counted``.
    """
    test = predictions.of("test")
    labels = test.labels[:, test.columns]
    counted = metrics.countable(labels, settings["min_class"])
    units = bootstrap.unit_numbers(test.identities)
    sample = metrics.Sample(labels, test.logits, test.thresholds, units)
    values = {"majority_accuracy": majority_accuracy(test)}
    values |= metrics.measure(labels, test.logits, test.thresholds)
    draws = bootstrap.resample(sample, settings["draws"], settings["seed"], threads)
    summary: dict[str, Any] = {
        "split": "test",
        "images": len(test.names),
        "attributes": int(counted.sum()),
        **{name: mean(column, counted) for name, column in values.items()},
        "intervals": {
            **about_intervals(test.identities, units, settings),
            **{name: ends(draws[name][:, counted], sample.count) for name in metrics.DRAWN},
        },
        "left_out": [name for name, kept in zip(test.attributes, counted, strict=True) if not kept],
        "thresholds": dict(zip(test.attributes, test.thresholds.tolist(), strict=True)),
    }
    said = test.logits > metrics.cuts(test.thresholds)
    summary["groups"] = [
        groups.by_group(
            test.labels, said, test.attributes, units, counted, group_by, settings["min_class"]
        )
        for group_by in settings["groups"]
    ]
    summary["impossible"] = groups.impossible(test.labels, said, test.attributes)
    return summary, as_table(test, counted, values, draws, sample.count)


def majority_accuracy(test: Predictions) -> np.ndarray:
    """(A,) accuracy of saying of every face what most train faces are."""
    majority = test.train_positives[test.columns] > 0.5
    accuracy: np.ndarray = (test.labels[:, test.columns] == majority).mean(axis=0)
    return accuracy


def about_intervals(
    identities: np.ndarray, units: np.ndarray, settings: dict[str, Any]
) -> dict[str, Any]:
    """How the intervals were made, and whether they are known to be too narrow."""
    count = int(units.max()) + 1
    return {
        "level": bootstrap.LEVEL,
        "kind": "bootstrap, expanded percentile",
        "over": "identities" if (identities >= 0).any() else "images",
        "units": count,
        "few_identities": count < bootstrap.FEW,
        "draws": settings["draws"],
    }


def mean(values: np.ndarray, counted: np.ndarray) -> float | None:
    """The mean of the counted attributes; None where there is none."""
    return float(values[counted].mean()) if counted.any() else None


def ends(draws: np.ndarray, units: int) -> list[float] | None:
    """The interval of a metric's mean over attributes, from its draws (D, A)."""
    low, high = bootstrap.interval(bootstrap.mean_over_attributes(draws), units)
    return [float(low), float(high)] if np.isfinite(low) else None


def as_table(
    test: Predictions,
    counted: np.ndarray,
    values: dict[str, np.ndarray],
    draws: dict[str, np.ndarray],
    units: int,
) -> pd.DataFrame:
    """``metrics.csv``: a row an attribute; a metric with an interval is followed by its ends."""
    columns: dict[str, Any] = {
        "attribute": test.attributes,
        "counted": counted,
        "images": len(test.names),
        "positives": test.labels[:, test.columns].sum(axis=0),
        "threshold": test.thresholds,
        "majority_accuracy": values["majority_accuracy"],
    }
    for name in metrics.METRICS:
        columns[name] = values[name]
        if name in draws:
            low, high = bootstrap.interval(draws[name], units)
            columns[f"{name}_low"], columns[f"{name}_high"] = low, high
    return pd.DataFrame(columns)


def doubts(
    trained: Faces, faces: Faces, predictions: Predictions, settings: dict[str, Any]
) -> tuple[str, ...]:
    """What makes the numbers doubtful; it also goes to the log."""
    test = predictions.of("test")
    right = (test.logits > 0) == test.labels[:, test.columns]
    accuracy = dict(zip(test.attributes, right.mean(axis=0).tolist(), strict=True))
    found = split_checks.identities_apart(faces.splits, faces.identities)
    found += split_checks.images_trained_on(trained, faces)
    found += split_checks.official_sizes(faces.splits)
    found += split_checks.fingerprint(len(faces), accuracy)
    if settings["threshold"] == "valid" and "valid" not in faces.splits:
        found.append("there is no valid face to choose thresholds on: each is 0.5")
    units = int(bootstrap.unit_numbers(test.identities).max()) + 1
    found += bootstrap.too_few(units, people=bool((test.identities >= 0).any()))
    for warning in found:
        log.warning("%s", warning)
    return tuple(found)


def rounded(value: Any) -> Any:
    """The same with six decimals, which is more than any of it is worth."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
