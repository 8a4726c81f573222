"""Evaluate a trained network: logits for each face of valid and test, metrics for the split test.

The images are seen whole, never cropped at random. ``predictions.parquet`` has the labels and
logits, ``metrics.csv`` a row an attribute, ``metrics.json`` the means, their intervals and what
they were computed from. The test split chooses nothing: thresholds come from valid, or are 0.5.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import stage
from pipeline.core.classification import positive_share
from pipeline.core.errors import UserError
from pipeline.core.evaluation import bootstrap, thresholds
from pipeline.core.evaluation.inference import Inference
from pipeline.core.evaluation.label_issues import label_issues
from pipeline.core.evaluation.mask_metrics import MaskMetrics
from pipeline.core.evaluation.predictions import Predictions, write_predictions
from pipeline.core.evaluation.summary import summarise
from pipeline.core.faces import split_checks
from pipeline.core.faces.store import Faces, checked_faces, open_faces
from pipeline.core.files import sha256, write_json, write_table
from pipeline.core.masks.store import check_masks
from pipeline.core.provenance import made_by

log = logging.getLogger(__name__)
EVALUATED_SPLITS = ("valid", "test")
MAX_STRETCH = 0.03  # as much may come of whole pixels alone, in a small image


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors")
    parser.add_argument("--faces", type=Path, required=True, help="the faces to evaluate on")
    parser.add_argument("--trained-on", type=Path, required=True, help="the faces trained on")
    parser.add_argument("--masks", type=Path, help="masks of --faces, to evaluate maps")
    parser.add_argument("--faces-summary", type=Path, help="faces.json, to check --faces against")
    parser.add_argument("--trained-on-summary", type=Path, help="faces.json of --trained-on")
    parser.add_argument("--masks-summary", type=Path, help="masks.json, to check --masks against")
    parser.add_argument("--predictions", type=Path, required=True, help="write: labels and logits")
    parser.add_argument("--metrics", type=Path, required=True, help="write: means, as JSON")
    parser.add_argument("--table", type=Path, required=True, help="write: a row an attribute")
    parser.add_argument("--label-issues", type=Path, help="write: labels that it contradicts")
    for flag, faces in (("--same-as", "--faces"), ("--trained-same-as", "--trained-on")):
        what = f"which attributes of {faces} have another name elsewhere, as JSON"
        parser.add_argument(flag, type=stage.settings, default={}, help=what)
    parser.add_argument("--threads", type=int, default=1, help="images, or resamples, at once")
    parser.add_argument("--settings", type=stage.settings, required=True)
    args = parser.parse_args(argv)
    with stage.running(args.log):
        evaluate(args)


def evaluate(args: argparse.Namespace) -> None:
    """Write the results; ``metrics.json`` last, when the others are whole."""
    settings = args.settings
    summaries = {args.trained_on: args.trained_on_summary}
    summaries[args.faces] = args.faces_summary or summaries.get(args.faces)
    hashes = {path: checked_faces(path, summary) for path, summary in summaries.items()}
    if args.masks:
        check_masks(args.masks, args.masks_summary)
    inference = Inference(
        args.weights, settings["accelerator"], settings["precision"], settings["batch_size"]
    )
    faces, trained = open_faces(args.faces), open_faces(args.trained_on)
    predictions, agreement = predict(args, inference, faces, trained)
    summary, table = summarise(predictions, settings, args.threads)
    summary = replace(
        summary,
        **agreement,
        model={
            "weights_sha256": predictions.weights,
            "settings": inference.settings.to_dict(),
            "trained_on": inference.trained_on and inference.trained_on.to_dict(),
        },
        data={
            "faces_sha256": hashes[args.faces],
            "trained_on_sha256": hashes[args.trained_on],
            "masks_sha256": sha256(args.masks) if args.masks else None,
        },
        made_by=made_by("evaluate", inference.settings.network),
    )
    write_predictions(args.predictions, predictions)
    write_table(args.table, table)
    if args.label_issues:
        write_table(args.label_issues, label_issues(predictions))
    write_json(args.metrics, summary.to_json())


def predict(
    args: argparse.Namespace, inference: Inference, faces: Faces, trained: Faces
) -> tuple[Predictions, dict[str, Any]]:
    """Predictions of ``faces`` with thresholds and warnings, and how the maps agree with the masks
    (see ``infer``). The network keeps the attributes that the faces have, too.
    """
    require_proportions(faces, trained)
    rows, labels = evaluated_rows(faces, args.faces), faces.attribute_set.names
    names = names_for(inference.attributes, labels, args.same_as, args.trained_same_as)
    inference.keep(shared_attributes(inference.attributes, names, args.faces))
    columns = [names.index(name) for name in inference.attributes]
    logits, agreement = infer(
        inference, faces, rows, columns, args.masks, args.settings, args.threads
    )
    predictions = Predictions(
        names=[faces.names[row] for row in rows],
        splits=faces.splits[rows],
        identities=faces.identities[rows],
        label_names=names,
        labels=faces.attributes[rows],
        attributes=inference.attributes,
        logits=logits,
        thresholds=np.full(len(inference.attributes), thresholds.DEFAULT),
        train_positives=train_positives(trained, args.trained_on, names),
        weights=sha256(args.weights),
        exclusive={
            column: shared
            for column, of in inference.settings.exclusive.items()
            if len(shared := tuple(name for name in of if name in inference.attributes)) > 1
        },
    )
    predictions = with_thresholds(predictions, args.settings)
    warnings = find_warnings(trained, faces, predictions, args.settings)
    return replace(predictions, warnings=tuple(warnings)), agreement


def names_for(
    attributes: Sequence[str],
    labels: Sequence[str],
    same_as: dict[str, str],
    trained_same_as: dict[str, str],
) -> list[str]:
    """The names of a data set's ``labels`` as a network calls them that predicts ``attributes``.

    Equal names are equal attributes. The others are equal if their names are after ``same_as`` (of
    the labels) and ``trained_same_as`` (of the attributes); what the network lacks keeps its name.
    ``UserError`` if two labels are one attribute.
    """
    theirs = {trained_same_as.get(name, name): name for name in attributes if name not in labels}
    names = [n if n in attributes else theirs.get(same_as.get(n, n), n) for n in labels]
    for name in attributes:
        if len(same := [label for label, of in zip(labels, names, strict=True) if of == name]) > 1:
            raise UserError(
                f"the data set's same_as makes {' and '.join(same)} both the network's {name}: name"
                " the one there that its labels are to be taken from."
            )
    return names


def shared_attributes(attributes: Sequence[str], names: Sequence[str], path: Path) -> list[str]:
    """The attributes of a network that a data set with labels of these names has, too."""
    shared = [name for name in attributes if name in names]
    if not shared:
        raise UserError(
            f"{path} has none of the network's attributes, {', '.join(attributes)}, but"
            f" {', '.join(names)}; write in the data set's entry which are the same under another"
            f" name, as in same_as: {{{names[0]}: {attributes[0]}}}."
        )
    if left_out := [name for name in attributes if name not in names]:
        log.warning("%s has no labels of %s: they are not evaluated", path, ", ".join(left_out))
    return shared


def infer(
    inference: Inference,
    faces: Faces,
    rows: np.ndarray,
    columns: list[int],
    store: Path | None,
    settings: dict[str, Any],
    threads: int,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Logits (N, A) float32 of the faces ``rows``, and how well the maps agree with the masks.

    ``columns``: where the network's attributes lie among those of the faces.

    The latter is ``masks`` or, of a network without maps, ``class_activation`` of the summary; it
    is empty without a store of masks.
    """
    metrics = MaskMetrics(store, faces, columns, EVALUATED_SPLITS) if store else None
    logits, own_maps = [], False
    for batch, images, output in inference.over(faces, rows, "evaluating", threads):
        logits.append(output.logits.cpu().numpy())
        own_maps = output.maps is not None
        if metrics:
            maps = inference.class_activation(images) if output.maps is None else output.maps
            metrics.add(batch, maps, output.region_maps)
    found = np.concatenate(logits)
    if not np.isfinite(found).all():
        raise UserError(
            "the network's outputs are not finite: its training diverged. Train it again with a"
            " lower learning rate, or in higher precision."
        )
    if not metrics:
        return found, {}
    summary = metrics.summary(inference.attributes, settings, own_maps)
    return found, {"masks" if own_maps else "class_activation": summary}


