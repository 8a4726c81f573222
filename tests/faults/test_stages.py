"""Every stage, killed at any moment, unable to write, and given damaged artifacts."""

import os
import re
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults import chain
from faults.chain import Step, hashes, run, steps
from faults.counts import count, times

pytestmark = pytest.mark.slow

EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.scandir"}


def generator(*seeds: str) -> np.random.Generator:
    return np.random.default_rng([sum(map(ord, text)) for text in seeds])


class FileEvents:
    """Counts what a process does to files of a folder, and kills it at the event ``at``."""

    def __init__(self, folder: Path, at: int | None = None, log: Path | None = None) -> None:
        self.folder, self.at, self.log, self.seen = str(folder), at, log, 0

    def __call__(self) -> None:
        sys.addaudithook(self.look)

    def look(self, event: str, given: tuple[Any, ...]) -> None:
        if event not in EVENTS or not any(str(one).startswith(self.folder) for one in given[:2]):
            return
        self.seen += 1
        if self.log:
            os.truncate(self.log, self.seen)
        if self.seen == self.at:
            os.kill(os.getpid(), 9)


@pytest.mark.parametrize("name", list(steps()))
def test_a_stage_killed_at_any_moment_and_run_again_ends_as_if_it_had_not_been(name, tmp_path):
    """Half of the kills come at an event of a file, half at a time; what is there then is whole."""
    one, random = steps()[name], generator("kill", name)
    whole, (events, seconds) = hashes(chain.finished(), one), extent(one, tmp_path / "first")
    tried = times(2, 24)
    for trial in range(tried):
        folder = tmp_path / str(trial)
        chain.before(one, folder)
        if trial % 2:
            outcome = run(one, folder, kill_after=float(random.uniform(0, seconds)))
        else:
            outcome = run(one, folder, FileEvents(folder, int(random.integers(1, events + 1))))
        assert outcome.status in (-9, 0), outcome.output
        found = hashes(folder, one)
        assert found == {name: whole[name] for name in found}, "half a result under its name"
        again = run(one, folder)
        assert again.status == 0, again.output
        assert hashes(folder, one) == whole
        assert not list(folder.rglob(".*.partial"))
        shutil.rmtree(folder)
    count("killed", name, tried, tried)


def extent(one: Step, folder: Path) -> tuple[int, float]:
    """How many events of files, and how many seconds, the undisturbed stage has."""
    chain.before(one, folder)
    log = folder.parent / "events"
    log.touch()
    outcome = run(one, folder, FileEvents(folder, log=log))
    assert outcome.status == 0, outcome.output
    return log.stat().st_size, outcome.seconds


def small_files(size: int) -> Callable[[], None]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def failing(call: str, number: int, at: int) -> Callable[[], None]:
    """``os.<call>`` fails with the error ``number`` when it is called the ``at``-th time."""

    def change() -> None:
        whole, seen = getattr(os, call), iter(range(1, 10**9))

        def fails(*given: Any, **named: Any) -> Any:
            if next(seen) == at:
                raise OSError(number, os.strerror(number), *given[:1])
            return whole(*given, **named)

        setattr(os, call, fails)

    return change


FAULTS = {  # of writing: what brings each one about
    "too large": lambda random: small_files(int(random.integers(1, 60))),
    "EIO": lambda random: failing("fsync", 5, 1),
    "ENOSPC": lambda random: failing("fsync", 28, int(random.integers(1, 3))),
    "EDQUOT": lambda random: failing("fsync", 122, 1),
}


@pytest.mark.parametrize("name", list(steps()))
def test_where_nothing_can_be_written_is_one_sentence_and_the_earlier_result(name, tmp_path):
    one, random = steps()[name], generator("write", name)
    faults = list(FAULTS) if times(1, 2) > 1 else [list(FAULTS)[sum(map(ord, name)) % len(FAULTS)]]
    for fault in faults:
        folder = tmp_path / fault
        chain.before(one, folder, whole=True)
        earlier = {output: mark(folder / output) for output in one.outputs}
        outcome = run(one, folder, FAULTS[fault](random))
        if outcome.status == 0:  # more files than the fault let through were not written
            assert hashes(folder, one) == hashes(chain.finished(), one)
            continue
        assert outcome.is_one_sentence, outcome.output
        assert re.search("disk|quota|larger than", outcome.output)
        whole = hashes(chain.finished(), one)
        for output, hash in hashes(folder, one).items():
            assert hash in (earlier[output], whole[output]), f"{output} is half written"
        assert not list(folder.rglob(".*.partial"))
        shutil.rmtree(folder)
    count("writing", name, len(faults), len(faults))


