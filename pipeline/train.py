"""Train a network to tell the attributes of faces, and, with masks, where each one shows.

What is best on the valid split becomes the weights; the test split is not looked at. A training
that was killed, or that stopped itself at ``max_minutes``, goes on from its checkpoint when the
same command is run again.
"""

import argparse
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.core import stage, torchvision_on_cpu  # noqa: F401
from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.checkpoints import (
    LAST,
    OPERATIONAL,
    Keeper,
    epoch_file,
    finished,
    ranked,
    read_checkpoint,
    write_history,
)
from pipeline.core.faces import Faces, open_faces
from pipeline.core.files import remove, replacing, sha256, write_json
from pipeline.core.learner import Learner
from pipeline.core.loading import FaceBatches, Order, loader, once, shuffled
from pipeline.core.networks import build
from pipeline.core.networks.weights import start_from
from pipeline.core.regions import TABLE
from pipeline.core.stage import UserError

# isort: split
import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning.pytorch.utilities.rank_zero import rank_zero_only

log = logging.getLogger(__name__)

RANK: int = getattr(rank_zero_only, "rank", 0)  # of this process among those that train together
NOISE = (  # advice of Lightning that does not hold here
    ".*does not have many workers.*",
    ".*logging interval.*",
    ".*in eval mode.*",
    ".*`srun` command is available.*",
    ".*LeafSpec.*",
)
PACKAGES = (
    "torch", "torchvision", "lightning", "numpy", "opencv-contrib-python", "safetensors", "zarr",
)  # fmt: skip


def train(args: argparse.Namespace) -> None:
    """Train, or go on training, and write the weights, the history and the account of the run."""
    began = time.monotonic()
    if args.threads:
        torch.set_num_threads(args.threads)
    masks = args.masks if args.settings["segmentation_weight"] > 0 else None
    inputs = {
        name: sha256(path) if path else None
        for name, path in (("faces", args.faces), ("masks", masks), ("initial", args.initial))
    }
    faces = open_faces(args.faces)
    settings = resolve(args.settings, faces, inputs)
    splits = split_rows(faces, settings, args.seed)
    learner = new_learner(in_time(settings, args.job_minutes), args.seed, args.initial)
    data = FaceData(faces, splits, settings, args.seed, masks)

    may_write = RANK == 0
    fingerprint = fingerprint_of(settings, args.seed, inputs)
    state = read_checkpoint(args.checkpoints, fingerprint, may_write)
    keeper = Keeper(args.checkpoints, fingerprint, state, began)
    if not finished(keeper.history, settings):
        trainer = make_trainer(settings, keeper, args.checkpoints)
        trainer.fit(learner, datamodule=data)
    if may_write:
        best = ranked(keeper.history, settings)[0]
        account = describe(learner.network, settings, args.seed, inputs, splits, data)
        account["epochs"], account["best_epoch"] = len(keeper.history), best
        with replacing(args.weights) as partial:
            shutil.copyfile(epoch_file(args.checkpoints, best), partial)
        write_history(args.history, keeper.history)
        write_json(args.run, account)
        remove(args.checkpoints / LAST)  # the training is over: to ask again is to train anew
    log.info("trained in %.1f min", (time.monotonic() - began) / 60)


def resolve(settings: dict[str, Any], faces: Faces, inputs: dict[str, Any]) -> dict[str, Any]:
    """The settings as they hold: every attribute named, sizes in numbers, checked together."""
    for name in settings["attributes"]:
        if name not in ATTRIBUTES:
            raise UserError(f"there is no attribute {name!r}; CelebA spells them like {ATTRIBUTES}")
    if settings["segmentation_weight"] > 0 and inputs["masks"] is None:
        raise UserError("`segmentation_weight` is above 0: name the masks with --masks, or set 0")
    if (settings["pretrained"] or settings["initial_weights"]) and inputs["initial"] is None:
        raise UserError("this model starts from given weights: name their file with --initial")
    parts = settings["accumulate"] * settings["devices"] * settings["nodes"]
    if settings["batch_size"] % parts:
        raise UserError(
            f"`batch_size` {settings['batch_size']} cannot be cut into {parts} equal parts, which"
            " are `accumulate` × `devices` × `nodes`; set a multiple of that"
        )
    return {
        **settings,
        "attributes": settings["attributes"] or list(ATTRIBUTES),
        "input_size": list(settings["input_size"] or faces.size),
        # Known by what it holds, not by where it lies on this machine.
        "initial_weights": inputs["initial"] if not settings["pretrained"] else None,
    }


