"""What made a result: the code that a stage runs, the packages, the commit.

The code is known by a hash of what each of its files does; another hash runs the stage again.
Comments, docstrings and layout do nothing, so they are in no hash.
"""

import ast
import hashlib
import importlib.metadata
import platform
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.files import digest

ROOT = Path(__file__).parents[2]
NETWORKS = "pipeline.core.networks"  # `build` imports the one network that a model's settings name
# Those whose arithmetic is in weights and numbers.
PACKAGES = (
    "torch", "torchvision", "timm", "lightning", "torchmetrics", "numpy", "opencv-contrib-python",
    "safetensors", "zarr",
)  # fmt: skip
# How a stage speaks to its user changes nothing in what it makes.
WITHOUT_BEHAVIOUR = {"pipeline/core/stage.py"}


class Module(NamedTuple):
    hashes: dict[str, str]  # of its file and of the data files beside it, by path
    imports: list[str]


class Code:
    """The code in ``root``/pipeline, of which each file is read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._modules: dict[str, Module | None] = {}

    def of(self, stage: str, network: str | None = None) -> dict[str, str]:
        """The files that a stage runs, by their paths below the root, each with its hash.

        They are its script, all that it imports of ``pipeline`` however far, also inside of
        functions, and the files beside an imported module that have its name (``mesh_map.py``
        reads ``mesh_map.json``). Of the networks it is ``network`` alone, or none.
        """
        hashes: dict[str, str] = {}
        seen: set[str] = set()
        waiting = [f"pipeline.{stage}", *([f"{NETWORKS}.{network}"] if network else [])]
        while waiting:
            if (name := waiting.pop()) in seen:
                continue
            seen.add(name)
            if module := self._module(name):
                hashes |= module.hashes
                waiting += module.imports
        return {file: hashes[file] for file in sorted(hashes.keys() - WITHOUT_BEHAVIOUR)}

    def _module(self, name: str) -> Module | None:
        if name not in self._modules:
            path = self.root / name.replace(".", "/")
            found = [f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()]
            self._modules[name] = self._read(found[0]) if found else None
        return self._modules[name]

    def _read(self, file: Path) -> Module:
        imports: list[ast.Import | ast.ImportFrom] = []
        behaviour = _behaviour(ast.parse(file.read_text(encoding="utf-8")), imports)
        hashes = {file: _hash(ascii(behaviour).encode())}
        for data in file.parent.glob(f"{file.stem}.*"):
            if data.suffix != ".py":
                hashes[data] = _hash(data.read_bytes())
        relative = {path.relative_to(self.root).as_posix(): text for path, text in hashes.items()}
        return Module(relative, list(_names(imports)))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _behaviour(node: object, imports: list[ast.Import | ast.ImportFrom]) -> object:
    """A syntax tree in lists that every Python from 3.11 on makes alike of the same source.

    Without places, docstrings (and other constants that stand alone) and empty fields, which new
    versions add; 3.12.0 also adds an empty text to ``f"{value:{width}}"``. What is met of
    ``imports`` is added to them: one walk, as every start of Snakemake waits for it.
    """
    if isinstance(node, list):
        return [_behaviour(item, imports) for item in node if not _stands_alone(item)]
    if not isinstance(node, ast.AST):
        return node
    if isinstance(node, ast.Import | ast.ImportFrom):
        imports.append(node)
    if isinstance(node, ast.JoinedStr):
        node.values = [v for v in node.values if getattr(v, "value", None) != ""]
    fields: list[object] = [type(node).__name__]
    for field in node._fields:
        value = getattr(node, field, None)
        if value is not None and value != [] and field not in ("ctx", "kind"):
            fields.append([field, _behaviour(value, imports)])
    return fields


def _stands_alone(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _names(imports: Iterable[ast.Import | ast.ImportFrom]) -> Iterator[str]:
    """Dotted names below ``pipeline`` that a module imports; packages above them run too."""
    for node in imports:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif node.module and node.level == 0:
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        for parts in (name.split(".") for name in names):
            if parts[0] == "pipeline":
                yield from (".".join(parts[: end + 1]) for end in range(len(parts)))


def made_by(stage: str, network: str | None = None) -> dict[str, Any]:
    """For the account of a result: ``versions`` of Python and of packages, ``code_sha256`` of the
    stage and of the network that it runs, ``git_revision``.
    """
    import torch  # seconds, which Snakemake's own processes need not spend

    return {
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
            "torch": str(torch.__version__),  # its build too, which metadata may lack
        },
        "code_sha256": digest(Code(ROOT).of(stage, network)),
        "git_revision": git_revision(),
    }


def git_revision() -> str | None:
    """The commit that the code is at, or None outside of a repository and without git."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        return subprocess.check_output(
            command, cwd=ROOT, stderr=subprocess.DEVNULL, text=True
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return None
