"""The masks of a data set on disk: the only module that knows how they are stored.

``masks.zarr`` is a Zarr v3 group. Row i is the same face as in ``faces/``:

- ``masks`` (image, attribute, y, x) bool: a mask for each of the data set's attributes;
- ``regions`` (image, y, x) uint16: bit r is the r-th region. With the labels, all masks follow
  from it; it is what training reads;
- ``names`` (image,) str, ``found`` (image,) bool: has landmarks, ``labels`` (image, attribute)
  bool: as the masks were drawn, or repaired; where some are unknown, int8 with -1 for these, whose
  masks are empty and mean nothing;
- ``checksums`` (image, array) uint32: the CRC-32C of each face's compressed masks and regions;
- the group's attribute ``attparse_masks``: version, names of attributes and regions, the regions
  of each attribute, and checksums (``crc32c``) of each shard's index, of every other file, and of
  ``zarr.json`` itself.

``zarr.open_group(path)["masks"][i]`` needs nothing else. Both large arrays are sharded: one file
holds ``shard`` faces, each compressed by itself (see ``shards``, which writes and reads them; the
tests hold it and zarr to the same bits). Opening a store checks all but the images, and reading
an image checks that, so that nothing is read as another face's mask, or as none.

The group's attribute comes last, so that a store that is not whole does not open.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from pipeline.core.attributes import CELEBA, REGIONS, AttributeSet
from pipeline.core.errors import UserError
from pipeline.core.faces.store import Faces
from pipeline.core.files import check_unchanged, sha256
from pipeline.core.masks.shards import LEVEL, Shard, ShardWriter, crc32c, damaged

VERSION = 2
ATTRIBUTE = "attparse_masks"
ROOT = "zarr.json"
MAX_OPEN = 256  # shards of a store at once: each is an open file, of which a process may have 1024


def shard_names(number: int) -> tuple[str, str]:
    """Where the masks and the regions of a shard lie in the store."""
    return f"masks/c/{number}/0/0/0", f"regions/c/{number}/0/0"


def write_shard(
    store: Path, number: int, shard: int, faces: Iterable[tuple[np.ndarray, np.ndarray]]
) -> dict[str, str]:
    """Write the faces of one shard; return the sha256 of its files by their names in the store.

    ``faces`` yields (masks (A, H, W) bool, regions (H, W) uint16) of at most ``shard`` faces in
    row order; one is held in memory at a time.
    """
    paths = [store / name for name in shard_names(number)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    with paths[0].open("wb") as masks, paths[1].open("wb") as regions:
        writers = ShardWriter(masks, shard), ShardWriter(regions, shard)
        for face in faces:
            for writer, image in zip(writers, face, strict=True):
                writer.append(image)
        for writer in writers:
            writer.close()
    return {name: sha256(store / name) for name in shard_names(number)}


def hash_shards(store: Path) -> dict[str, str]:
    """The sha256 of a store's shards by their names, as ``write_shard`` returned them."""
    files = (file for array in ("masks", "regions") for file in (store / array / "c").rglob("*"))
    return {f.relative_to(store).as_posix(): sha256(f) for f in files if f.is_file()}


def shards_sha256(shards: dict[str, str]) -> str:
    """One hash of all shards' names and hashes, in order of their names."""
    text = "".join(f"{name} {shards[name]}\n" for name in sorted(shards))
    return hashlib.sha256(text.encode()).hexdigest()


def check_masks(store: Path, summary: Path | None) -> None:
    """``UserError`` unless the shards are those of the summary that was written with them."""
    if summary:
        check_unchanged(store, shards_sha256(hash_shards(store)), summary)


