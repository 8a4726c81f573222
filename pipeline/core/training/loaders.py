"""Batches of faces for training: which, in what order, and read how.

The order is a function of seed and epoch, and a batch is known by its number in the epoch. So a
run that is resumed asks for the rest of an epoch, and processes that share the work each take
their part of the same batch.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple, Protocol

import numpy as np
import torch

from pipeline.core.errors import UserError
from pipeline.core.training.transforms import Batch

AHEAD = 2  # batches that a thread has ready, or is reading
SILENCE = 600  # seconds without a batch after which training ends
GRACE = 5  # the same after SIGTERM: schedulers send SIGKILL half a minute later
CPU = torch.device("cpu")


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
    """Rows of a batch, or of a process's part of it, and which count (see ``Batch.counted``)."""

    rows: np.ndarray
    counted: np.ndarray


class FaceBatches:
    """Whole batches of faces: decoded images, labels (N, A) by row, region bits."""

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


def shuffled(rows: np.ndarray, step: int, batch_size: int, seed: int, epoch: int) -> list[Share]:
    """An epoch of training, in an order drawn from seed and epoch.

    The faces that fill no whole ``step`` of the optimiser (a multiple of ``batch_size``) are
    left out; which these are changes with the epoch.
    """
    mixed = np.random.default_rng((seed, epoch)).permutation(rows)
    batches = mixed[: len(rows) // step * step].reshape(-1, batch_size)
    return [Share(batch, np.ones(len(batch), bool)) for batch in batches]


def once(rows: np.ndarray, batch_size: int, world: int = 1) -> list[Share]:
    """Every row once, in order; the last is repeated, uncounted, so that processes see as many."""
    padded = np.concatenate([rows, np.repeat(rows[-1:], -len(rows) % world)])
    counted = np.arange(len(padded)) < len(rows)
    batches = [slice(at, at + batch_size) for at in range(0, len(padded), batch_size)]
    return [Share(padded[of], counted[of]) for of in batches]


def part_of(batches: list[Share], rank: int, world: int) -> list[Share]:
    """What process ``rank`` of ``world`` sees of each batch."""
    mine = slice(rank, None, world)
    return [Share(rows[mine], counted[mine]) for rows, counted in batches]


@dataclass(frozen=True)
class Loader:
    """Batches in ``order``, which ``workers`` threads read ahead; without any, whoever asks reads.

    Decoding and decompression leave Python's lock to others, so threads read as fast as processes
    would, with no fork, no shared memory and no signals of their own. ``device`` is what the
    batches go to: for a GPU they lie in pinned memory. ``stopping`` says whether the program has
    received SIGTERM: then a batch is waited for ``GRACE`` seconds, else ``SILENCE``.
    """

    batches: FaceBatches
    order: Sequence[Share]
    workers: int
    device: torch.device = CPU
    stopping: Callable[[], bool] = bool

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Generator[Batch, None, None]:
        if not self.workers:
            yield from map(self.read, self.order)
            return
        tasks: SimpleQueue[tuple[Future[Batch], Share] | None] = SimpleQueue()
        threads = [Thread(target=self.work, args=[tasks], daemon=True) for _ in range(self.workers)]
        for thread in threads:
            thread.start()
        pending: deque[Future[Batch]] = deque()
        try:
            for share in self.order:
                if len(pending) == AHEAD * self.workers:
                    yield self.wait_for(pending.popleft())
                pending.append(Future())
                tasks.put((pending[-1], share))
            while pending:
                yield self.wait_for(pending.popleft())
        finally:
            for future in pending:
                future.cancel()
            for _ in threads:
                tasks.put(None)
            for thread in threads:  # one that hangs in a read is left behind
                thread.join(timeout=1)

    def read(self, share: Share) -> Batch:
        batch = self.batches[share]
        if self.device.type != "cuda":
            return batch
        pinned = [part if part is None else part.pin_memory() for part in batch]
        return Batch(*pinned)  # type: ignore[arg-type]

    def work(self, tasks: SimpleQueue) -> None:
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)  # it is each thread's own
        while (task := tasks.get()) is not None:
            future, share = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self.read(share))
            except BaseException as error:  # raised again by who waits for the batch
                future.set_exception(error)

    def wait_for(self, future: Future[Batch]) -> Batch:
        """The batch; a ``UserError`` if nothing comes."""
        began = time.monotonic()
        while not wait([future], timeout=1).done:  # signals are handled between two waits
            silent = time.monotonic() - began
            if silent >= GRACE and self.stopping():
                raise UserError(
                    "training received SIGTERM while its loaders were silent: run the same"
                    " command again and it resumes from its last checkpoint."
                )
            if silent >= SILENCE:
                raise UserError(
                    f"the loaders have delivered no batch for {SILENCE / 60:g} minutes: check the"
                    " disk that holds faces and masks, then run the same command again; training"
                    " resumes from its last checkpoint."
                )
        return future.result()
