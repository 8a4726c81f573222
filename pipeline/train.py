"""Train a network to predict the attributes of faces and, with masks, where each one shows.

What is best on the valid split becomes the weights; the test split is not looked at. A training
that was killed, or that stopped itself at ``max_minutes``, resumes from its checkpoint when the
same command is run again.
"""

import argparse
import json
import logging
import platform
import shutil
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.faces.store import Faces, checked_faces, open_faces
from pipeline.core.files import alone, digest, remove, replacing, sha256, write_json
from pipeline.core.masks.store import check_masks
from pipeline.core.model_settings import (
    TrainingSettings,
    decisive,
    misfit,
    needs_masks,
    starts_from_imagenet,
)
from pipeline.core.networks import build
from pipeline.core.networks.weights import load_network, save_weights, start_from
from pipeline.core.provenance import made_by
from pipeline.core.trained_on import SOURCES, TrainedOn
from pipeline.core.training.checkpoints import (
    LAST,
    Checkpoints,
    epoch_file,
    ranked,
    read_checkpoint,
    write_history,
)
from pipeline.core.training.data import FaceData
from pipeline.core.training.devices import RANK
from pipeline.core.training.last_layer import divide_logits, read_outputs, temperatures
from pipeline.core.training.learner import Learner
from pipeline.core.training.loop import Training

log = logging.getLogger(__name__)


def train(args: argparse.Namespace) -> None:
    """Train, or resume a training; write the weights, the history and the account of the run."""
    began = time.monotonic()
    if args.threads:
        torch.set_num_threads(args.threads)
    faces = open_faces(args.faces)
    settings = resolve(args.settings, faces, args.masks, args.initial)
    masks = args.masks if needs_masks(args.settings) else None
    data = FaceData(faces, settings, args.seed, masks)
    learner = new_learner(in_time(settings, args.job_minutes), data, args.initial, args.rename)
    learner.valid_predictions.require_defined(data.valid_faces.labels[data.splits["valid"]])
    account = describe(learner.network, data, checked_inputs(args, masks))
    trained_on = TrainedOn(args.data_set, args.source, account["images"])
    account["trained_on"] = trained_on.to_dict()

    folder = args.checkpoints / fingerprint(account)[:12]
    with alone(folder) if RANK == 0 else nullcontext():
        state = read_checkpoint(folder, may_write=RANK == 0)
        checkpoints = Checkpoints(folder, state, trained_on)
        # Also where no epoch is left: there all processes meet, and so have read the checkpoint.
        Training(learner, data, checkpoints, began).run()
        if RANK == 0:
            best = ranked(checkpoints.history, settings)[0]
            account["epochs"], account["best_epoch"] = len(checkpoints.history), best
            account |= write_best(args.weights, epoch_file(folder, best), learner, data, trained_on)
            write_history(args.history, checkpoints.history)
            write_json(args.run, account)
            remove(folder / LAST)  # the training is over: to ask again is to train anew
    log.info("trained in %.1f min; %s has the best epochs", (time.monotonic() - began) / 60, folder)


def write_best(
    path: Path, epoch: Path, learner: Learner, data: FaceData, trained_on: TrainedOn
) -> dict[str, Any]:
    """The weights of the best epoch to ``path``, calibrated if asked for; what the account adds."""
    if learner.settings.calibration == "none":
        with replacing(path) as partial:
            shutil.copyfile(epoch, partial)
        return {}
    network, settings = load_network(epoch)
    rows, device = data.splits["valid"], learner.fabric.device
    workers = learner.settings.workers
    valid = read_outputs(network, settings, data.valid_faces, rows, device, workers)
    found = temperatures(valid.labels, valid.logits, settings.exclusive_columns)
    divide_logits(network, found)
    save_weights(path, network, settings, trained_on)
    return {"temperatures": dict(zip(settings.attributes, found.tolist(), strict=True))}


def resolve(
    settings: dict[str, Any], faces: Faces, masks: Path | None, initial: Path | None
) -> TrainingSettings:
    """The settings as they hold: every attribute named, sizes in numbers, checked together."""
    known = faces.attribute_set
    names = settings["attributes"] or known.names
    if missing := [n for n in (*names, *settings["groups"]) if n not in known.names]:
        raise UserError(
            f"{faces.path} has no attribute {missing[0]!r}, which the model's settings name: choose"
            f" among {', '.join(known.names)}"
        )
    if found := misfit(settings):
        raise UserError(f"the setting {' '.join(found)}")
    if settings["last_layer_of"]:
        raise UserError(
            f"this model is {settings['last_layer_of']} with another last layer: make it from the"
            " weights of that with python -m pipeline.retrain"
        )
    if needs_masks(settings) and masks is None:
        raise UserError(
            "this model learns from masks: name them with --masks, or set `segmentation_weight: 0`"
            " and a `pooling` other than mean_regions"
        )
    begun = settings["pretrained"] or settings["initial_weights"] or initial
    if begun and not (initial and initial.is_file()):
        wrong = f": {initial} is none" if initial else ""
        raise UserError(
            f"this model starts from given weights: name their file with --initial{wrong}"
        )
    imagenet = starts_from_imagenet(settings)
    attributes = known.only(names)
    resolved = {
        "attributes": attributes.names,
        "attribute_regions": attributes.regions,
        "exclusive": attributes.exclusive,
        "input_size": settings["input_size"] or faces.size,
        "faces_size": faces.size,
        "pretrained": imagenet,
        # Known by what it holds, not by where it lies on this machine.
        "initial_weights": sha256(initial) if initial and not imagenet else None,
    }
    return TrainingSettings.from_dict({**settings, **resolved})


