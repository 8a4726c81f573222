"""What training does on a GPU, as one table: sh bench/gpu.sh [--faces faces.npz].

    python -m bench.gpu --pack results/celeba --count 20000 --faces faces.npz
    sh bench/gpu.sh --faces faces.npz

The first line packs a part of a data set's faces and region bits into one file, where attparse is
installed. The second needs torch, torchvision, lightning, torchmetrics and OpenCV, and for networks
on a backbone timm; it measures, one after the other, the rate of a large matrix product, the images
a second of each model (in training alone and with its loader, compiled, and in evaluation), whether
a training that was killed reaches the weights of one that was not, a training in 16-mixed, and what
`fast` reaches on the packed faces. What fails, or has no time left, has a row that says so, and the
exit status is then 1.
"""

import argparse
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from bench import training
from pipeline.core.attributes import CELEBA
from pipeline.core.model_settings import NormalizationSettings
from pipeline.core.networks import build
from pipeline.core.training.devices import make_fabric
from pipeline.core.training.learner import Learner
from pipeline.core.training.loaders import FaceBatches, Loader, once, shuffled
from pipeline.core.training.transforms import Batch, prepare

BEST = ["--network", "mask_guided", "--backbone", "mobilenetv2_100"]
MODELS = {  # as config.yaml has them, by the flags of bench.training
    "attparsenet": ["--network", "attparsenet", "--width", "1"],
    "cnn_rnn": ["--network", "cnn_rnn", "--size", "224", "224"],
    "resnet18": ["--network", "backbone", "--backbone", "resnet18"],
    "fast": ["--network", "mask_guided"],
    "best": BEST,
}
SMALL = ["--width", "0.02", "--size", "64", "48"]  # for a test on a CPU

Row = tuple[str, str]


class Packed(NamedTuple):
    """Faces in memory: images (N, H, W, 3) uint8, labels (N, 40) int8, splits (N,) of 0, 1, 2."""

    images: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    bits: np.ndarray
    found: np.ndarray

    def image(self, row: int) -> np.ndarray:
        return self.images[row]

    def region_bits(self, rows: np.ndarray) -> np.ndarray:
        return self.bits[rows]


def main() -> None:
    args = make_parser().parse_args()
    if args.pack:
        pack(args.pack, args.count, args.faces)
    elif args.state:
        print(train_on(args, args.state))
    else:
        sys.exit(measure(args))


def measure(args: argparse.Namespace) -> int:
    """Print the table row by row; 1 if a step failed."""
    end, failed = time.monotonic() + 60 * args.minutes, False
    print(f"| {device_name(args)}, torch {torch.__version__}, {args.precision} | |\n|---|---|")
    for name, step in steps(args):
        left = end - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError("no time was left for it")
            rows = step(left)
        except Exception as error:  # the other steps are worth having all the same
            failed, rows = True, [(name, f"FAILED: {first_line(error)}")]
        for what, value in rows:
            print(f"| {what} | {value} |", flush=True)
    return int(failed)


def steps(args: argparse.Namespace) -> Iterator[tuple[str, Callable[[float], list[Row]]]]:
    """Name and function of each step; it takes the seconds that are left and returns its rows."""
    yield "matrix product", lambda left: matrix(args)
    yield "killed and resumed", lambda left: resumed(args, left)
    yield "16-mixed", lambda left: half_precision(args)
    if args.faces:
        yield "fast on the faces given", lambda left: reached(args)
    for name in args.models:
        yield f"{name}: training", lambda left, name=name: speed(args, name, [], left)
        yield f"{name}: evaluation", lambda left, name=name: evaluation(args, name)
    for name in args.models if args.compile else ():  # last: a compiler takes its time
        yield f"{name}: compiled", lambda left, name=name: speed(args, name, ["--compile"], left)


def matrix(args: argparse.Namespace) -> list[Row]:
    rate = training.matrix_rate(training_flags(args, "fast"))
    return [("large matrix product", f"{rate / 1e12:.2f} TFLOP/s")]


def speed(args: argparse.Namespace, name: str, more: list[str], left: float) -> list[Row]:
    """Images a second of a model, by ``bench.training`` in a process of its own."""
    require_timm(name)
    command = [sys.executable, "-m", "bench.training", *flags(args, name), *more]
    run = subprocess.run(command, capture_output=True, text=True, timeout=min(left, args.limit))
    if run.returncode:
        raise RuntimeError(run.stderr.strip().splitlines()[-1])
    found = json.loads(run.stdout)
    alone, both = (found["images_per_second"][part]["median"] for part in ("model", "both"))
    what = f"{name}: training{', compiled' if more else ''}"
    share = found["model_to_matrix"]
    return [(what, f"{alone:,.0f} images/s alone ({share:.0%} of matrix), {both:,.0f} with loader")]


