"""Make ``import torchvision`` work beside a torch without CUDA; ``pipeline`` installs this.

torchvision's wheel from the package index is built for CUDA. Beside a CPU torch its library
does not load, and its import ends with ``operator torchvision::nms does not exist``; lightning
and torchmetrics, which import it, end likewise. Then the names of the two operators that its
import registers are declared, nothing more: networks and transforms work, box operators and
JPEG decoding do not.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

_declared: list[Any] = []  # a declaration lasts as long as its torch.library.Library


class Finder(importlib.abc.MetaPathFinder):
    """Finds torchvision as usual, and guards its import; costs nothing where there is none."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "torchvision":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            loader.exec_module = partial(guarded, loader.exec_module)
        return spec


def guarded(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    """``execute`` a module, again with declared operators if it ends for the lack of them."""
    try:
        execute(module)
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.startswith("torchvision.")]:
            del sys.modules[name]
        declare_operators()
        execute(module)


def declare_operators() -> None:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    _declared.append(library)
