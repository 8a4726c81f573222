"""CelebA as its authors publish it: a zip or a folder of images, and text files of labels.

Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015. Parts of CelebA and the
synthetic faces have the same form. The files of a data set with CelebA's 202,599 images must have
the official md5.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.attributes import CELEBA, AttributeSet
from pipeline.core.errors import UserError
from pipeline.core.faces.download import download, require_hash
from pipeline.core.faces.sources.images import LabelledImages
from pipeline.core.faces.sources.labels import Labels
from pipeline.core.faces.sources.layout import Layout, required_root
from pipeline.core.faces.sources.text import read_numbers, read_table, require_same_names

log = logging.getLogger(__name__)

ALL_IMAGES = 202_599
ALIGNED, WILD = "img_align_celeba", "img_celeba"
BOXES, POINTS = "list_bbox_celeba.txt", "list_landmarks_celeba.txt"
IMAGES, LABELS = "img_align_celeba.zip", "list_attr_celeba.txt"
PARTITION, IDENTITY = "list_eval_partition.txt", "identity_CelebA.txt"
# The names that each file has in the copies that people have, by preference: its authors' text
# files, Kaggle's CSVs, the folder that was unpacked, the PNGs of its authors.
FORMS = {
    **{name: [[name, name.replace(".txt", ".csv")]] for name in (LABELS, PARTITION, IDENTITY)},
    **{name: [[name, name.replace(".txt", ".csv")]] for name in (BOXES, POINTS)},
    IMAGES: [[ALIGNED, IMAGES], [f"{ALIGNED}_png", f"{ALIGNED}_png.zip"]],
    WILD: [[WILD, f"{WILD}.zip"]],
}
KNOWN = {name for forms in FORMS.values() for names in forms for name in names}


class Official(NamedTuple):
    """The Google Drive id of the authors' copy, as torchvision publishes it, and its md5."""

    drive: str
    md5: str


FILES = {
    LABELS: Official("0B7EVK8r0v71pblRyaVFSWGxPY0U", "75e246fa4810816ffd6ee81facbd244c"),
    PARTITION: Official("0B7EVK8r0v71pY0NSMzRuSXJEVkk", "d32c9cbf5e040fd4025c592c306e6668"),
    IDENTITY: Official("1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS", "32bd1bd63d3c78cd57e08160ec5ed1e2"),
    IMAGES: Official("0B7EVK8r0v71pZjFTYXZWM3FlRnM", "00d2c5bc6d35e252742224ab0c1e8fcb"),
}

TERMS = """CelebA: Large-scale CelebFaces Attributes (Liu, Luo, Wang, Tang; ICCV 2015).

The data set is for non-commercial research only. Its images belong to others and may not be
handed on, sold or used commercially; publications cite the paper. The whole terms are on the
authors' page: https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html
"""
TERMS_SYNTHETIC = """Synthetic faces, drawn by attparse.

No real person is shown and no foreign picture was used. They are under attparse's own licence
(MIT). Scores on them say nothing about CelebA.
"""


def open_celeba(settings: dict[str, Any]) -> LabelledImages:
    """Open CelebA's files below ``settings["root"]``; missing ones are downloaded if so configured.

    Reads the labels and compares every hash. With ``aligned: false`` the images are the photographs
    in ``img_celeba``, with their boxes and points if these files exist.
    """
    if settings["root"] is not None and not settings["download"]:
        files_of = "CelebA's official files, or set download: true to fetch them"
        required_root(settings["root"], files_of)
    folders = [settings["root"], settings["downloads"]]
    layouts = [Layout(folder, KNOWN) for folder in folders if folder and folder.is_dir()]
    files = find_files(layouts, settings)
    attributes = AttributeSet.of(settings["attributes"])
    labels = read_labels(files[LABELS], files[PARTITION], files.get(IDENTITY), attributes)
    if not settings["aligned"]:
        boxes = read_places(find(layouts, BOXES), labels.names, (4,))
        points = read_places(find(layouts, POINTS), labels.names, (5, 2))
        labels = replace(labels, boxes=boxes, points=points)
    # Opened before its hash is compared: that a file is an HTML page says more than a wrong hash.
    source = LabelledImages(files[IMAGES if settings["aligned"] else WILD], labels, TERMS)
    verify(files, settings["hashes"], official=len(labels) == ALL_IMAGES)
    return source


def find(layouts: Sequence[Layout], file: str) -> Path | None:
    """A file in any of its forms: in the root, else among the downloads."""
    found = (layout.find(names) for names in FORMS[file] for layout in layouts)
    return next(filter(None, found), None)


def find_files(layouts: Sequence[Layout], settings: dict[str, Any]) -> dict[str, Path]:
    """The path of each file by its official name; only the identities may be missing."""
    required = [LABELS, PARTITION, IDENTITY, IMAGES if settings["aligned"] else WILD]
    files = {name: found for name in required if (found := find(layouts, name))}
    missing = [name for name in required if name not in files]
    to_download = [name for name in missing if name in FILES]
    if to_download and (settings["root"] is None or settings["download"]):
        log.warning("%s", TERMS)
        for name in to_download:
            official, files[name] = FILES[name], settings["downloads"] / name
            url = settings["urls"].get(name, f"https://drive.google.com/uc?id={official.drive}")
            download(url, files[name], settings["hashes"].get(name, official.md5))
    for name in missing:
        if name not in files and name != IDENTITY:
            raise UserError(_missing(name, settings["root"], layouts))
    return files


