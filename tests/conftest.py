"""What the tests share: the schema, markers by fixture, and the real faces if they are here."""

import fcntl
import logging
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import hypothesis
import pytest
import yaml

# The package guards the import of torchvision, which some tests do themselves.
from pipeline.core.errors import UserError
from pipeline.fetch import fetch

ROOT = Path(__file__).parents[1]

# How long an example takes says more of a machine's load than of the code.
hypothesis.settings.register_profile("attparse", deadline=None)
hypothesis.settings.load_profile("attparse")


@cache
def schema() -> dict[str, Any]:
    """The configuration's schema, read once, because that takes 0.1 s: not to be changed."""
    path = ROOT / "workflow/schemas/config.schema.yaml"
    read: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return read


def lacking(reason: str, required_by: str) -> NoReturn:
    """Skip for what this machine lacks; fail where the variable ``required_by`` is 1, as in CI."""
    if os.environ.get(required_by) == "1":
        pytest.fail(f"{reason}, and {required_by} is set")
    pytest.skip(reason, allow_module_level=True)


def fetched(name: str, described: dict[str, Any]) -> Path:
    """A file of downloads/, fetched unless it is there; a test is skipped where it cannot be.

    ``described`` is the part of the schema with its ``sha256`` and ``mirrors``.
    """
    path = ROOT / "downloads" / name
    path.parent.mkdir(exist_ok=True)
    try:
        with path.with_name(f".{name}.fetching").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # test files run two at once: the second waits
            fetch(path, described["sha256"]["default"], described["mirrors"]["default"])
    except UserError as error:  # without a network there is nothing to test with
        lacking(f"{name} cannot be had: {error}", "ATTPARSE_REQUIRE_DATA")
    return path


# What a fixture costs, or needs, marks every test that uses it: no one has to remember it.
FIXTURE_MARKERS = {
    "real_faces": "data",
    "all_figures": "slow",
    "finished": "slow",
    "hub": "slow",
    "pages_folder": "slow",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in FIXTURE_MARKERS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(FIXTURE_MARKERS[fixture])


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """A stage that a test runs configures the root logger: not for the tests after it."""
    yield
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if not type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)
            handler.close()
    root.setLevel(logging.WARNING)
    logging.captureWarnings(False)


@pytest.fixture(scope="session")
def real_faces() -> Path:
    """The folder of real faces; without it a test is skipped, or fails where they are required."""
    folder = Path(os.environ.get("ATTPARSE_DATA", ROOT / "../shared/data")).resolve()
    if not folder.is_dir():
        lacking(f"no real faces at {folder} (set ATTPARSE_DATA)", "ATTPARSE_REQUIRE_DATA")
    return folder