def finish(
    store: Path,
    names: Sequence[str],
    found: np.ndarray,
    labels: np.ndarray,
    size: tuple[int, int],
    shard: int,
    attributes: AttributeSet = CELEBA,
) -> None:
    """Put everything that describes the shards beside them: then the store opens.

    ``found`` (N,) bool, ``labels`` (N, A), ``size`` (height, width). The shards, and nothing else,
    are in place.
    """
    checksums, indices = _checksums(store, len(names), shard)
    group = zarr.create_group(store)
    _create_images(group, len(names), size, shard, len(attributes.names))
    labels = labels == 1 if (labels >= 0).all() else labels.astype(np.int8)
    text = np.array(names, np.dtypes.StringDType())
    _add_arrays(group, names=text, found=found, labels=labels, checksums=checksums)
    _add_attribute(group, store, attributes, indices)


def _checksums(store: Path, count: int, shard: int) -> tuple[np.ndarray, list[list[int]]]:
    """CRC-32C of the chunks (count, 2) of ``masks`` and ``regions``, and of the shards' indices."""
    chunks, indices = np.zeros((count, 2), np.uint32), []
    for first in range(0, count, shard):
        opened = [Shard(store / name, shard) for name in shard_names(first // shard)]
        indices.append([one.checksum for one in opened])
        for row in range(first, min(first + shard, count)):
            chunks[row] = [crc32c(one.chunk(row - first)) for one in opened]
    return chunks, indices


def _create_images(
    group: zarr.Group, count: int, size: tuple[int, int], shard: int, attributes: int
) -> None:
    """The arrays ``masks`` and ``regions``, without their shards."""
    for name, dtype, dimensions, shape in (
        ("masks", bool, ("image", "attribute", "y", "x"), (attributes, *size)),
        ("regions", np.uint16, ("image", "y", "x"), size),
    ):
        group.create_array(
            name,
            shape=(count, *shape),
            chunks=(1, *shape),
            shards=(shard, *shape),
            dtype=dtype,
            fill_value=0,
            compressors=ZstdCodec(level=LEVEL),
            dimension_names=dimensions,
        )


def _add_arrays(group: zarr.Group, **arrays: np.ndarray) -> None:
    """The small arrays, each in one chunk."""
    for name, values in arrays.items():
        group.create_array(
            name,
            data=values,
            chunks=tuple(max(side, 1) for side in values.shape),
            compressors=ZstdCodec(level=3),
            dimension_names=("image", "array" if name == "checksums" else "attribute")[
                : values.ndim
            ],
        )


def _add_attribute(
    group: zarr.Group, store: Path, attributes: AttributeSet, indices: list[list[int]]
) -> None:
    """The group's attribute, with the checksums of every file; last that of the group's own."""
    shards = {store / name for i in range(len(indices)) for name in shard_names(i)}
    files = sorted({p for p in store.rglob("*") if p.is_file()} - shards - {store / ROOT})
    about: dict[str, Any] = {
        "version": VERSION,
        "attributes": list(attributes.names),
        "regions": list(REGIONS),
        "attribute_regions": attributes.to_json(),
        "crc32c": {
            "shards": indices,
            "files": {p.relative_to(store).as_posix(): crc32c(p.read_bytes()) for p in files},
        },
    }
    group.attrs[ATTRIBUTE] = about
    root = json.loads((store / ROOT).read_bytes())
    about["crc32c"]["root"] = _root_checksum(root)
    group.attrs[ATTRIBUTE] = about


def _root_checksum(root: dict[str, Any]) -> int:
    """CRC-32C of all that ``zarr.json`` says, but for this checksum."""
    return crc32c(json.dumps(root, sort_keys=True).encode())


class Masks:
    """A store for reading: opening reads only what describes it, and it pickles as its path.

    ``names`` list of N image names; ``size`` (height, width); ``found`` (N,) bool: has landmarks;
    ``labels`` (N, A) int8; ``attributes`` A names; ``regions`` 14 names; ``table`` (A, 14) bool:
    the regions of each attribute. Reading takes no lock, starts no thread and shares no file
    position, so that threads, and forked or spawned processes, may all read.
    """

    def __init__(self, path: Path) -> None:
        about = _read_description(path)
        self.path = path
        self.attributes: list[str] = about["attributes"]
        self.regions: list[str] = about["regions"]
        places = about["attribute_regions"]
        self.table = np.array([[r in places[a] for r in self.regions] for a in self.attributes])
        self.names: list[str] = [str(name) for name in _whole_array(path / "names")]
        self.found = _whole_array(path / "found")
        self.labels = _whole_array(path / "labels").astype(np.int8)
        regions = zarr.open_array(path / "regions", mode="r")
        _, height, width = regions.shape
        self.size: tuple[int, int] = (height, width)
        self.shard: int = (regions.shards or regions.chunks)[0]
        self._checksums = _whole_array(path / "checksums")
        self._indices: list[list[int]] = about["crc32c"]["shards"]
        self._open_shard = lru_cache(MAX_OPEN)(self._open)

    def check_shards(self) -> None:
        """``UserError`` if a shard is missing, cut off, not this store's, or its index damaged."""
        for number in range(len(self._indices)):
            for array in (0, 1):
                self._open(number, array)

    def __len__(self) -> int:
        return len(self.names)

    def __reduce__(self) -> tuple[Any, ...]:
        return Masks, (self.path,)

    def region_bits(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The regions of any rows, in their order: (B, H, W) uint16."""
        bits = np.zeros((len(rows), *self.size), np.uint16)
        for image, row in zip(bits, rows, strict=True):
            self._read(1, int(row), image)
        return bits

    def masks(self, row: int) -> np.ndarray:
        """The masks of a row: (A, H, W) bool."""
        masks = np.zeros((len(self.attributes), *self.size), bool)
        self._read(0, row, masks)
        return masks

    def _read(self, array: int, row: int, image: np.ndarray) -> None:
        """Decompress a row of ``masks`` (0) or ``regions`` (1) into ``image``."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a store of {len(self)} faces")
        number, place = divmod(row, self.shard)
        shard = self._open_shard(number, array)
        shard.read(place, int(self._checksums[row, array]), image)

    def _open(self, number: int, array: int) -> Shard:
        path = self.path / shard_names(number)[array]
        shard = Shard(path, self.shard)
        if shard.checksum != self._indices[number][array]:
            raise damaged(path, "is not the shard that was written there")
        return shard


def _read_description(path: Path) -> dict[str, Any]:
    """The group's attribute; ``UserError`` if a file that describes the store is not as written."""
    root = json.loads((path / ROOT).read_bytes())
    about: dict[str, Any] = root["attributes"][ATTRIBUTE]
    if about["version"] != VERSION:
        raise UserError(
            f"{path} is a store of masks of version {about['version']}, and this program reads"
            f" version {VERSION}; make it again with the rule masks."
        )
    if about["crc32c"].pop("root") != _root_checksum(root):
        raise damaged(path / ROOT, "is not as it was written")
    for name, checksum in about["crc32c"]["files"].items():
        if not (path / name).is_file():
            raise damaged(path / name, "is missing")
        if crc32c((path / name).read_bytes()) != checksum:
            raise damaged(path / name, "is not as it was written")
    return about


def _whole_array(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(path, mode="r")[:])


def open_masks(path: Path) -> Masks:
    """Open a store; a ``UserError`` says so if it is missing, not whole, damaged or another's."""
    try:
        masks = Masks(path)
    except (OSError, KeyError, TypeError, ValueError) as error:  # no JSON is a ValueError
        raise UserError(
            f"{path} is no whole store of masks as attparse writes it ({type(error).__name__});"
            " make it, or finish it, with the rule masks."
        ) from None
    masks.check_shards()
    return masks


def open_masks_of(path: Path, faces: Faces) -> Masks:
    """Open the store of these faces; a ``UserError`` says so if it is of others."""
    masks = open_masks(path)
    if masks.names != faces.names or tuple(masks.attributes) != faces.attribute_set.names:
        raise UserError(
            f"{path} holds the masks of other faces than {faces.path}, of other attributes, or in"
            " another order; make it again from these faces with the rule masks."
        )
    return masks