def require_proportions(faces: Faces, trained: Faces) -> None:
    """Larger or smaller faces are resized; other proportions would be stretched."""
    stretch = (faces.size[0] / faces.size[1]) / (trained.size[0] / trained.size[1])
    if abs(stretch - 1) > MAX_STRETCH:
        sizes = ["{} × {}".format(*of.size) for of in (faces, trained)]
        raise UserError(
            f"the faces of {faces.path} are {sizes[0]} pixels and those trained on {sizes[1]}"
            " (height × width): the network would see them stretched. Give the data set that it is"
            f" evaluated on a `size` of the same proportions, such as {list(trained.size)};"
            " photographs are warped to it with `aligned: false`."
        )


def evaluated_rows(faces: Faces, path: Path) -> np.ndarray:
    """The faces of valid and test, in the order of ``faces/``; without test it is an error."""
    if not len(faces.rows("test")):
        raise UserError(
            f"{path} has no face in the split test, which models are evaluated on: give the data"
            " set one, or evaluate on another."
        )
    return np.flatnonzero(np.isin(faces.splits, EVALUATED_SPLITS))


def train_positives(faces: Faces, path: Path, names: Sequence[str]) -> np.ndarray:
    """(A,) share of positives in the split train, which the majority rule goes by.

    Of the attributes ``names``, on known labels; NaN where the faces trained on have none.
    """
    rows = faces.rows("train")
    if not len(rows):
        raise UserError(
            f"{path} has no face in the split train, so nothing was trained on it: name with"
            " --trained-on the faces that the weights were trained on."
        )
    shares = positive_share(faces.attributes[rows])
    share = dict(zip(faces.attribute_set.names, shares, strict=True))
    return np.array([share.get(name, np.nan) for name in names])


