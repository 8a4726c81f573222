"""The files of code that a stage runs: a change to any of them makes the stage run again."""

import ast
from pathlib import Path

# How a stage speaks to its user changes nothing in what it makes.
WITHOUT_BEHAVIOUR = {"pipeline/core/stage.py"}


def files_of(stage: str, root: Path) -> list[str]:
    """Paths relative to ``root`` of a stage's script and all that it imports of ``pipeline``.

    Imports inside functions count too, and so do data files that lie beside an imported
    module under its name (``mesh_map.py`` reads ``mesh_map.json``).
    """
    found: set[str] = set()
    waiting = [f"pipeline.{stage}"]
    while waiting:
        file = _file(waiting.pop(), root)
        if file is None or file in found:
            continue
        found.add(file)
        found |= {
            _relative(data, root)
            for data in (root / file).parent.glob(f"{(root / file).stem}.*")
            if data.suffix in {".json", ".csv", ".npz", ".html", ".png"}
        }
        waiting += _imports((root / file).read_text(encoding="utf-8"))
    return sorted(found - WITHOUT_BEHAVIOUR)


def _imports(source: str) -> list[str]:
    """Dotted names below ``pipeline`` that a module imports; packages above them run too."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    ours = [name.split(".") for name in names if name.split(".")[0] == "pipeline"]
    return [".".join(name[: end + 1]) for name in ours for end in range(len(name))]


def _file(module: str, root: Path) -> str | None:
    path = root / module.replace(".", "/")
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return _relative(file, root)
    return None


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
