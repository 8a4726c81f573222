"""What every stage does alike at its door: flags, settings, log, progress, errors."""

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
log = logging.getLogger(__name__)


class UserError(Exception):
    """A mistake that its user can mend: one sentence with what, where, expected and what to do."""


def parser(doc: str | None) -> argparse.ArgumentParser:
    """An argument parser that has a stage's docstring as its help, and ``--log``."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    made.add_argument("--log", type=Path, help="write the details to this file")
    return made


def settings(text: str) -> dict[str, Any]:
    """The type of ``--settings``: a JSON object, the stage's own section of the configuration."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"is no JSON ({error}): {text!r}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"must be a JSON object like {{...}}, not {text!r}")
    return value


@contextmanager
def running(log_file: Path | None) -> Iterator[None]:
    """Send the details to ``log_file``, warnings and errors to the terminal too.

    A ``UserError`` ends the program with its one sentence and exit status 1, without a
    traceback.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setLevel(logging.WARNING)
    handlers[0].setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    if log_file:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log_file, mode="w", encoding="utf-8"))
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.captureWarnings(True)
    try:
        yield
    except UserError as error:
        if log_file:
            log.info("stopped: %s", error)
        sys.exit(f"attparse: {error}")


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
