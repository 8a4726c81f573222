"""Where faces come from: each source answers for its labels, its images and its terms.

A source is opened whole, with every label read and checked, before the first image is read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.faces.sources import celeba, folder, huggingface
from pipeline.core.faces.sources.labels import Labels


class Source(Protocol):
    labels: Labels
    odd: list[tuple[str, str]]  # files that belong to no label: their name and what is wrong
    terms: str

    def images(self, rows: np.ndarray) -> Iterator[bytes | str]:
        """The encoded bytes of these rows' images, in order, or in words why there are none."""


def open_source(settings: dict[str, Any], downloads: Path, drawn: Path | None) -> Source:
    """The source that ``settings["source"]`` names, with what is missing fetched first.

    ``downloads`` is the data set's folder for what is fetched, ``drawn`` that of the synthetic
    faces. Whatever is wrong with the files as a whole is a ``UserError``.
    """
    name = settings["source"]
    try:
        if name == "synthetic":
            if drawn is None:
                raise UserError("source: synthetic needs the folder of the drawn faces: --drawn.")
            return celeba.open_synthetic(drawn)
        if name == "huggingface":
            return huggingface.open_huggingface(settings, downloads)
        if name == "folder":
            return folder.open_folder(settings)
        return celeba.open_celeba(settings, downloads)
    except PermissionError as error:
        raise UserError(
            f"{error.filename} may not be read by you; have its rights changed, or name a copy of"
            " your own as root in the data set's entry."
        ) from None
