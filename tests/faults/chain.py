"""The chain on a few drawn faces, each stage through its command line in a process forked here.

A fork costs no import of torch, so that hundreds of runs are possible. What a stage imports is
imported here first; nothing is computed in this process, whose threads a fork would lose.
"""

import atexit
import hashlib
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from conftest import schema
from face_detection import fetched_model
from faults.counts import FULL

from pipeline import (
    acquire,
    align,
    compare,
    evaluate,
    export,
    fetch,
    figures,
    gallery,
    landmarks,
    masks,
    predict,
    retrain,
    synthesize,
    train,
)
from pipeline.core.configuration import complete
from pipeline.core.files import sha256
from pipeline.core.landmarks.detectors import mediapipe_mesh  # noqa: F401  imported once
from pipeline.core.masks.store import open_masks

CONFIG = """
dataset: small
datasets: {small: {source: synthetic, images: 16, seed: 3}}
masks: {shard: 8}
evaluate: {draws: 20, min_class: 1}
models:
  attparsenet: {network: attparsenet, width: 0.03, epochs: 1, batch_size: 5, workers: 0,
    precision: 32-true, accelerator: cpu, input_size: [44, 36], checkpoint_minutes: 1.0e-9}
  plain: {like: attparsenet, segmentation_weight: 0}
compare: {pairs: [[attparsenet, plain]], seeds: [1], shares: [1]}
predict: {model: attparsenet}
train: [attparsenet]
"""


@cache
def config() -> dict[str, Any]:
    completed: dict[str, Any] = complete(yaml.safe_load(CONFIG), schema())
    return completed


@dataclass(frozen=True)
class Step:
    """A stage's run: its module, its flags, and what it writes below the folder of results."""

    name: str
    module: Any
    flags: tuple[str, ...]
    outputs: tuple[str, ...]

    def argv(self, folder: Path) -> list[str]:
        """The command line, where ``@name`` is a file of ``folder``."""
        return [
            flag if flag.startswith("{") else flag.replace("@", f"{folder}/") for flag in self.flags
        ]

    def logged(self) -> "Step":
        """The same with a log, as a rule has one."""
        return replace(self, flags=(*self.flags, "--log", "@logs/stage.log"))


def step(name: str, module: Any, command: str, outputs: str, settings: Any = None) -> Step:
    more = [] if settings is None else ["--settings", json.dumps(settings)]
    return Step(name, module, (*shlex.split(command), *more), tuple(outputs.split()))


