"""What every stage's command line shares: flags, settings, log, progress, errors."""

import argparse
import errno
import json
import logging
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from tqdm import tqdm

from pipeline.core.errors import UserError

Item = TypeVar("Item")
DISK_FAULTS = {
    errno.ENOSPC: ("could not be written: the disk is full", "free some space"),
    errno.EDQUOT: ("could not be written: your quota of the disk is used up", "free some space"),
    errno.EFBIG: ("could not be written: it is larger than ulimit -f allows", "raise the limit"),
    errno.EROFS: ("could not be written: the disk is read-only", "have it mounted for writing"),
    errno.EACCES: ("may not be read or written by you", "have its rights changed"),
    errno.EIO: ("could not be read or written: the disk reports an error", "have it checked"),
}
INTERRUPTED = "attparse: interrupted; run the same command again."
log = logging.getLogger(__name__)


def end_on_interrupt() -> None:
    """Until ``running`` takes over: end at once and in one sentence on Ctrl-C.

    Libraries take seconds to be imported, and an exception there comes out as anything.
    """

    def end(*_: object) -> None:
        os.write(sys.stderr.fileno(), f"{INTERRUPTED}\n".encode())
        os._exit(130)

    signal.signal(signal.SIGINT, end)


def parser(doc: str | None) -> argparse.ArgumentParser:
    """An argument parser that has a stage's docstring as its help, and ``--log``."""
    made = _parser(doc)
    _add_log(made)
    return made


def commands(
    doc: str | None,
) -> tuple[argparse.ArgumentParser, Callable[..., argparse.ArgumentParser]]:
    """The parser of a stage of several commands, and what adds a command by its name and help.

    Further keywords of that are flags that name a file or folder, each with its help. ``--log``
    belongs to each command: argparse would forget one that stands before it.
    """
    made = _parser(doc)
    added = made.add_subparsers(required=True)

    def command(name: str, what: str, **paths: str) -> argparse.ArgumentParser:
        one = added.add_parser(name, help=what, description=what, allow_abbrev=False)
        for flag, meaning in paths.items():
            one.add_argument(f"--{flag}", type=Path, required=True, help=meaning)
        _add_log(one)
        return one

    return made, command


def _parser(doc: str | None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )


def _add_log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", type=Path, help="append the details to this file")


class Settings(dict[str, Any]):
    """A section of the configuration, with all of its keys: one that is missing ends the stage."""

    def __missing__(self, key: str) -> NoReturn:
        raise UserError(
            f"--settings has no key {key!r}: give the whole section of the configuration, as in the"
            " command with which a log begins"
        )


def settings(text: str) -> Settings:
    """The type of ``--settings``: a JSON object, the stage's own section of the configuration."""
    try:
        value = json.loads(text, object_hook=Settings)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"is not JSON ({error}): {text!r}") from None
    if not isinstance(value, Settings):
        raise argparse.ArgumentTypeError(f"must be a JSON object like {{...}}, not {text!r}")
    return value


def named_file(text: str) -> tuple[str, Path]:
    """The type of a flag that takes ``NAME=FILE``."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"must be like name=file, not {text!r}")
    return name, Path(path)


def at_least(fewest: int) -> Callable[[str], int]:
    """The type of a flag that takes a whole number from ``fewest`` on."""

    def number(text: str) -> int:
        if not (text.isdecimal() and int(text) >= fewest):
            raise argparse.ArgumentTypeError(f"must be a whole number from {fewest}, not {text!r}")
        return int(text)

    return number


@contextmanager
def running(*log_files: Path | None) -> Iterator[None]:
    """Append the details to each of ``log_files``, send warnings and errors to the terminal too.

    The first line of a start is its command: several may share a file.

    A ``UserError``, and a disk that cannot be written, end the program with one sentence and exit
    status 1, Ctrl-C with one sentence and status 130; none with a traceback.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setLevel(logging.WARNING)
    handlers[0].setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    try:
        handlers += [LogFile(file) for file in filter(None, log_files)]
    except OSError as error:
        sys.exit(f"attparse: {disk_fault(error) or error}")
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.captureWarnings(True)
    log.info("started: %s", shlex.join(sys.orig_argv))
    threading.excepthook = _end_thread
    if getattr(signal.getsignal(signal.SIGINT), "__module__", "") == __name__:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        log.info("interrupted")
        print(INTERRUPTED, file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        sentence = str(error) if isinstance(error, UserError) else disk_fault(error)
        if not sentence:
            raise
        log.info("stopped: %s", sentence, exc_info=not isinstance(error, UserError))
        # torch puts the traceback of a loader's worker before the sentence.
        sentence = sentence.rsplit("UserError: ", 1)[-1].strip()
        sys.exit(f"attparse: {' '.join(sentence.splitlines())}")  # pandas' reasons have several


def _end_thread(fault: threading.ExceptHookArgs) -> None:
    """A thread that meets a full disk hands its error on, which ends the stage in one sentence."""
    if disk_fault(fault.exc_value):
        log.info("a thread ended", exc_info=fault.exc_value)
    else:
        threading.__excepthook__(fault)


class LogFile(logging.FileHandler):
    """A file that details are appended to; that it cannot take them is said once, untraced."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, encoding="utf-8")
        self.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
        self.whole = True

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        if self.whole:
            print(f"WARNING: {self.baseFilename} lacks lines: {sys.exc_info()[1]}", file=sys.stderr)
        self.whole = False

    def close(self) -> None:
        with suppress(OSError):  # of lines that it could not take
            super().close()


def disk_fault(error: BaseException | None) -> str:
    """What is wrong with the disk, in one sentence, if that is behind an error; else nothing.

    Libraries of C++ and Rust wrap the system's error in one of their own, which has its text.
    """
    while error:
        for number, (what, todo) in DISK_FAULTS.items():
            if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
                file = getattr(error, "filename", None) or "a result"
                return f"{file} {what}; {todo} and run the same command again."
        error = error.__cause__ or error.__context__
    return ""


def print_text(text: str) -> None:
    """Print for a reader who may leave before the end, as in ``… | head``; the stage goes on."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # what is flushed at the end goes nowhere, too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def progress(items: Iterable[Item], total: int, title: str, unit: str = "face") -> Iterator[Item]:
    """Pass ``items`` on, with a bar on a terminal and one line a minute in the log."""
    began = last = time.monotonic()
    bar = tqdm(items, total=total, desc=title, unit=unit, leave=False, disable=None, ncols=80)
    for done, item in enumerate(bar, start=1):
        yield item
        now = time.monotonic()
        if now - last >= 60:
            last, rate = now, done / (now - began)
            left = (total - done) / rate / 60
            pace = float(f"{rate:.3g}")
            log.info("%s: %d of %d, %g %s/s, %.0f min left", title, done, total, pace, unit, left)
    log.info("%s: %d %ss in %.1f s", title, total, unit, time.monotonic() - began)
