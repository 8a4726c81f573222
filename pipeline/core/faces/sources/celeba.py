"""CelebA as its authors publish it: a zip or a folder of images, and text files of labels.

Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015. Parts of CelebA and the
synthetic faces have the same form. The files of a data set with CelebA's 202,599 images must have
the official md5.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.errors import UserError
from pipeline.core.faces.download import download, require_hash
from pipeline.core.faces.sources.images import Images, open_images
from pipeline.core.faces.sources.labels import Labels
from pipeline.core.faces.sources.numbers import read_numbers
from pipeline.core.faces.sources.text import read_lines, require_same_names, require_unique

log = logging.getLogger(__name__)

ALL_IMAGES = 202_599
ALIGNED, WILD = "img_align_celeba", "img_celeba"
BOXES, POINTS = "list_bbox_celeba.txt", "list_landmarks_celeba.txt"
IMAGES, LABELS, PARTITION, IDENTITY = (
    "img_align_celeba.zip",
    "list_attr_celeba.txt",
    "list_eval_partition.txt",
    "identity_CelebA.txt",
)


class Official(NamedTuple):
    """The Google Drive id of the authors' copy, as torchvision publishes it, and its md5."""

    drive: str
    md5: str

    @property
    def url(self) -> str:
        return f"https://drive.google.com/uc?id={self.drive}"


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


class CelebA:
    """Faces in CelebA's official form."""

    def __init__(self, labels: Labels, images: Images, terms: str) -> None:
        self.labels, self.terms, self._images = labels, terms, images
        without = sorted(images.names - set(labels.names))
        self.unmatched = images.unmatched + [(name, "has no label") for name in without]

    def images(self, rows: np.ndarray) -> Iterator[bytes | str]:
        for row in rows:
            yield self._images.read(self.labels.names[row])


def open_celeba(settings: dict[str, Any], downloads: Path) -> CelebA:
    """Open CelebA's files in ``settings["root"]``; missing ones are downloaded if so configured.

    Reads the labels and compares every hash. With ``aligned: false`` the images are the photographs
    in ``img_celeba``, with their boxes and points if these files exist.
    """
    root = Path(settings["root"]) if settings["root"] is not None else None
    if root is not None and not root.is_dir() and not settings["download"]:
        raise UserError(
            f"the data set's root {root} is not there; put CelebA's official files into it, name"
            " the folder that has them, or set download: true to fetch them."
        )
    files = find_files(root, settings, downloads)
    labels = read_labels(files[LABELS], files[PARTITION], files.get(IDENTITY))
    official = len(labels) == ALL_IMAGES
    # Opened before its hash is compared: that a file is an HTML page says more than a wrong hash.
    images = open_images(files[IMAGES] if settings["aligned"] else find_photographs(root))
    verify(files, settings["hashes"], official)
    if not settings["aligned"]:
        labels = with_places(labels, root)
    return CelebA(labels, images, TERMS)


def find_photographs(root: Path | None) -> Path:
    """The folder or zip of CelebA in the wild; the authors' 7z archive is not read."""
    for name in (WILD, f"{WILD}.zip"):
        if root and (root / name).exists():
            return root / name
    raise UserError(
        f"the data set's entry has aligned: false, and {root} has no {WILD} with the photographs;"
        f" unpack {WILD}.7z there."
    )


def with_places(labels: Labels, root: Path | None) -> Labels:
    """The labels, with the box and the five points of each photograph if their files exist."""

    def read(name: str, columns: int) -> np.ndarray | None:
        if not root or not (root / name).exists():
            return None
        values, unknown = read_numbers(root / name, columns), np.full(columns, np.nan)
        return np.array([values.get(image, unknown) for image in labels.names])

    boxes, points = read(BOXES, 4), read(POINTS, 10)
    return replace(labels, boxes=boxes, points=None if points is None else points.reshape(-1, 5, 2))


def find_files(root: Path | None, settings: dict[str, Any], downloads: Path) -> dict[str, Path]:
    """The path of each file by its official name; only the identities may be missing."""
    required = [name for name in FILES if name != IMAGES or settings["aligned"]]
    files = {name: found for name in required if (found := _find(name, root, downloads))}
    missing = [name for name in required if name not in files]
    if missing and (root is None or settings["download"]):
        log.warning("%s", TERMS)
        for name in missing:
            url, digest = settings["urls"].get(name, FILES[name].url), FILES[name].md5
            files[name] = downloads / name
            download(url, files[name], settings["hashes"].get(name, digest))
    for name in missing:
        if name not in files and name != IDENTITY:
            raise UserError(
                f"{root} has no {name}; put CelebA's official file there, or set download: true in"
                " the data set's entry to fetch what is missing."
            )
    return files