def in_time(settings: dict[str, Any], job_minutes: float) -> dict[str, Any]:
    """The settings with a ``max_minutes`` that ends training before its job is ended.

    Half of a job's minutes, at most 15, are left for the start and for the last validation and
    checkpoint. 0 is a job without end.
    """
    if not job_minutes:
        return settings
    end = job_minutes - min(15, job_minutes / 2)
    return {**settings, "max_minutes": min(end, settings["max_minutes"] or end)}


def split_rows(faces: Faces, settings: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Row numbers to train on and to select by, each ascending."""
    rows = {split: faces.rows(split) for split in ("train", "valid")}
    if settings["stratified_subset"]:
        rows = stratified(faces, rows["train"], settings, seed)
    elif settings["share"] < 1:
        count = max(1, round(settings["share"] * len(rows["train"])))
        drawn = np.random.default_rng(seed).choice(rows["train"], count, replace=False)
        rows["train"] = np.sort(drawn)
    if not len(rows["valid"]):
        raise UserError(
            f"{faces.path} has no face in the split valid, by which the best epoch is chosen;"
            " give the data set one, or set `stratified_subset`"
        )
    if len(rows["train"]) < settings["batch_size"]:
        raise UserError(
            f"there are {len(rows['train'])} faces to train on, fewer than one batch of"
            f" {settings['batch_size']}; set a smaller `batch_size` or a larger share"
        )
    return rows


def stratified(
    faces: Faces, rows: np.ndarray, settings: dict[str, Any], seed: int
) -> dict[str, np.ndarray]:
    """A share of train, cut 80/20, each with as many positives of the first attribute."""
    from datasets import ClassLabel, Dataset, Features, Value, disable_progress_bars

    disable_progress_bars()
    first = settings["attributes"][0]
    positive = faces.attributes[rows, ATTRIBUTES.index(first)].astype(int)
    table = Dataset.from_dict(
        {"row": rows, "positive": positive},
        Features({"row": Value("int64"), "positive": ClassLabel(2)}),
    )
    how: dict[str, Any] = {"stratify_by_column": "positive", "seed": seed}
    try:
        if settings["stratified_subset"] < 1:
            share = settings["stratified_subset"]
            table = table.train_test_split(train_size=share, **how)["train"]
        halves = table.train_test_split(test_size=0.2, **how)
    except ValueError as error:
        raise UserError(
            f"{settings['stratified_subset']:g} of {len(rows)} faces cannot be stratified by"
            f" {first} ({error}); set a larger `stratified_subset`"
        ) from None
    return {
        "train": np.sort(np.array(halves["train"]["row"])),
        "valid": np.sort(np.array(halves["test"]["row"])),
    }


def new_learner(settings: dict[str, Any], seed: int, initial: Path | None) -> Learner:
    """The network before its first step, with what trains it."""
    torch.manual_seed(seed)
    network = build(settings)
    if initial:
        start_from(network, initial)
    if settings["channels_last"]:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner = Learner(network, settings, TABLE[columns(settings)], seed)
    if settings["compile"]:
        network.compile()
    return learner


def columns(settings: dict[str, Any]) -> list[int]:
    """Where the network's attributes stand among CelebA's 40."""
    return [ATTRIBUTES.index(name) for name in settings["attributes"]]


class FaceData(lightning.LightningDataModule):
    """The loaders: rows of ``faces`` by split, with masks where ``masks`` names a store.

    Training learns the labels that the masks were drawn with (where there are any). Validation,
    like every judgement, asks for the labels of the data set.
    """

    def __init__(
        self,
        faces: Faces,
        splits: dict[str, np.ndarray],
        settings: dict[str, Any],
        seed: int,
        masks: Path | None,
    ) -> None:
        super().__init__()
        self.splits, self.settings, self.seed = splits, settings, seed
        labels = faces.attributes[:, columns(settings)]
        store = open_store(masks, faces) if masks else None
        drawn = labels
        if store:
            drawn = np.where(store.found[:, None], store.labels[:, columns(settings)], labels)
        self.train_faces = FaceBatches(faces, drawn, store)
        self.valid_faces = FaceBatches(faces, labels, store)
        self.found = store.found if store else None

    def train_dataloader(self) -> Any:
        """What is left of the learner's epoch: Lightning asks anew for every epoch."""
        trainer: Any = self.trainer
        order = shuffled(
            self.splits["train"],
            step=self.settings["batch_size"],
            batch_size=self.micro_batch(),
            seed=self.seed,
            epoch=trainer.lightning_module.epoch,
            start=trainer.lightning_module.batch,
            rank=trainer.global_rank,
            world=trainer.world_size,
        )
        return self.loader(self.train_faces, order)

    def val_dataloader(self) -> Any:
        """All of valid, as it is."""
        trainer: Any = self.trainer
        rows = self.splits["valid"]
        order = once(rows, self.micro_batch(), trainer.global_rank, trainer.world_size)
        return self.loader(self.valid_faces, order)

    def micro_batch(self) -> int:
        """Faces that all devices together see at once."""
        return int(self.settings["batch_size"]) // int(self.settings["accumulate"])

    def loader(self, faces: FaceBatches, order: Order) -> Any:
        trainer: Any = self.trainer
        pin = trainer.strategy.root_device.type == "cuda"
        return loader(faces, order, self.settings["workers"], pin)


def open_store(path: Path, faces: Faces) -> Any:
    """The masks of ``faces``; imported here, so that training without masks needs no Zarr."""
    from pipeline.core.mask_store import open_masks

    masks = open_masks(path)
    if list(masks.names) != faces.names:
        raise UserError(f"{path} holds the masks of other faces than {faces.path}: draw them anew")
    return masks


class Bar(TQDMProgressBar):
    """Lightning's bar, with epochs counted over all runs of a training that was resumed."""

    def on_train_epoch_start(self, trainer: Any, learner: Any) -> None:
        super().on_train_epoch_start(trainer, learner)
        epochs = learner.settings["epochs"]
        self.train_progress_bar.set_description(f"epoch {learner.epoch + 1} of {epochs}")


def make_trainer(settings: dict[str, Any], keeper: Keeper, folder: Path) -> lightning.Trainer:
    """Lightning's Trainer, as the settings say; the bar is for terminals."""
    if settings["deterministic"]:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    terminal = sys.stderr.isatty()
    for noise in NOISE:
        warnings.filterwarnings("ignore", noise)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    done = keeper.state["epoch"] if keeper.state else 0
    try:
        return lightning.Trainer(
            accelerator=settings["accelerator"],
            devices=settings["devices"],
            num_nodes=settings["nodes"],
            precision=settings["precision"],
            max_epochs=settings["epochs"] - done,
            accumulate_grad_batches=settings["accumulate"],
            deterministic=settings["deterministic"],
            benchmark=not settings["deterministic"],
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=terminal,
            callbacks=[keeper, Bar(leave=True)] if terminal else [keeper],
            logger=TensorBoardLogger(folder / "tensorboard", name="", version=""),
            plugins=environment(),
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise UserError(f"Lightning cannot train as the settings say: {error}") from None


def environment() -> list[Any]:
    """How several processes find each other, where Lightning's own guess would be wrong.

    A SLURM job of one task starts its processes itself; one of several tasks has them started,
    and is not to be submitted again behind Snakemake's back.
    """
    if "SLURM_NTASKS" not in os.environ:
        return []
    several = int(os.environ["SLURM_NTASKS"]) > 1
    return [SLURMEnvironment(auto_requeue=False) if several else LightningEnvironment()]


def fingerprint_of(settings: dict[str, Any], seed: int, inputs: dict[str, Any]) -> str:
    """What two runs share if one may go on from the other's checkpoint."""
    decisive = {key: value for key, value in settings.items() if key not in OPERATIONAL}
    return hashlib.sha256(json.dumps([decisive, seed, inputs], sort_keys=True).encode()).hexdigest()


def describe(
    network: nn.Module,
    settings: dict[str, Any],
    seed: int,
    inputs: dict[str, Any],
    splits: dict[str, np.ndarray],
    data: FaceData,
) -> dict[str, Any]:
    """The account of a run: from what, with what, by which code."""
    cuda = settings["accelerator"] != "cpu" and torch.cuda.is_available()
    weights = list(network.parameters())
    return {
        "settings": settings,
        "seed": seed,
        "inputs_sha256": inputs,
        "images": {split: len(rows) for split, rows in splits.items()},
        "images_with_masks": {
            split: int(data.found[rows].sum()) if data.found is not None else 0
            for split, rows in splits.items()
        },
        "parameters": sum(weight.numel() for weight in weights),
        "parameters_trained": sum(w.numel() for w in weights if w.requires_grad),
        "device": torch.cuda.get_device_name() if cuda else f"{platform.machine()} CPU",
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "git_revision": git_revision(),
    }


def git_revision() -> str | None:
    """The commit that the code is at, or None outside of a repository."""
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    return found.stdout.strip() if found.returncode == 0 else None


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder of faces")
    parser.add_argument("--masks", type=Path, help="store of masks, unless trained without")
    parser.add_argument("--initial", type=Path, help="weights to start from")
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
    with stage.running(args.log if RANK == 0 else None):
        train(args)


if __name__ == "__main__":
    main()
