"""Train one row of a network's last layer again, on valid faces of which every group has as many.

The network's features stay as they are: one pass over valid, then seconds. The attribute is the
first of --groups, whose combinations are the groups. A model whose logits are calibrated has a new
temperature for this row, from the same faces. The result is a model like any other; its
history is that of the training that it starts from.
"""

import argparse
import logging
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.core import stage
from pipeline.core.classification import group_labels, group_numbers
from pipeline.core.errors import UserError
from pipeline.core.evaluation.bootstrap import cluster_numbers
from pipeline.core.faces.store import Faces, checked_faces, open_faces
from pipeline.core.files import read_json, read_table, replacing, sha256, write_json
from pipeline.core.model_settings import ModelSettings
from pipeline.core.networks.exclusive import last_layer
from pipeline.core.networks.weights import load_network, read_metadata, save_weights
from pipeline.core.provenance import made_by
from pipeline.core.trained_on import TrainedOn, read_trained_on
from pipeline.core.training.last_layer import read_outputs, temperatures
from pipeline.core.training.loaders import FaceBatches
from pipeline.core.training.retraining import Examples, Row, retrain

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="weights to start from")
    parser.add_argument("--history", type=Path, required=True, help="history.csv of these")
    parser.add_argument("--run", type=Path, required=True, help="run.json of these")
    parser.add_argument("--faces", type=Path, required=True, help="those trained on, or others")
    parser.add_argument("--faces-summary", type=Path, help="faces.json, to check --faces against")
    parser.add_argument("--out", type=Path, required=True, help="folder for the same three files")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1, help="images that are decoded at once")
    parser.add_argument(
        "--settings", type=stage.settings, required=True, help="groups and last_layer_of, as JSON"
    )
    args = parser.parse_args(argv)
    with stage.running(args.log):
        retrain_last_layer(args)


def retrain_last_layer(args: argparse.Namespace) -> None:
    """Write weights, history and the account of the run; the last when the others are whole."""
    used = checked_faces(args.faces, args.faces_summary)
    network, settings = load_network(args.weights)
    names = args.settings["groups"]
    account = read_json(args.run, "settings", "inputs_sha256", "epochs")
    trained_on = read_trained_on(read_metadata(args.weights))
    require_of_one_training(args, account, settings, trained_on)
    faces = open_faces(args.faces)
    require_groups(names, settings, faces)
    if used != account["inputs_sha256"].get("faces"):
        log.warning(
            "%s are not the faces that the network was trained on: the last_layer of %s has their"
            " hash",
            *(args.faces, args.out / "run.json"),
        )
    found = fit_row(network, settings, faces, args)
    made_from = args.settings["last_layer_of"]
    settings = replace(settings, groups=tuple(names), last_layer_of=made_from)
    save_weights(args.out / "weights.safetensors", network, settings, trained_on)
    with replacing(args.out / "history.csv") as partial:
        shutil.copyfile(args.history, partial)
    account["settings"] |= settings.to_dict()
    account["last_layer"] = {
        "attribute": names[0],
        "of_weights_sha256": sha256(args.weights),
        "faces_sha256": used,
        **found,
        **made_by("retrain", settings.network),
    }
    write_json(args.out / "run.json", account)


def require_of_one_training(
    args: argparse.Namespace,
    account: dict[str, Any],
    settings: ModelSettings,
    trained_on: TrainedOn | None,
) -> None:
    """A ``UserError`` unless --run, whose content is ``account``, and --history are of --weights.

    Of trainings that differ in their seed alone, which weights do not have, nothing is noticed, nor
    a setting that came after the training.
    """
    known, of_run = settings.to_dict(), account["settings"]
    other = [key for key in known if key in of_run and of_run[key] != known[key]]
    if trained_on and account.get("trained_on") != trained_on.to_dict():
        other.append("trained_on")
    if other:
        raise UserError(
            f"{args.run} is not of the training of {args.weights}, since they differ in"
            f" {', '.join(other)}: give the run.json that lies beside the weights."
        )
    epochs = len(read_table(args.history, "epoch"))
    if epochs != account["epochs"]:
        raise UserError(
            f"{args.history} has {epochs} epochs, and {args.run} has {account['epochs']}: give the"
            " history.csv that lies beside the weights."
        )


def require_groups(names: list[str], settings: ModelSettings, faces: Faces) -> None:
    """A ``UserError`` unless the network predicts, and the faces have, the attributes ``names``."""
    if not names or not set(names) <= set(settings.attributes):
        raise UserError(
            f"--settings has the groups {names}; expected one or two of the attributes that the"
            f" model predicts: {', '.join(settings.attributes)}"
        )
    if names[0] in (name for of in settings.exclusive.values() for name in of):
        raise UserError(
            f"--settings has the groups {names}, and {names[0]} excludes other attributes by a"
            " softmax, whose last layer cannot be trained for one of them; choose another first."
        )
    if missing := [name for name in names if name not in faces.attribute_set.names]:
        raise UserError(
            f"{faces.path} has no attribute {missing[0]}, which the groups name: give faces that"
            f" have it, or choose groups among {', '.join(faces.attribute_set.names)}"
        )


def fit_row(
    network: nn.Module, settings: ModelSettings, faces: Faces, args: argparse.Namespace
) -> dict[str, Any]:
    """Exchange the row of the groups' first attribute in the network's last layer; return how."""
    names = args.settings["groups"]
    labels = faces.attributes[:, faces.attribute_set.columns(names)]
    rows, target = faces.rows("valid"), settings.attributes.index(names[0])
    rows = rows[(labels[rows] >= 0).all(axis=1)]  # faces whose group is known
    if not len(rows):
        raise UserError(
            f"{args.faces} has no face in the split valid with labels of {' and '.join(names)}, on"
            " which the last layer is trained; choose other groups"
        )
    began = time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batches = FaceBatches(faces, labels, None)
    valid = read_outputs(network, settings, batches, rows, device, args.threads, features=True)
    read, layer = time.monotonic(), last_layer(network)
    weight = layer.weight[target].detach().cpu().numpy().astype(float)
    numbers = group_numbers(valid.labels == 1)
    examples = Examples(valid.features.astype(float), valid.labels[:, 0] == 1, numbers)
    people = cluster_numbers(faces.identities[rows])
    trained, groups = Row(weight, layer.bias[target].item()), group_labels(len(names))
    row, found = retrain(examples, len(groups), people, trained, args.seed)
    seconds = read - began, time.monotonic() - read
    log.info("features of %d faces in %.1f s, the last layer in %.1f s", len(rows), *seconds)
    if settings.calibration == "temperature":
        logits = examples.features @ row.weight + row.bias
        by = temperatures(valid.labels[:, :1], logits[:, None]).item()
        found["temperature"] = by
        row = Row(row.weight / by, row.bias / by)
    with torch.no_grad():
        layer.weight[target] = torch.from_numpy(row.weight)
        layer.bias[target] = row.bias
    found["groups"] = [
        {"group": dict(zip(names, group, strict=True)), "valid": int((numbers == number).sum())}
        for number, group in enumerate(groups)
    ]
    return found


if __name__ == "__main__":
    main()
