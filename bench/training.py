"""Images per second of training: the model alone, the loader alone, and both together.

    python -m bench.training --width 0.125 --workers 2
    python -m bench.training --device gpu --width 1 --batch 256 --workers 12 --compile

The product's own learner, networks, augmentation and loader run on generated faces of CelebA's
size: JPEGs in memory, decoded with OpenCV as `faces/` is (where it is missing with Pillow, which
is half as fast), and region bits. (The mask store's reading has a benchmark of its own.) Needs
torch, torchvision, lightning and torchmetrics; no Snakemake, no data. Each figure is the median
of `--repeats` windows of `--steps` steps after a warm-up, with the lowest and the highest.
"""

import argparse
import io
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterable

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from pipeline.core.attributes import ATTRIBUTES, CELEBA
from pipeline.core.model_settings import (
    AugmentationSettings,
    LossSettings,
    NormalizationSettings,
    OptimizerSettings,
    ScheduleSettings,
    TrainingSettings,
)
from pipeline.core.networks import build
from pipeline.core.training.devices import make_fabric
from pipeline.core.training.learner import Learner
from pipeline.core.training.loaders import FaceBatches, Loader, shuffled
from pipeline.core.training.transforms import Batch, prepare

try:
    import cv2
except ImportError:  # a GPU machine with little else than torch
    cv2 = None

SIZE = (218, 178)
DISTINCT = 256  # faces that are generated; the loader meets them again and again


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def decode(encoded: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    if cv2 is None:
        return np.asarray(Image.open(io.BytesIO(encoded)))
    return np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB))


class Generated:
    """Faces and masks in memory, read as the product's own are."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        coarse = random.integers(0, 256, (DISTINCT, 28, 23, 3), np.uint8)
        self.encoded = [jpeg(Image.fromarray(face).resize(SIZE[::-1])) for face in coarse]
        self.bits = random.integers(0, 2**14, (DISTINCT, *SIZE), np.uint16)
        self.labels = random.random((DISTINCT, len(ATTRIBUTES))) < 0.225
        self.found = random.random(DISTINCT) < 0.995

    def image(self, row: int) -> np.ndarray:
        return decode(self.encoded[row])

    def region_bits(self, rows: np.ndarray) -> np.ndarray:
        return self.bits[rows]


def device_of(args: argparse.Namespace) -> torch.device:
    return torch.device("cuda" if args.device == "gpu" else "cpu")


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def batches(args: argparse.Namespace, faces: Generated, count: int) -> Loader:
    rows = np.arange(count * args.batch) % DISTINCT
    masks = faces if args.segmentation else None
    dataset = FaceBatches(faces, faces.labels, masks)
    order = shuffled(rows, args.batch, args.batch, seed=0, epoch=0)
    return Loader(dataset, order, args.workers, device_of(args))


def training_rates(args: argparse.Namespace, data: Iterable[Batch]) -> list[float]:
    """Train on ``data``, as the stage does."""
    learner = make_learner(args)
    fabric = make_fabric(learner.settings)
    learner.setup(fabric)
    learner.network.train()

    def step(batch: Batch) -> None:
        fabric.backward(learner.training_step(fabric.to_device(batch)))
        learner.optimizer_step()

    return rates(args, data, step, fabric.device)


def loader_rates(args: argparse.Namespace, data: Iterable[Batch]) -> list[float]:
    """Read batches and do nothing with them."""
    return rates(args, data, lambda batch: None, torch.device("cpu"))


def rates(
    args: argparse.Namespace,
    data: Iterable[Batch],
    step: Callable[[Batch], None],
    device: torch.device,
) -> list[float]:
    """Images per second in each window of steps, after the device has done its work."""
    found, began = [], 0.0
    for number, batch in enumerate(data, start=1):
        step(batch)
        done = number - args.warmup
        if done >= 0 and done % args.steps == 0:
            synchronize(device)
            now = time.perf_counter()
            if done:
                found.append(args.batch * args.steps / (now - began))
            began = now
    return found


def make_learner(args: argparse.Namespace) -> Learner:
    torch.manual_seed(0)
    settings = settings_of(args)
    network = build(settings)
    if args.channels_last:
        network = network.to(memory_format=torch.channels_last)
    learner = Learner(
        network, settings, CELEBA.table, np.ones((2, len(CELEBA.table))), seed=0, steps=1
    )
    if not args.fused:
        for group in learner.optimizer.param_groups:
            group["fused"] = False
    if args.compile:
        network.compile()
    return learner


def settings_of(args: argparse.Namespace) -> TrainingSettings:
    """AttParseNet's published settings, as far as they bear on the speed."""
    return TrainingSettings(
        network=args.network,
        width=args.width,
        channels=(24, 48, 96, 160),
        map_channels=96,
        pooling="regions",
        dropout=0.2,
        backbone=args.backbone,
        frozen="none",
        map_stride=32,
        attributes=ATTRIBUTES,
        attribute_regions=CELEBA.regions,
        exclusive={},
        pretrained=False,
        initial_weights=None,
        frozen_layers=0,
        segmentation_weight=1.0 if args.segmentation else 0.0,
        mask_loss="bce_dice" if args.network == "mask_guided" else "mse",
        epochs=1,
        batch_size=args.batch,
        accumulate=1,
        optimizer=OptimizerSettings(
            "sgd", learning_rate=0.01, momentum=0.9, weight_decay=1e-4, decay_norms=True
        ),
        schedule=ScheduleSettings("constant", gamma=1.0, patience=0, factor=1.0, warmup=0.1),
        gradient_clip=None,
        ema=None,
        augmentation=AugmentationSettings(flip=True, shift=8, brightness=0.0, contrast=0.0),
        input_size=tuple(args.size),
        faces_size=SIZE,
        normalization=NormalizationSettings(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        share=1.0,
        stratified_subset=None,
        select_by="valid_loss",
        groups=(),
        last_layer_of=None,
        loss="bce",
        loss_parameters=LossSettings(0.9999, 2.0, None, 0.0, 4.0, 0.05),
        logit_adjustment=0.0,
        calibration="none",
        keep=1,
        early_stopping=None,
        precision=args.precision,
        accelerator=args.device,
        devices=1,
        nodes=1,
        compile=args.compile,
        channels_last=args.channels_last,
        deterministic=False,
        workers=args.workers,
        max_minutes=None,
        checkpoint_minutes=15,
    )


def flops_an_image(args: argparse.Namespace) -> float:
    """Multiplications and additions, counted apart, of a training step, an image."""
    settings = settings_of(args)
    network = build(settings)
    images = torch.zeros(2, 3, *SIZE, dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter:
        output = network(prepare(images, settings))
        maps = output.maps if output.mask_logits is None else output.mask_logits
        learnt = output.logits.sum() + (0 if maps is None else maps.sum())
        learnt.backward()
    return counter.get_total_flops() / len(images)


def matrix_rate(args: argparse.Namespace) -> float:
    """FLOP/s of a large matrix product in the precision that is trained in."""
    device = device_of(args)
    kinds = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device, dtype=kinds[args.precision]) for _ in "ab")
    times = []
    for _ in range(args.repeats + 2):
        synchronize(device)
        began = time.perf_counter()
        torch.mm(a, b)
        synchronize(device)
        times.append(time.perf_counter() - began)
    return 2 * side**3 / statistics.median(times[2:])