def in_time(settings: TrainingSettings, job_minutes: float) -> TrainingSettings:
    """The settings with a ``max_minutes`` that ends training before its job is ended.

    Half of a job's minutes, at most 15, are left for the start and for the last validation and
    checkpoint. 0 is a job without end.
    """
    if not job_minutes:
        return settings
    end = job_minutes - min(15, job_minutes / 2)
    return replace(settings, max_minutes=min(end, settings.max_minutes or end))


def new_learner(
    settings: TrainingSettings,
    data: FaceData,
    initial: Path | None,
    rename: Sequence[Sequence[str]] = (),
) -> Learner:
    """The network before its first step, with what trains it."""
    torch.manual_seed(data.seed)
    network = build(settings)
    if settings.pooling == "mean_regions":
        mean: Any = network.mean_regions
        mean.copy_(data.mean_regions(mean.shape[1:]))
    if initial:
        start_from(network, initial, rename)
    if settings.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = len(data.splits["train"]) // settings.batch_size
    learner = Learner(network, settings, data.table, data.class_counts, data.seed, steps)
    if settings.compile:
        network.compile()
    return learner


def checked_inputs(args: argparse.Namespace, masks: Path | None) -> dict[str, str | None]:
    """The hash of each input, which must be the one in the summary that was written with it."""
    if masks:
        check_masks(masks, args.masks_summary)
    return {
        "faces": checked_faces(args.faces, args.faces_summary),
        "masks": sha256(masks) if masks else None,
        "initial": sha256(args.initial) if args.initial else None,
        **({"rename": digest(args.rename)} if args.rename else {}),
    }


def describe(network: nn.Module, data: FaceData, inputs: dict[str, str | None]) -> dict[str, Any]:
    """The account of a run: from what, with what, by which code."""
    cuda = data.settings.accelerator != "cpu" and torch.cuda.is_available()
    weights = list(network.parameters())
    return {
        "settings": data.settings.to_dict(),
        "seed": data.seed,
        "inputs_sha256": inputs,
        "images": {split: len(rows) for split, rows in data.splits.items()},
        "images_with_masks": {
            split: int(data.store.found[rows].sum()) if data.store else 0
            for split, rows in data.splits.items()
        },
        "parameters": sum(weight.numel() for weight in weights),
        "parameters_trained": sum(w.numel() for w in weights if w.requires_grad),
        "device": torch.cuda.get_device_name() if cuda else f"{platform.machine()} CPU",
        **made_by("train", data.settings.network),
    }


def fingerprint(account: dict[str, Any]) -> str:
    """What two runs share if one may go on from the other's checkpoint."""
    others = [account[key] for key in ("seed", "inputs_sha256", "versions", "code_sha256")]
    return digest([decisive(account["settings"]), *others])


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder of faces")
    parser.add_argument("--data-set", required=True, help="the name of the data set of --faces")
    parser.add_argument("--source", choices=SOURCES, required=True, help="and where it came from")
    parser.add_argument("--masks", type=Path, help="store of masks, unless trained without")
    parser.add_argument("--faces-summary", type=Path, help="faces.json, to check --faces against")
    parser.add_argument("--masks-summary", type=Path, help="masks.json, to check --masks against")
    parser.add_argument("--initial", type=Path, help="weights to start from")
    parser.add_argument(
        "--rename", type=json.loads, default=[], help="JSON pairs: old and new parts of its names"
    )
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder to resume from")
    parser.add_argument("--weights", type=Path, required=True, help="the best epoch's weights")
    parser.add_argument("--history", type=Path, required=True, help="a row an epoch, CSV")
    parser.add_argument("--run", type=Path, required=True, help="the account of the run, JSON")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, help="threads of arithmetic; default: all cores")
    parser.add_argument(
        "--job-minutes", type=float, default=0, help="time limit of the cluster's job; 0 is none"
    )
    parser.add_argument("--settings", type=stage.settings, required=True)
    args = parser.parse_args(argv)
    # Snakemake removes a rule's log at each start; the checkpoints' says why the last one ended.
    logs = [args.log, args.checkpoints / "train.log"] if RANK == 0 else []
    with stage.running(*logs):
        train(args)


if __name__ == "__main__":
    main()