def _missing(name: str, root: Path | None, layouts: Sequence[Layout]) -> str:
    stem = name.split(".")[0]
    hint = next((hint for layout in layouts if (hint := layout.archive_hint(stem))), "")
    if name == WILD:
        return (
            f"the data set's entry has aligned: false, and {root} has no {WILD} with the"
            f" photographs; unpack {WILD}.7z there{hint}."
        )
    return (
        f"{root} has no {name}; put CelebA's official file there{hint}, or set download: true in"
        " the data set's entry to fetch what is missing."
    )


def read_places(path: Path | None, names: list[str], shape: tuple[int, ...]) -> np.ndarray | None:
    """(N, *shape): the box or the points of each image, NaN where unknown; None without a file."""
    if path is None:
        return None
    values, unknown = read_numbers(path, shape), np.full(shape, np.nan)
    return np.array([values.get(name, unknown) for name in names])


def verify(files: dict[str, Path], hashes: dict[str, str], official: bool) -> None:
    """Compare the hashes of the configuration and, for the complete CelebA, the official ones."""
    names = {path.name for path in files.values()}
    if unknown := hashes.keys() - FILES.keys() - names:
        raise UserError(
            f"the data set's hashes name {min(unknown)!r}, which is none of its files; expected"
            f" {', '.join(FILES)}."
        )
    if not official:
        log.info("not the complete CelebA: its files are not compared with the official hashes")
    for path in files.values():
        published = FILES[path.name].md5 if official and path.name in FILES else "any"
        if official and path.name not in FILES:
            log.warning("%s has no published hash: it is not compared", path)
        if path.is_file():
            require_hash(path, hashes.get(path.name, published))


def open_synthetic(settings: dict[str, Any]) -> LabelledImages:
    """The faces drawn by ``pipeline.synthesize``."""
    drawn, attributes = settings["drawn"], AttributeSet.of(settings["attributes"])
    if drawn is None:
        raise UserError("source: synthetic needs the drawn faces; give their folder as --drawn.")
    labels = read_labels(drawn / LABELS, drawn / PARTITION, drawn / IDENTITY, attributes)
    return LabelledImages(drawn / ALIGNED, labels, TERMS_SYNTHETIC)


def read_labels(
    labels: Path, partition: Path, identity: Path | None, attributes: AttributeSet
) -> Labels:
    """Read and check the label files; ``UserError`` if anything in them is wrong."""
    names, values = read_attributes(labels, attributes)
    splits = read_column(partition, names, labels, "0, 1 or 2")
    if (wrong := np.flatnonzero((splits < 0) | (splits > 2))).size:
        raise UserError(
            f"{partition} puts {names[wrong[0]]} into split {splits[wrong[0]]}; expected 0 (train),"
            " 1 (valid) or 2 (test)."
        )
    unknown = np.full(len(names), -1)
    people = read_column(identity, names, labels, "a number") if identity else unknown
    return Labels(names, splits, values, people)


def read_attributes(path: Path, attributes: AttributeSet) -> tuple[list[str], np.ndarray]:
    """Names and (N, A) bool of ``list_attr_celeba.txt`` (a count, 40 names, rows of ±1), or of
    Kaggle's CSV of it; the labels may be 1 and 0, too. A file of CelebA's form may have others.
    """
    table = read_table(path)
    if table.announced is None and path.suffix != ".csv":
        raise UserError(
            f"{path} does not start with the number of images, as CelebA's {LABELS} does; put the"
            " official file there."
        )
    header = tuple(table.header or ())
    first, last = attributes.names[0], attributes.names[-1]
    expected = f"CelebA's 40 attribute names in its order, from {first} to {last}"
    fits = header == attributes.names
    if attributes.names != CELEBA.names:
        expected = f"the attributes of the data set's entry, {', '.join(attributes.names)}, among"
        expected += " the names"
        fits = set(header) >= set(attributes.names)
    if not fits:
        line = 1 if table.announced is None else 2
        raise UserError(f"{path}, line {line}: expected {expected}.")
    columns = [header.index(name) for name in attributes.names]
    negative = "0" if all("-1" not in cells for _, cells, _ in table.rows) else "-1"
    values = np.empty((len(table.rows), len(header)), dtype=bool)
    for i, (name, cells, line) in enumerate(table.rows):
        if len(cells) != len(header) or not {"1", negative}.issuperset(cells):
            raise UserError(
                f"{path}, line {line} ({name}): expected a name and {len(header)} labels, each 1 or"
                " -1; put the official file there."
            )
        values[i] = [cell == "1" for cell in cells]
    return [name for name, *_ in table.rows], values[:, columns]


def read_column(path: Path, names: list[str], labels: Path, expected: str) -> np.ndarray:
    """(N,) int64 of a file with ``name value`` rows, which must have exactly the rows ``names``."""
    table = read_table(path)
    for _, cells, line in table.rows:
        if len(cells) != 1 or not re.fullmatch(r"-?\d{1,18}", cells[0]):
            raise UserError(f"{path}, line {line}: expected an image name and {expected}.")
    values = {name: int(cells[0]) for name, cells, _ in table.rows}
    require_same_names(path, values, labels, names)
    return np.array([values[name] for name in names], dtype=np.int64)