def evaluation(args: argparse.Namespace, name: str) -> list[Row]:
    """Images a second of a model that evaluates a resident batch."""
    require_timm(name)
    chosen = training_flags(args, name)
    settings = training.settings_of(chosen)
    fabric = make_fabric(settings)
    network = fabric.setup_module(build(settings)).eval()
    images = torch.randint(0, 256, (chosen.batch, 3, *training.SIZE), dtype=torch.uint8)
    images = fabric.to_device(images)

    def step(batch: torch.Tensor) -> None:
        with torch.inference_mode():
            network(prepare(batch, settings))

    count = chosen.warmup + chosen.steps * chosen.repeats
    rates = training.rates(chosen, [images] * count, step, fabric.device)  # type: ignore[arg-type]
    return [(f"{name}: evaluation", f"{np.median(rates):,.0f} images/s")]


def resumed(args: argparse.Namespace, left: float) -> list[Row]:
    """Two trainings with ``deterministic``, one of them killed: their weights have one hash."""
    end = time.monotonic() + min(left, args.limit)
    with tempfile.TemporaryDirectory() as folder:
        whole, cut = Path(folder) / "whole", Path(folder) / "cut"
        expected = finish(start(args, whole), end)
        killed = start(args, cut, "--kill-at", str(args.steps // 2))
        killed.communicate(timeout=max(1, end - time.monotonic()))
        if killed.returncode != -signal.SIGKILL:
            raise RuntimeError(f"the training to be killed ended with {killed.returncode}")
        found = finish(start(args, cut), end)
    if found != expected:
        raise RuntimeError(f"weights {found[:12]} after a kill, {expected[:12]} without")
    return [("killed and resumed, deterministic", f"equal weights (sha256 {found[:12]})")]


def start(args: argparse.Namespace, state: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.gpu", "--state", str(state), "--device", args.device]
    command += ["--precision", args.precision, "--steps", str(args.steps), *more]
    command += ["--batch", str(args.batch), "--workers", str(args.workers)]
    command += ["--small"] if args.small else []
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], end: float) -> str:
    """The hash that a training prints when it has ended."""
    try:
        out, errors = process.communicate(timeout=max(1, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    if process.returncode:
        raise RuntimeError(errors.strip().splitlines()[-1])
    return out.split()[-1]


def train_on(args: argparse.Namespace, state: Path) -> str:
    """Train to ``--steps`` from ``state``, which is written after each; the weights' sha256."""
    chosen = training_flags(args, "fast")
    settings = replace(training.settings_of(chosen), deterministic=True, ema=0.9)
    schedule = replace(settings.schedule, name="one_cycle")
    learner = new_learner(replace(settings, schedule=schedule), args.steps)
    if state.exists():
        learner.load_state_dict(torch.load(state, map_location="cpu", weights_only=True))
    faces = training.Generated()
    rows = np.arange(args.steps * chosen.batch) % training.DISTINCT
    order = shuffled(rows, chosen.batch, chosen.batch, seed=0, epoch=0)[learner.batch :]
    data = FaceBatches(faces, faces.labels, faces)
    for batch in Loader(data, order, chosen.workers, learner.fabric.device):
        train_step(learner, batch)
        partial = state.with_suffix(".partial")
        torch.save(learner.state_dict(), partial)
        partial.replace(state)
        if learner.batch == args.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    digest = hashlib.sha256()
    for tensor in learner.kept.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def half_precision(args: argparse.Namespace) -> list[Row]:
    """Some steps in 16-mixed, whose gradients are scaled: the loss stays finite and falls."""
    chosen = training_flags(args, "fast")
    settings = replace(training.settings_of(chosen), precision="16-mixed")
    learner = new_learner(settings, args.steps)
    batch = next(iter(training.batches(chosen, training.Generated(), 1)))
    losses = [train_step(learner, batch) for _ in range(args.steps)]
    if not math.isfinite(sum(losses)) or losses[-1] >= losses[0]:
        raise RuntimeError(f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f}")
    used = learner.fabric.strategy.precision.precision  # Lightning has another one for CPUs
    change = f"loss {losses[0]:.3f} to {losses[-1]:.3f} in {args.steps} steps"
    return [("16-mixed", change if used == "16-mixed" else f"{change}, as {used}")]


def reached(args: argparse.Namespace) -> list[Row]:
    """Mean AUROC of `fast` on the packed test faces, trained on the packed train faces."""
    with np.load(args.faces) as file:
        faces = Packed(**{name: file[name] for name in Packed._fields})
    chosen, began = training_flags(args, "fast"), time.monotonic()
    train, test = (np.flatnonzero(faces.splits == split) for split in (0, 2))
    size = faces.images.shape[1:3]
    steps, batch = len(train) // chosen.batch, chosen.batch
    settings = replace(
        training.settings_of(chosen),
        **{"input_size": size, "faces_size": size, "epochs": args.epochs, "ema": 0.99},
        normalization=NormalizationSettings((0.5, 0.45, 0.4), (0.25, 0.25, 0.25)),
    )
    optimizer = replace(settings.optimizer, name="adamw", learning_rate=2e-3, weight_decay=0.05)
    schedule = replace(settings.schedule, name="one_cycle", warmup=0.25)
    learner = new_learner(replace(settings, optimizer=optimizer, schedule=schedule), steps)
    data = FaceBatches(faces, faces.labels, faces)
    for epoch in range(args.epochs):
        learner.epoch, learner.batch = epoch, 0
        order = shuffled(train, batch, batch, seed=0, epoch=epoch)
        for part in Loader(data, order, chosen.workers, learner.fabric.device):
            train_step(learner, part)
    minutes = (time.monotonic() - began) / 60
    found = mean_auroc(learner, Loader(data, once(test, batch), 0, learner.fabric.device))
    what = f"fast on {len(train):,} faces given, {args.epochs} epochs"
    return [(what, f"mean AUROC {found:.3f} on {len(test):,} test faces, {minutes:.1f} min")]


def mean_auroc(learner: Learner, batches: Loader) -> float:
    """Over the attributes that some, and not all, of the faces have."""
    from torchmetrics.functional.classification import binary_auroc

    learner.kept.eval()
    logits, labels = [], []
    with torch.inference_mode():
        for batch in batches:
            batch = learner.fabric.to_device(batch)
            images = prepare(batch.images, learner.settings)
            logits.append(learner.kept(images).logits[batch.counted].float().cpu())
            labels.append(batch.labels[batch.counted].cpu())
    predicted, true = torch.cat(logits), torch.cat(labels)
    both = [i for i, column in enumerate(true.T) if (column == 1).any() and (column == 0).any()]
    found = [binary_auroc(predicted[:, i], true[:, i].int(), ignore_index=-1) for i in both]
    return float(np.mean(found))


def new_learner(settings: training.TrainingSettings, steps: int) -> Learner:
    torch.manual_seed(0)
    counts = np.ones((2, len(CELEBA.table)))
    learner = Learner(build(settings), settings, CELEBA.table, counts, seed=0, steps=steps)
    learner.setup(make_fabric(settings))
    learner.network.train()
    return learner


def train_step(learner: Learner, batch: Batch) -> float:
    loss = learner.training_step(learner.fabric.to_device(batch))
    learner.fabric.backward(loss)
    learner.optimizer_step()
    return float(loss.detach())


def pack(results: Path, count: int, out: Path) -> None:
    """``count`` faces of each split of a data set's results, and their region bits, as one file."""
    from pipeline.core.faces.store import SPLITS, open_faces
    from pipeline.core.masks.store import open_masks_of

    faces = open_faces(results / "faces")
    masks = open_masks_of(results / "masks.zarr", faces)
    rows = {split: faces.rows(split)[:count] for split in SPLITS}
    chosen = np.sort(np.concatenate(list(rows.values())))
    np.savez(
        out,
        images=np.stack([faces.image(row) for row in chosen]),
        labels=faces.attributes[chosen],
        splits=np.concatenate([np.full(len(r), i) for i, r in enumerate(rows.values())]),
        bits=masks.region_bits(chosen),
        found=masks.found[chosen],
    )


def require_timm(name: str) -> None:
    if "--backbone" in MODELS[name] and find_spec("timm") is None:
        raise RuntimeError("timm is not installed")


def flags(args: argparse.Namespace, name: str) -> list[str]:
    """The flags of ``bench.training`` for a model here."""
    chosen = [*MODELS[name], "--device", args.device, "--precision", args.precision]
    chosen += ["--batch", str(args.batch), "--workers", str(args.workers)]
    if args.small:
        chosen += [*SMALL, "--warmup", "1", "--steps", "1", "--repeats", "1"]
    return chosen


def training_flags(args: argparse.Namespace, name: str) -> argparse.Namespace:
    return training.make_parser().parse_args(flags(args, name))


def device_name(args: argparse.Namespace) -> str:
    return torch.cuda.get_device_name() if args.device == "gpu" else "CPU"


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cpu", "gpu"], default="gpu")
    parser.add_argument("--precision", default="bf16-mixed")
    parser.add_argument("--models", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--workers", type=int, default=12, help="threads that read")
    parser.add_argument("--steps", type=int, default=20, help="of the trainings of some steps")
    parser.add_argument("--faces", type=Path, help="packed faces to train fast on")
    parser.add_argument("--epochs", type=int, default=12, help="passes over them")
    parser.add_argument("--minutes", type=float, default=7.5, help="for all steps together")
    parser.add_argument("--limit", type=float, default=100, help="seconds of one process")
    parser.add_argument("--small", action="store_true", help="small models, a few steps: a trial")
    parser.add_argument("--pack", type=Path, help="results of a data set to write --faces from")
    parser.add_argument("--count", type=int, default=20_000, help="faces of each split to pack")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    # Of the trainings that this program starts: where their state is, and their end.
    parser.add_argument("--state", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kill-at", type=int, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