def summary(rates: list[float]) -> dict[str, float]:
    return {
        "n": len(rates),
        "median": round(statistics.median(rates), 1),
        "lowest": round(min(rates), 1),
        "highest": round(max(rates), 1),
    }


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="attparsenet")
    parser.add_argument("--backbone", help="of timm, for backbone and mask_guided")
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--size", type=int, nargs=2, default=list(SIZE))
    parser.add_argument("--batch", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, help="threads of arithmetic")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--precision", default="bf16-mixed")
    parser.add_argument("--segmentation", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--fused", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--warmup", type=int, default=5, help="steps")
    parser.add_argument("--steps", type=int, default=5, help="steps in a window")
    parser.add_argument("--repeats", type=int, default=5, help="windows")
    return parser


def main() -> None:
    args = make_parser().parse_args()
    args.segmentation = args.segmentation and args.network != "cnn_rnn"  # which has no maps
    warnings.filterwarnings("ignore")
    if args.threads:
        torch.set_num_threads(args.threads)

    faces, count = Generated(), args.warmup + args.steps * args.repeats
    batch = make_fabric(settings_of(args)).to_device(next(iter(batches(args, faces, 1))))
    model = summary(training_rates(args, [batch] * count))
    loading = summary(loader_rates(args, batches(args, faces, count)))
    both = summary(training_rates(args, batches(args, faces, count)))
    flops, matrix = flops_an_image(args), matrix_rate(args)
    found = {
        "device": torch.cuda.get_device_name() if args.device == "gpu" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "decoder": "OpenCV" if cv2 else "Pillow",
        "settings": vars(args),
        "images_per_second": {"model": model, "loader": loading, "both": both},
        "both_to_model": round(both["median"] / model["median"], 3),
        "loader_to_model": round(loading["median"] / model["median"], 2),
        "gflop_an_image": round(flops / 1e9, 2),
        "matrix_tflops": round(matrix / 1e12, 3),
        "model_to_matrix": round(model["median"] * flops / matrix, 3),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