def with_thresholds(predictions: Predictions, settings: dict[str, Any]) -> Predictions:
    """The same predictions with the configured thresholds: 0.5, or chosen on the valid faces."""
    if settings["threshold"] == "fixed":
        return predictions
    valid = predictions.of("valid")
    chosen = thresholds.best_on_valid(valid.model_labels, valid.logits, settings["min_class"])
    return replace(predictions, thresholds=chosen)


def find_warnings(
    trained: Faces, faces: Faces, predictions: Predictions, settings: dict[str, Any]
) -> list[str]:
    """What makes the numbers less trustworthy than they look; it also goes to the log."""
    test = predictions.of("test")
    correct, known = (test.logits > 0) == test.model_labels, test.model_labels >= 0
    shares = (correct & known).sum(axis=0) / known.sum(axis=0).clip(1)
    accuracy = dict(zip(test.attributes, shares.tolist(), strict=True))
    found = split_checks.identities_apart(faces.splits, faces.identities)
    found += split_checks.images_trained_on(trained, faces)
    found += split_checks.official_sizes(faces.splits)
    found += split_checks.fingerprint(len(faces), accuracy)
    if settings["threshold"] == "valid" and "valid" not in faces.splits:
        found.append("there is no valid face to choose thresholds on: each is 0.5")
    found += bootstrap.few_clusters_warning(test.identities)
    for warning in found:
        log.warning("%s", warning)
    return found


if __name__ == "__main__":
    main()
