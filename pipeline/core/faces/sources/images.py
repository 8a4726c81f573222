"""Which file of a tree is the image of which label.

Copies of a data set lie in other folders than the original, and their names differ in case, in
their ending or by leading zeros. A name counts as it is where a file has it, else in these forms.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.faces.sources.labels import Labels
from pipeline.core.faces.sources.trees import open_tree

log = logging.getLogger(__name__)

ENDINGS = ("jpg", "jpeg", "png")


def _without_ending(name: str) -> str:
    stem, _, ending = name.casefold().rpartition(".")
    return stem if ending in ENDINGS else name.casefold()


def _without_zeros(name: str) -> str:
    """The loosest form: ``000012.jpg``, ``12.JPG`` and ``0012.png`` are ``12``."""
    folder, slash, file = _without_ending(name).rpartition("/")
    return folder + slash + (file.lstrip("0") or "0")


FORMS: tuple[Callable[[str], str], ...] = (str, str.casefold, _without_ending, _without_zeros)


class LabelledImages:
    """A source whose images are a folder or zip, matched by the names of their labels.

    ``unmatched`` lists the files that belong to no label, with the reason.
    """

    def __init__(self, path: Path, labels: Labels, terms: str) -> None:
        self.labels, self.terms, self._tree = labels, terms, open_tree(path)
        files = self._tree.names
        folders = folders_of_images(path, labels.names, files)
        self._files = match(labels.names, files, folders)
        without = sorted(files.difference(*self._files.values()))
        self.unmatched = self._tree.unreadable + [
            (name.removeprefix(folders[0]), "has no label") for name in without
        ]

    def images(self, rows: np.ndarray) -> Iterator[bytes | str]:
        """The bytes of the image of each row, or the reason why there are none, in words."""
        for row in rows:
            found = self._files.get(self.labels.names[row], [])
            if len(found) > 1:
                yield f"could be either of {' and '.join(found[:2])}"
            else:
                yield self._tree.read(found[0]) if found else "has a label and no image"


def match(labels: Sequence[str], files: set[str], folders: list[str]) -> dict[str, list[str]]:
    """The file of each label that has one; all of them where several are as near."""
    matched: dict[str, list[str]] = {}
    for folder in folders:
        left = [label for label in labels if label not in matched]
        matched |= _match_inside(folder, left, sorted(f for f in files if f.startswith(folder)))
    renamed = [
        (found[0], label)
        for label, found in matched.items()
        if len(found) == 1 and not f"/{found[0]}".endswith(f"/{label}")
    ]
    if renamed:
        log.warning(
            "%d of %d images have other names than their labels, such as %s for %s",
            *(len(renamed), len(labels), *renamed[0]),
        )
    return matched


def _match_inside(folder: str, labels: list[str], files: list[str]) -> dict[str, list[str]]:
    """Each label that has files in a folder, with these: those of the strictest form that fits."""
    matched: dict[str, list[str]] = {}
    for form in FORMS:
        by_form: dict[str, list[str]] = defaultdict(list)
        for file in files:
            by_form[form(file[len(folder) :])].append(file)
        found = {label: by_form[form(label)] for label in labels if form(label) in by_form}
        matched |= found
        taken = set().union(*found.values())
        labels = [label for label in labels if label not in found]
        files = [file for file in files if file not in taken]
    return matched


def folders_of_images(path: Path, labels: Sequence[str], files: set[str]) -> list[str]:
    """The folders, with their slash, below which files have the labels' names, fullest first.

    A data set in pieces has several. ``UserError`` if there is none, or if two have the same.
    """
    if not labels:
        raise UserError(
            f"the list of labels of the images in {path} is empty; give it a row for each image."
        )
    by_file: dict[str, list[str]] = defaultdict(list)
    for file in files:
        by_file[_without_zeros(file).rpartition("/")[2]].append(file)
    folders: dict[str, dict[str, str]] = defaultdict(dict)
    for label in labels:
        loose = _without_zeros(label)
        for file in by_file.get(loose.rpartition("/")[2], []):
            folder = "".join(f"{part}/" for part in file.split("/")[: -1 - loose.count("/")])
            if _without_zeros(file[len(folder) :]) == loose:
                folders[folder][label] = file
    if not folders:
        raise UserError(
            f"none of the {len(labels)} labels has an image in {path}: labels are named like"
            f" {labels[0]!r}, files like {min(files, default='nothing')!r}; put the images there,"
            " or give them the names of the labels."
        )
    first, *others = sorted(folders, key=lambda folder: (-len(folders[folder]), folder))
    claimed, covered, used = set(folders[first].values()), set(folders[first]), [first]
    for folder in others:
        labels_here = {label for label, file in folders[folder].items() if file not in claimed}
        if 2 * len(labels_here & folders[first].keys()) > len(folders[first]):
            raise UserError(
                f"{path} has images of the same names in {first or './'} and {folder or './'};"
                " remove one of the two."
            )
        if labels_here - covered:
            used.append(folder)
            claimed |= set(folders[folder].values())
            covered |= labels_here
    return used
