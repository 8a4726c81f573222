"""Make ``import torchvision`` work beside a torch without CUDA; import this before it.

torchvision's wheel from the package index is built for CUDA. Beside a CPU torch its library
does not load, and its import ends with ``operator torchvision::nms does not exist``; lightning
and torchmetrics, which import it, end likewise. Here the names of the two operators that its
import registers are declared, nothing more: networks and transforms work, box operators and
JPEG decoding do not.
"""

import importlib
import sys

import torch

_declared: list[torch.library.Library] = []  # the declaration lasts as long as this object


def ensure() -> None:
    """Import torchvision, declaring its operators first where its own library fails to."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor")
        _declared.append(library)
        importlib.import_module("torchvision")


ensure()
