"""Batches of faces for training: which, in what order, and read how.

The order is a function of seed and epoch, and a batch is known by its number in the epoch. So a
run that is resumed asks for the rest of an epoch, and processes that share the work each take
their part of the same batch.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pipeline.core.training.transforms import Batch

GRACE = 20  # seconds that a loader goes on after SIGTERM


class Images(Protocol):
    """What is read of faces: ``faces.Faces`` has it, and so has the benchmark's generated data."""

    def image(self, row: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""


class Bits(Protocol):
    """What is read of masks: ``masks.store.Masks`` has it."""

    found: np.ndarray

    def region_bits(self, rows: np.ndarray) -> np.ndarray:
        """(B, H, W) uint16."""


class Share(NamedTuple):
    """Rows of one process's part of a batch, and which of them count (see ``Batch.counted``)."""

    rows: np.ndarray
    counted: np.ndarray


class FaceBatches(Dataset):
    """Whole batches of faces: decoded images, labels (N, A) bool by row, region bits."""

    def __init__(self, faces: Images, labels: np.ndarray, masks: Bits | None) -> None:
        self.faces, self.labels, self.masks = faces, labels, masks

    def __getitem__(self, share: Share) -> Batch:
        rows = share.rows
        images = torch.from_numpy(np.stack([self.faces.image(int(row)) for row in rows]))
        bits = found = None
        if self.masks is not None:
            bits = torch.from_numpy(np.ascontiguousarray(self.masks.region_bits(rows)))
            bits = bits.view(torch.int16)  # torch can do little with uint16; 14 bits fit
            found = torch.from_numpy(self.masks.found[rows])
        return Batch(
            images=images.permute(0, 3, 1, 2),
            labels=torch.from_numpy(self.labels[rows]),
            bits=bits,
            found=found,
            counted=torch.from_numpy(share.counted),
        )


class Order(Sampler[Share]):
    """One process's shares of an epoch's batches, from batch ``start`` on."""

    def __init__(
        self, batches: list[np.ndarray], counted: int, start: int, rank: int, world: int
    ) -> None:
        self.batches, self.counted, self.start = batches, counted, start
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        return len(self.batches) - self.start

    def __iter__(self) -> Iterator[Share]:
        size = len(self.batches[0]) if self.batches else 0
        for number, rows in enumerate(self.batches[self.start :], start=self.start):
            places = number * size + np.arange(len(rows))
            mine = slice(self.rank, None, self.world)
            yield Share(rows[mine], (places < self.counted)[mine])


def shuffled(
    rows: np.ndarray,
    step: int,
    batch_size: int,
    seed: int,
    epoch: int,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Order:
    """An epoch of training from batch ``start`` on, in an order drawn from seed and epoch.

    The faces that fill no whole ``step`` of the optimiser (a multiple of ``batch_size``) are
    left out; which these are changes with the epoch.
    """
    mixed = np.random.default_rng((seed, epoch)).permutation(rows)
    whole = len(rows) // step * step
    return Order(list(mixed[:whole].reshape(-1, batch_size)), whole, start, rank, world)


def once(rows: np.ndarray, batch_size: int, rank: int = 0, world: int = 1) -> Order:
    """Every row once, in order; the last ones are repeated, uncounted, so that shares are equal."""
    padded = np.concatenate([rows, np.repeat(rows[-1:], -len(rows) % world)])
    batches = [padded[at : at + batch_size] for at in range(0, len(padded), batch_size)]
    return Order(batches, len(rows), 0, rank, world)


def loader(batches: FaceBatches, order: Order, workers: int, pin: bool) -> DataLoader:
    """Read batches in ``order`` with so many processes beside this one; ``pin`` for a GPU."""
    return DataLoader(
        batches,
        batch_size=None,  # an item is a whole batch
        sampler=order,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        worker_init_fn=begin if workers else None,
    )


def begin(worker: int) -> None:
    """Processes are the parallelism; OpenCV's own threads would only be in each other's way."""
    signal.signal(signal.SIGTERM, end_soon)
    sys.excepthook = unless_left
    with suppress(ImportError):  # the benchmark does without
        import cv2

        cv2.setNumThreads(0)


def unless_left(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Tell of what ends a thread of a loader, but not of a training that has ended meanwhile.

    Multiprocessing hands a batch over by a socket, which the training resets when it ends; it
    says itself why.
    """
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def end_soon(*_: object) -> None:
    """Who ends a job sends SIGTERM to each of its processes, and the training writes a checkpoint.

    Until then it needs its loaders. Then it tells them once more, or they end by themselves.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.alarm(GRACE)
