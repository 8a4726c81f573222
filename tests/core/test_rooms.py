"""The rooms of ``pipeline/core`` in the order of the chain: arrows point back, never forward."""

import ast

import pytest
from conftest import ROOT

CORE = ROOT / "pipeline/core"
ROOMS = (
    *("faces", "synthetic", "landmarks", "masks"),
    *("networks", "training", "evaluation", "presentation"),
)


def room_of(module: str) -> str:
    """The room of a dotted name below ``pipeline.core``; empty for the ground floor."""
    parts = module.split(".")
    return parts[2] if len(parts) > 2 and parts[2] in ROOMS else ""


def imports_of(source: str) -> list[str]:
    """Dotted names below ``pipeline`` that a module imports, those inside functions too."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.split(".")[0] == "pipeline"]


def test_the_rooms_are_those_that_are_there():
    assert {path.parent.name for path in CORE.glob("*/__init__.py")} == set(ROOMS)


@pytest.mark.parametrize("room", ["", *ROOMS], ids=lambda room: room or "ground floor")
def test_a_room_uses_only_rooms_before_it(room):
    allowed = {"", *ROOMS[: ROOMS.index(room) + 1]} if room else {""}
    files = (CORE / room).rglob("*.py") if room else CORE.glob("*.py")
    forward = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in files
        for name in imports_of(path.read_text(encoding="utf-8"))
        if not name.startswith("pipeline.core") or room_of(name) not in allowed
    }
    assert forward == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_belongs_there_and_what_it_may_use(room):
    text = ast.get_docstring(ast.parse((CORE / room / "__init__.py").read_text(encoding="utf-8")))
    assert text
    assert "belong" in text or "nothing else" in text
    assert "use" in text.lower()
