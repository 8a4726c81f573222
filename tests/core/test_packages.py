"""The packages of ``pipeline/core``, in the order of the chain, import only those before them."""

import ast
import tomllib

import pytest
from conftest import ROOT

CORE = ROOT / "pipeline/core"
PACKAGES = (
    *("faces", "synthetic", "landmarks", "masks"),
    *("networks", "training", "evaluation", "presentation"),
)


def package_of(module: str) -> str:
    """The package of a dotted name below ``pipeline.core``; empty for a single module."""
    parts = module.split(".")
    return parts[2] if len(parts) > 2 and parts[2] in PACKAGES else ""


def imports_of(source: str) -> list[str]:
    """Dotted names below ``pipeline`` that a module imports, those inside functions too."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.split(".")[0] == "pipeline"]


def test_the_packages_are_those_that_are_there():
    assert {path.parent.name for path in CORE.glob("*/__init__.py")} == set(PACKAGES)


@pytest.mark.parametrize(
    "package", ["", *PACKAGES], ids=lambda package: package or "single modules"
)
def test_a_package_uses_only_packages_before_it(package):
    allowed = {"", *PACKAGES[: PACKAGES.index(package) + 1]} if package else {""}
    files = (CORE / package).rglob("*.py") if package else CORE.glob("*.py")
    forward = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in files
        for name in imports_of(path.read_text(encoding="utf-8"))
        if not name.startswith("pipeline.core") or package_of(name) not in allowed
    }
    assert forward == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_belongs_there_and_what_it_may_use(package):
    text = ast.get_docstring(
        ast.parse((CORE / package / "__init__.py").read_text(encoding="utf-8"))
    )
    assert text
    assert "belong" in text or "nothing else" in text
    assert "use" in text.lower()


def test_data_beside_the_modules_is_installed_with_them():
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = setup["tool"]["setuptools"]["package-data"]["*"]
    files = [path for path in (ROOT / "pipeline").rglob("*.*") if "__pycache__" not in path.parts]
    left_out = [
        path.name
        for path in files
        if path.suffix != ".py" and not any(path.match(pattern) for pattern in patterns)
    ]
    assert not left_out
