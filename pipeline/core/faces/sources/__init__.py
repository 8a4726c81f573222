"""The sources of faces. Each has labels, images and terms of use.

Opening a source reads and checks all its labels, before any image is read.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.faces.sources import (
    celeba,
    celebamask_hq,
    fairface,
    folder,
    huggingface,
    lfwa,
    utkface,
)
from pipeline.core.faces.sources.labels import Labels


class Source(Protocol):
    labels: Labels
    unmatched: list[tuple[str, str]]  # files without a label: name and reason
    terms: str

    def images(self, rows: np.ndarray) -> Iterator[bytes | str]:
        """The encoded bytes of each image of ``rows``, or the reason why it cannot be read."""


OPENERS: dict[str, Callable[[dict[str, Any]], Source]] = {
    "celeba": celeba.open_celeba,
    "synthetic": celeba.open_synthetic,
    "huggingface": huggingface.open_huggingface,
    "folder": folder.open_folder,
    "lfwa": lfwa.open_lfwa,
    "celebamask_hq": celebamask_hq.open_celebamask_hq,
    "fairface": fairface.open_fairface,
    "utkface": utkface.open_utkface,
}


def open_source(settings: dict[str, Any], downloads: Path, drawn: Path | None) -> Source:
    """Open the source that ``settings["source"]`` names; missing files are downloaded first.

    ``downloads`` is the data set's folder for downloaded files, ``drawn`` that of the synthetic
    faces. ``UserError`` if the labels or the archive as a whole cannot be used.
    """
    root = None if settings["root"] is None else Path(settings["root"]).expanduser()
    try:
        return OPENERS[settings["source"]](
            {**settings, "root": root, "downloads": downloads, "drawn": drawn}
        )
    except PermissionError as error:
        raise UserError(
            f"{error.filename} cannot be read (permission denied); have its permissions changed, or"
            " name a copy of your own as root in the data set's entry."
        ) from None