@cache
def steps() -> dict[str, Step]:
    """The chain in its order, each step as its rule calls it."""
    entry, evaluation = config()["datasets"]["small"], config()["evaluate"]
    how = {key: config()["masks"][key] for key in ("shard", "repair_labels")}
    where = {key: config()["landmarks"][key] for key in ("detectors", "map")}
    where["detectors"] = ["mediapipe"]
    run, model = "--weights @weights.safetensors", shlex.quote(str(fetched_model()))
    evaluated = "--predictions @predictions.parquet"
    made = [
        step("synthesize", synthesize, "--out @drawn --threads 1", "drawn",
             {"images": entry["images"], "seed": entry["seed"]}),
        step("acquire", acquire, "--drawn @drawn --downloads @downloads --out @faces --manifest"
             " @manifest.csv --rejected @rejected.csv --terms @TERMS.txt --summary @faces.json",
             "faces manifest.csv rejected.csv TERMS.txt faces.json", entry),
        step("landmarks find", landmarks, f"find --faces @faces --model {model} --part 1-of-1"
             " --out @part.csv", "part.csv", where),
        step("landmarks gather", landmarks, "gather --faces @faces --parts @part.csv --out"
             " @landmarks.csv --written @written.txt --done @done", "landmarks.csv done",
             {"detectors": where["detectors"]}),
        step("landmarks summarise", landmarks, "summarise --faces @faces --landmarks"
             " @landmarks.csv --out @landmarks.json", "landmarks.json"),
        step("masks draw", masks, "draw --faces @faces --landmarks @landmarks.csv --part 1-of-1"
             " --shards @shards --out @shards.json", "shards shards.json", how),
        step("masks gather", masks, "gather --faces @faces --parts @shards.json --shards @shards"
             " --store @masks.zarr --summary @masks.json", "masks.zarr masks.json", how),
        step("train", train, "--faces @faces --faces-summary @faces.json --data-set small --source"
             " synthetic --masks @masks.zarr --masks-summary @masks.json --seed 1 --threads 1"
             f" --checkpoints @checkpoints {run} --history @history.csv --run @run.json",
             "weights.safetensors history.csv run.json", config()["models"]["attparsenet"]),
        step("evaluate", evaluate, f"{run} --faces @faces --faces-summary @faces.json --trained-on"
             " @faces --masks @masks.zarr --masks-summary @masks.json"
             f" {evaluated} --metrics @metrics.json --table @metrics.csv",
             "predictions.parquet metrics.json metrics.csv", evaluation),
        step("compare", compare, "models --predictions attparsenet=@predictions.parquet"
             " --out-table @models.csv --out-json @models.json --out-figure @models.svg",
             "models.csv models.json models.svg",
             {key: evaluation[key] for key in ("draws", "seed", "min_class")}),
        step("figures", figures, f"numbers --run @run.json --history @history.csv {evaluated}"
             " --metrics @metrics.json --table @metrics.csv --out @figures",
             "figures/training.svg figures/attributes.svg figures/reliability.svg"
             " figures/precision_recall.svg figures/confusion.svg figures/groups.svg"),
        step("gallery", gallery, f"{run} --faces @faces {evaluated} --each 1 --out @gallery.html",
             "gallery.html"),
        step("predict", predict, f"{run} --photographs @drawn/img_align_celeba --out @predicted",
             "predicted/faces.csv predicted/index.html"),
        step("align", align, f"--photographs @drawn/img_align_celeba --model {model} --out @aligned"
             " --table @aligned.csv", "aligned.csv aligned"),
        step("fetch", fetch, "--out @model.task", "model.task",
             {"sha256": sha256(fetched_model()), "mirrors": [str(fetched_model())]}),
    ]  # fmt: skip
    if FULL:  # what takes many seconds (torch's exporter), and what is much like another step
        photographs, pair = "--photographs @drawn/img_align_celeba", "predictions.parquet,@metrics"
        made += [
            step("export", export, f"{run} --run @run.json --metrics @metrics.json --table"
                 " @metrics.csv --terms @TERMS.txt --out @export",
                 "export/model.onnx export/model_card.md"),
            step("retrain", retrain, f"{run} --history @history.csv --run @run.json --faces"
                 " @more/faces --out @retrained --seed 1 --threads 1",
                 "retrained/weights.safetensors retrained/history.csv retrained/run.json",
                 {"last_layer_of": "attparsenet", "groups": ["Smiling"]}),
            step("compare pairs", compare, "pairs --pair attparsenet,plain"
                 f" --run attparsenet/1/1=@{pair}.json --run plain/1/1=@{pair}.json"
                 " --out-table @pairs.csv --out-json @pairs.json --out-figure @pairs.svg",
                 "pairs.csv pairs.json pairs.svg",
                 {key: evaluation[key] for key in ("draws", "seed", "min_class")}),
            step("figures data", figures, "data --faces @faces --rejected @rejected.csv --landmarks"
                 " @landmarks.json --masks @masks.json --out @data",
                 "data/counts.svg data/balance.svg"),
            step("landmarks points", landmarks, f"points {photographs} --model {model}"
                 " --out @points.csv", "points.csv"),
        ]  # fmt: skip
    return {one.name: one for one in made}


class Outcome(NamedTuple):
    """``status`` as of ``os.waitstatus_to_exitcode``: a signal is negative."""

    status: int
    output: str
    seconds: float

    @property
    def is_one_sentence(self) -> bool:
        """Refused as a user should see it: warnings may stand before the sentence."""
        lines = [line for line in self.output.splitlines() if not line.startswith("WARNING: ")]
        return self.status == 1 and len(lines) == 1 and lines[0].startswith("attparse: ")


