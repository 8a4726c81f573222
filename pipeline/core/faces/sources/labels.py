"""The labels of a data set, and the subset that its entry in the configuration selects."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.attributes import AttributeSet
from pipeline.core.errors import UserError
from pipeline.core.faces.sources.trees import normalized_label
from pipeline.core.faces.store import SPLITS


@dataclass(frozen=True)
class Labels:
    """N labelled images, in the source's order.

    ``splits`` (N,) int: 0 train, 1 valid, 2 test; ``attributes`` (N, A) bool, or int8 with -1 for
    unknown, in the order of the data set's attributes; ``identities`` (N,) int64, -1 where unknown.
    Photographs that are not aligned may have ``boxes`` (N, 4) float: left, top, width, height, and
    ``points`` (N, 5, 2) float: left eye, right eye, nose, left and right corner of the mouth, in
    pixels; NaN where unknown.
    """

    names: list[str]
    splits: np.ndarray
    attributes: np.ndarray
    identities: np.ndarray
    boxes: np.ndarray | None = None
    points: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)


def select(labels: Labels, attributes: AttributeSet, settings: dict[str, Any]) -> np.ndarray:
    """The rows that ``names``, ``filter`` and then ``limit`` select: train, valid, test.

    Within a split they are in the source's order. ``limit`` takes the first N of each split.
    """
    chosen = np.ones(len(labels), dtype=bool)
    if settings["names"] is not None:
        chosen &= _named(labels, settings["names"])
    for attribute, value in settings["filter"].items():
        if attribute not in attributes.names:
            raise UserError(
                f"filter names {attribute!r}; expected one of {', '.join(attributes.names)}"
            )
        chosen &= labels.attributes[:, attributes.names.index(attribute)] == value
    rows = [np.flatnonzero(chosen & (labels.splits == split)) for split in range(len(SPLITS))]
    selected = np.concatenate([of_split[: settings["limit"]] for of_split in rows])
    if not len(selected):
        raise UserError(
            f"no image is left of {len(labels)} after names, filter {settings['filter']} and"
            " limit in the data set's entry; make them less narrow."
        )
    return selected


def is_subset(settings: dict[str, Any]) -> bool:
    """Whether the entry selects a part of its source."""
    return bool(settings["limit"] or settings["filter"] or settings["names"] is not None)


def _named(labels: Labels, names: str | list[str]) -> np.ndarray:
    """(N,) bool of the rows in a list of names, or in a text file with one name a line."""
    if isinstance(names, str):
        try:  # Windows writes lines that end in \r\n, and a byte order mark
            text = Path(names).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"the list of names {names} cannot be read ({error}); expected a text file with"
                " one image name a line."
            ) from None
        names = text.split("\n")
    listed = {normalized_label(name) for name in names if name}
    if unknown := listed - set(labels.names):
        raise UserError(
            f"{len(unknown)} of {len(listed)} names in the data set's entry (names) have no label,"
            f" the first {min(unknown)!r}; names are like {labels.names[0]!r}."
        )
    return np.array([name in listed for name in labels.names])