def mark(output: Path) -> str:
    """Make an earlier result, other than the one to come, of an output; its hash."""
    if output.name == "written.txt" or output.name == "landmarks.csv":  # kept if it is another
        return chain.sha256(output)
    for file in [output] if output.is_file() else sorted(output.rglob("*"))[-1:]:
        if file.is_file():
            file.write_bytes(file.read_bytes() + b"\n")
    return chain.sha256(output)


def cut(content: bytes, random: np.random.Generator, _: bytes) -> bytes:
    return content[: int(random.integers(1, max(2, len(content))))]


def emptied(content: bytes, random: np.random.Generator, _: bytes) -> bytes:
    return b""


def flipped(content: bytes, random: np.random.Generator, _: bytes) -> bytes:
    at = int(random.integers(len(content)))
    return content[:at] + bytes([content[at] ^ 1 << int(random.integers(8))]) + content[at + 1 :]


def swapped(content: bytes, random: np.random.Generator, other: bytes) -> bytes:
    return other


def edited(content: bytes, random: np.random.Generator, _: bytes) -> bytes:
    """As an editor that converts line ends, or a hand that deletes a line."""
    lines = content.splitlines(keepends=True)
    del lines[int(random.integers(len(lines)))]
    return b"".join(lines)


DAMAGES = (cut, emptied, flipped, swapped, edited)
READERS = {  # a file of an artifact: the stage that reads it
    "faces/data-00000-of-00001.arrow": "train",
    "faces/dataset_info.json": "train",
    "faces.json": "train",
    "part.csv": "landmarks gather",
    "landmarks.csv": "landmarks summarise",
    "shards/masks/c/0/0/0/0": "masks gather",
    "shards.json": "masks gather",
    "masks.zarr/masks/c/0/0/0/0": "train",
    "masks.zarr/regions/c/1/0/0": "evaluate",
    "masks.zarr/zarr.json": "train",
    "masks.json": "evaluate",
    "weights.safetensors": "predict",
    "predictions.parquet": "compare",
    "run.json": "figures",
    "metrics.json": "figures",
    "metrics.csv": "figures",
    "history.csv": "figures",
}
# What a person may change: points that were corrected are used, and tables are drawn as they are.
OPEN = {"landmarks.csv", "part.csv", "run.json", "metrics.json", "metrics.csv", "history.csv"}


@pytest.mark.parametrize("file", READERS)
def test_a_damaged_artifact_is_noticed_before_it_is_used(file, tmp_path):
    """Refused in one sentence that names it, or the results are those of the undamaged one.

    A table for people (``OPEN``) may be changed; no damage to it ends in a traceback.
    """
    one, random, good = steps()[READERS[file]], generator("damage", file), 0
    damages = [DAMAGES[i % len(DAMAGES)] for i in range(times(3, 25))]
    for trial, damage in enumerate(damages):
        folder = tmp_path / str(trial)
        chain.before(one, folder)
        path = folder / file
        content = path.read_bytes()
        spoilt = damage(content, random, (chain.other() / file).read_bytes())
        path.unlink()  # a hard link to a shard
        path.write_bytes(spoilt)
        outcome = run(one, folder)
        where = f"{file} {damage.__name__}: {outcome.output}"
        if outcome.status:
            assert outcome.is_one_sentence, where
            assert re.split(r"[/.]", file)[0] in outcome.output, where
        elif file not in OPEN:
            assert hashes(folder, one) == hashes(chain.finished(), one), where
        good += 1
        shutil.rmtree(folder)
    count("damaged", file.partition("/")[0], good, len(damages))