class Run:
    """A stage that runs on ``folder`` in a fork, in which ``before`` was called first."""

    def __init__(self, one: Step, folder: Path, before: Callable[[], Any] = bool) -> None:
        self.reading, writing = os.pipe()  # no file: a limit of files' size is none of its size
        self.began = time.monotonic()
        if (child := os.fork()) == 0:
            _in_child(one, folder, before, writing)
        os.close(writing)
        self.child = child

    def stopped(self) -> bool:
        """Wait until it stops itself, or has ended; whether it has stopped."""
        found = os.waitid(os.P_PID, self.child, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        return found is not None and found.si_code == os.CLD_STOPPED

    def ended(self) -> Outcome:
        os.kill(self.child, signal.SIGCONT)
        with os.fdopen(self.reading, encoding="utf-8", errors="replace") as output:
            text = output.read()
        status = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        return Outcome(status, text, time.monotonic() - self.began)


def run(
    one: Step, folder: Path, before: Callable[[], Any] = bool, kill_after: float | None = None
) -> Outcome:
    """Run a stage to its end, or kill it after some seconds."""
    running = Run(one, folder, before)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(running.child, signal.SIGKILL)
    return running.ended()


def _in_child(one: Step, folder: Path, before: Callable[[], Any], output: int) -> None:
    """The end of this process, as Python would end it."""
    status = 1
    # A lock that a thread of the process before held at the fork would be waited for without end:
    # such tests belong into a process that has computed nothing, as `make test` runs them.
    signal.alarm(300)
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(output, 2)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        sys.argv = ["-m"]
        before()
        one.module.main(one.argv(folder))
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def hashes(folder: Path, one: Step) -> dict[str, str]:
    """The hash of each output that is there."""
    return {name: sha256(folder / name) for name in one.outputs if (folder / name).exists()}


@cache
def finished() -> Path:
    """The folder of an undisturbed run of the whole chain, which no test may change."""
    return made([*(more_faces() if FULL else ()), *steps().values()])


def more_faces() -> Iterable[Step]:
    """So many that retraining finds enough of each group in valid."""
    entry = {**config()["datasets"]["small"], "images": 128}
    drawn = {key: entry[key] for key in ("images", "seed")}
    place = "--manifest @more/manifest.csv --rejected @more/rejected.csv --terms @more/TERMS.txt"
    yield step("draw", synthesize, "--out @more/drawn --threads 1", "more/drawn", drawn)
    yield step(
        "take", acquire, f"--drawn @more/drawn --downloads @downloads --out @more/faces {place}"
        " --summary @more/faces.json", "more/faces", entry,
    )  # fmt: skip


def masks_digest(store: Path) -> str:
    """A hash of all that a store of masks holds."""
    masks = open_masks(store)
    rows = range(len(masks))
    images = [masks.masks(row).tobytes() for row in rows]
    return bytes_digest(masks.names, *images, masks.region_bits(rows).tobytes())


def bytes_digest(about: Any, *contents: bytes) -> str:
    return hashlib.sha256(b"".join([repr(about).encode(), *contents])).hexdigest()


def left_over(folder: Path) -> list[Path]:
    """What an attempt may have in a folder while it works, and never after it.

    The lock of one that was killed may stay, which no one holds.
    """
    return [path for end in ("partial", "earlier") for path in folder.rglob(f".*.{end}")]


@cache
def other() -> Path:
    """The same of other faces, up to the evaluation: what a swap brings."""
    settings = {"images": 16, "seed": 99}
    drawn = step("synthesize", synthesize, "--out @drawn --threads 1", "drawn", settings)
    return made([drawn, *list(steps().values())[1 : list(steps()).index("compare")]])


def made(chain: Iterable[Step]) -> Path:
    """A folder in which these steps have run, until the tests end."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for one in chain:
        outcome = run(one, folder)
        assert outcome.status == 0, (one.name, outcome.output)
    return folder


def before(one: Step, folder: Path, *, whole: bool = False) -> None:
    """Lay into ``folder`` what the undisturbed run had before this step; ``whole``: all of it."""
    shutil.copytree(finished(), folder, dirs_exist_ok=True, copy_function=shutil.copy2)
    if whole:
        return
    after = False
    for each in steps().values():
        after = after or each == one
        for name in each.outputs if after else ():
            remove(folder / name)
    if one.name == "train":
        remove(folder / "checkpoints")


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.scandir"}


class FileEvents:
    """Counts what a process does to files of a folder; at the event ``at`` it gets a signal."""

    def __init__(
        self,
        folder: Path,
        at: int | None = None,
        sent: int = signal.SIGKILL,
        log: Path | None = None,
    ) -> None:
        self.folder, self.at, self.sent, self.log, self.seen = str(folder), at, sent, log, 0

    def __call__(self) -> None:
        sys.addaudithook(self.look)

    def look(self, event: str, given: tuple[Any, ...]) -> None:
        if event not in EVENTS or not any(str(one).startswith(self.folder) for one in given[:2]):
            return
        self.seen += 1
        if self.log:
            os.truncate(self.log, self.seen)
        if self.seen == self.at:
            os.kill(os.getpid(), self.sent)


@cache
def extent(one: Step) -> tuple[int, float]:
    """How many events of files, and how many seconds, the undisturbed stage has."""
    with tempfile.TemporaryDirectory() as place:
        folder, log = Path(place) / "folder", Path(place) / "events"
        before(one, folder)
        log.touch()
        outcome = run(one, folder, FileEvents(folder, log=log))
        assert outcome.status == 0, outcome.output
        return log.stat().st_size, outcome.seconds
