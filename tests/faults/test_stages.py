"""Every stage, killed at any moment, unable to write, and given damaged artifacts."""

import json
import os
import pickle
import re
import resource
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from faults import chain
from faults.chain import FileEvents, Step, before, extent, hashes, left_over, run, steps
from faults.counts import count, generator, times
from faults.mounts import disk

from pipeline.core.errors import UserError
from pipeline.core.evaluation.predictions import read_predictions
from pipeline.core.faces.store import checked_faces
from pipeline.core.files import sha256
from pipeline.core.networks.weights import load_network

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", list(steps()))
def test_a_stage_killed_at_any_moment_and_run_again_ends_as_if_it_had_not_been(name, tmp_path):
    """Half of the kills come at an event of a file, half at a time; what is there then is whole.

    Before every third of them an earlier result is there.
    """
    one, random = steps()[name], generator("kill", name)
    whole, (events, seconds) = hashes(chain.finished(), one), extent(one)
    tried = times(2, 24)
    for trial in range(tried):
        folder = tmp_path / str(trial)
        earlier = with_earlier(one, folder) if trial % 3 == 0 else {}
        if not earlier:
            before(one, folder)
        if trial % 2:
            outcome = run(one, folder, kill_after=float(random.uniform(0, seconds)))
        else:
            outcome = run(one, folder, FileEvents(folder, int(random.integers(1, events + 1))))
        assert outcome.status in (-9, 0), outcome.output
        found = hashes(folder, one)
        assert_whole(found, earlier, whole)
        again = run(one, folder)
        if name == "align" and found == whole:  # which takes no folder that is there
            assert again.is_one_sentence
        else:
            assert again.status == 0, again.output
        assert hashes(folder, one) == whole
        assert not left_over(folder)
        shutil.rmtree(folder)
    count("killed", name, tried, tried)


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
        earlier = with_earlier(one, folder)
        outcome = run(one, folder, FAULTS[fault](random))
        assert_refused_or_whole(one, folder, outcome, earlier)
        shutil.rmtree(folder)
    count("writing", name, len(faults), len(faults))


@pytest.mark.parametrize("name", list(steps()))
def test_a_full_or_read_only_disk_is_one_sentence_and_the_earlier_result(name, tmp_path):
    """A real one; on the full one the stage has a log, as in a rule, and some pages are left."""
    one, random = steps()[name], generator("disk", name)
    with disk(tmp_path / "disk", megabytes=64) as made:
        earlier = with_earlier(one, made.seen)
        tried = times(1, 5)
        for _ in range(tried):
            made.fill(left=int(random.integers(8)))
            outcome = run(one.logged(), made.place, made.enter)
            assert_refused_or_whole(one, made.seen, outcome, earlier)
        made.make_read_only()
        there = hashes(made.seen, one) == hashes(chain.finished(), one)
        outcome = run(one, made.place, made.enter)
        assert outcome.status or (name == "fetch" and there), "written to a read-only disk"
        assert_refused_or_whole(one, made.seen, outcome, earlier)
    count("writing", name, tried + 1, tried + 1)


def with_earlier(one: Step, folder: Path) -> dict[str, str]:
    """Lay a whole chain into ``folder``, with other results of this step; the hashes of these."""
    before(one, folder, whole=one.name != "align")  # which takes no folder that is there
    return {name: mark(folder / name) for name in one.outputs if (folder / name).exists()}


def assert_refused_or_whole(
    one: Step, folder: Path, outcome: chain.Outcome, earlier: dict[str, str]
) -> None:
    """One sentence about the disk, with nothing half written; or an error that met nothing."""
    whole = hashes(chain.finished(), one)
    if outcome.status == 0:
        assert hashes(folder, one) == whole
    else:
        assert outcome.is_one_sentence, outcome.output
        assert re.search("disk|quota|larger than", outcome.output)
        assert_whole(hashes(folder, one), earlier, whole)
    assert not left_over(folder)


def assert_whole(found: dict[str, str], earlier: dict[str, str], whole: dict[str, str]) -> None:
    for output, hash in found.items():
        assert hash in (earlier.get(output), whole[output]), f"{output} is half written"


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
# By themselves they are as good as any other model's: nothing says which were meant.
ANY = {"weights.safetensors", "predictions.parquet"}


@pytest.mark.parametrize("file", READERS)
def test_a_damaged_artifact_is_noticed_before_it_is_used(file, tmp_path):
    """Refused in one sentence that names it, or the results are those of the undamaged one.

    A table for people (``OPEN``) may be changed; no damage to it ends in a traceback.
    """
    one, random, good = steps()[READERS[file]], generator("damage", file), 0
    possible = [damage for damage in DAMAGES if not (damage is swapped and file in ANY)]
    damages = [possible[i % len(possible)] for i in range(times(3, 25))]
    for trial, damage in enumerate(damages):
        folder = tmp_path / str(trial)
        before(one, folder)
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
            assert results(folder, one) == results(chain.finished(), one), where
        good += 1
        shutil.rmtree(folder)
    count("damaged", file.partition("/")[0], good, len(damages))


def results(folder: Path, one: Step) -> list[Any]:
    """The bytes of each output; of JSON what it holds but for the hash of the damaged input."""
    found: list[Any] = []
    for name in one.outputs:
        text = (folder / name).read_bytes() if (folder / name).is_file() else sha256(folder / name)
        found.append(json.loads(text) if name.endswith(".json") else text)
        if name.endswith(".json"):
            found[-1].pop("inputs_sha256", None)
    return found


def weights_digest(folder: Path) -> str:
    network, settings = load_network(folder / "weights.safetensors")
    tensors = [tensor.numpy().tobytes() for tensor in network.state_dict().values()]
    return chain.bytes_digest(settings.to_dict(), *tensors)


READ = {  # an artifact: what a stage reads of it before it is used
    "faces": lambda folder: checked_faces(folder / "faces", folder / "faces.json"),
    "masks.zarr": lambda folder: chain.masks_digest(folder / "masks.zarr"),
    "weights.safetensors": weights_digest,
    "predictions.parquet": lambda folder: pickle.dumps(
        read_predictions(folder / "predictions.parquet")
    ),
}


@pytest.mark.parametrize("name", READ)
def test_of_flipped_bytes_anywhere_in_an_artifact_none_changes_what_is_read(name, tmp_path):
    tried, random, read = times(20, 1000), generator("flip", name), READ[name]
    shutil.copytree(chain.finished(), tmp_path / "folder")

    def flip_and_read(argv: list[str]) -> None:
        folder = tmp_path / "folder"
        whole, artifact = read(folder), folder / name
        files = sorted(f for f in artifact.rglob("[!.]*") if f.is_file()) or [artifact]
        for _ in range(tried):
            file = files[int(random.integers(len(files)))]
            content = file.read_bytes()
            spoilt = flipped(content, random, b"") if content else b"x"
            file.write_bytes(spoilt)
            with suppress(UserError):
                assert read(folder) == whole, f"{file} changed in silence"
            file.write_bytes(content)

    outcome = run(chain.step(name, SimpleNamespace(main=flip_and_read), "", ""), tmp_path)
    assert outcome.status == 0, outcome.output
    count("damaged", f"bytes of {name}", tried, tried)
