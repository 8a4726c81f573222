"""Threads read batches ahead in order, and nobody waits for ever for one that does not come."""

import threading
import time

import numpy as np
import pytest
import torch

from pipeline.core.errors import UserError
from pipeline.core.training import loaders
from pipeline.core.training.loaders import FaceBatches, Loader, shuffled

ROWS = np.arange(40)


class Images:
    """Faces of one pixel, which is their row; some rows take long, or never come."""

    def __init__(self, slow=(), broken=()):
        self.slow, self.broken, self.read = set(slow), set(broken), []
        self.held = threading.Event()

    def image(self, row):
        self.read.append(row)
        if row in self.broken:
            raise UserError(f"row {row} cannot be read")
        if row in self.slow:
            self.held.wait(timeout=20)
        return np.full((1, 1, 3), row, np.uint8)


def loader(images, workers, **how):
    batches = FaceBatches(images, np.zeros((len(ROWS), 1), bool), None)
    return Loader(batches, shuffled(ROWS, 4, 4, seed=1, epoch=0), workers, **how)


def rows(batches):
    return [batch.images[:, 0, 0, 0].tolist() for batch in batches]


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_come_in_order_whatever_the_number_of_threads(workers):
    assert rows(loader(Images(), workers)) == rows(loader(Images(), 0))
    assert len(loader(Images(), workers)) == 10


def test_few_batches_are_read_ahead_and_none_once_nobody_asks():
    images, before = Images(), set(threading.enumerate())
    batches = iter(loader(images, 2))
    next(batches)
    time.sleep(0.2)
    assert len(images.read) <= 4 * (1 + 2 * loaders.AHEAD)
    batches.close()
    assert set(threading.enumerate()) <= before


def test_what_a_thread_fails_on_ends_in_who_waits_for_it():
    with pytest.raises(UserError, match="row 13 cannot be read"):
        rows(loader(Images(broken=[13]), 2))


@pytest.mark.parametrize(
    ("limit", "stopping", "says"),
    [("SILENCE", False, "no batch for"), ("GRACE", True, "SIGTERM")],
)
def test_a_batch_that_never_comes_ends_in_one_sentence(monkeypatch, limit, stopping, says):
    monkeypatch.setattr(loaders, limit, 0.0)
    images = Images(slow=[13])
    with pytest.raises(UserError, match=says):
        rows(loader(images, 2, stopping=lambda: stopping))
    images.held.set()


def test_a_batch_is_what_its_rows_are():
    (batch, *_) = loader(Images(), 2)
    assert batch.images.dtype == torch.uint8
    assert batch.images.shape == (4, 3, 1, 1)
    assert batch.counted.all()
    assert batch.bits is None