def _find(name: str, root: Path | None, downloads: Path) -> Path | None:
    """A file in root or among the downloads; for the zip, the unpacked folder too."""
    unpacked = [ALIGNED] if name == IMAGES else []
    places = [folder / n for folder in (root, downloads) if folder for n in [*unpacked, name]]
    return next((place for place in places if place.exists()), None)


def verify(files: dict[str, Path], hashes: dict[str, str], official: bool) -> None:
    """Compare the hashes of the configuration and, for the complete CelebA, the official ones."""
    if unknown := hashes.keys() - FILES.keys():
        raise UserError(
            f"the data set's hashes name {min(unknown)!r}, which is none of its files; expected"
            f" {', '.join(FILES)}."
        )
    if not official:
        log.info("not the complete CelebA: its files are not compared with the official hashes")
    for name, path in files.items():
        expected = hashes.get(name, FILES[name].md5 if official else "any")
        if path.is_file():
            require_hash(path, expected)


def open_synthetic(drawn: Path) -> CelebA:
    """The faces drawn by ``pipeline.synthesize``."""
    images = open_images(drawn / ALIGNED)
    labels = read_labels(drawn / LABELS, drawn / PARTITION, drawn / IDENTITY)
    return CelebA(labels, images, TERMS_SYNTHETIC)


def read_labels(attributes: Path, partition: Path, identity: Path | None) -> Labels:
    """Read and check the label files; ``UserError`` if anything in them is wrong."""
    names, values = read_attributes(attributes)
    splits = read_column(partition, names, attributes, "0, 1 or 2")
    if (wrong := np.flatnonzero((splits < 0) | (splits > 2))).size:
        raise UserError(
            f"{partition} puts {names[wrong[0]]} into split {splits[wrong[0]]}; expected 0 (train),"
            " 1 (valid) or 2 (test)."
        )
    people = np.full(len(names), -1, dtype=np.int64)
    if identity:
        people = read_column(identity, names, attributes, "a number")
    return Labels(names, splits, values, people)


def read_attributes(path: Path) -> tuple[list[str], np.ndarray]:
    """Names and (N, 40) bool of ``list_attr_celeba.txt``: a count, 40 names, rows of ±1."""
    lines = read_lines(path)
    if not lines or not lines[0].strip().isdecimal():
        raise UserError(
            f"{path} does not start with the number of images, as CelebA's {LABELS} does; put the"
            " official file there."
        )
    announced, rows = int(lines[0]), lines[2:]
    if tuple(lines[1].split() if len(lines) > 1 else ()) != ATTRIBUTES:
        raise UserError(
            f"{path}, line 2: expected CelebA's 40 attribute names in its order, from"
            f" {ATTRIBUTES[0]} to {ATTRIBUTES[-1]}."
        )
    names, values = [], np.empty((len(rows), len(ATTRIBUTES)), dtype=bool)
    for i, row in enumerate(rows):
        name, *labels = row.split()
        if len(labels) != len(ATTRIBUTES) or not {"1", "-1"}.issuperset(labels):
            raise UserError(
                f"{path}, line {i + 3} ({name}): expected a name and 40 labels, each 1 or -1; put"
                " the official file there."
            )
        names.append(name)
        values[i] = [label == "1" for label in labels]
    if len(names) != announced:
        raise UserError(
            f"{path} announces {announced} images in line 1 and has {len(names)} rows of labels;"
            " it is truncated or was changed: put the complete file there."
        )
    require_unique(path, names)
    return names, values


def read_column(path: Path, names: list[str], labels: Path, expected: str) -> np.ndarray:
    """(N,) int64 of a file with ``name value`` rows, which must have exactly the rows ``names``."""
    rows = [line.split() for line in read_lines(path)]
    for number, words in enumerate(rows, start=1):
        if len(words) != 2 or not re.fullmatch(r"-?\d{1,18}", words[1]):
            raise UserError(f"{path}, line {number}: expected an image name and {expected}.")
    require_unique(path, [name for name, _ in rows])
    values = {name: int(value) for name, value in rows}
    require_same_names(path, values, labels, names)
    return np.array([values[name] for name in names], dtype=np.int64)
