"""The faces of a data set on disk: the only module that knows how they are stored.

``faces/`` is a Hugging Face dataset of one Arrow file, one row an image: ``image`` (the original
encoded bytes, and its name), ``image_name``, ``split`` (train, valid, test), ``celeb_id``
(-1 where unknown) and a boolean for each attribute of the data set, under its name, null where the
label is unknown; the regions of the attributes, where they are not CelebA's 40, and those that
exclude each other are in the schema's metadata. ``datasets.load_from_disk`` opens it. The file is
written here and not by ``save_to_disk``, which puts a random fingerprint beside it: equal faces are
equal bytes, and the fingerprint is a function of them.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.attributes import CELEBA, UNKNOWN, AttributeSet
from pipeline.core.errors import UserError
from pipeline.core.faces.decoding import decode
from pipeline.core.files import check_unchanged, replacing, sha256, write_json

SPLITS = ("train", "valid", "test")
ROWS_PER_BATCH = 256  # rows in memory while writing
DATA, INFO, STATE = "data-00000-of-00001.arrow", "dataset_info.json", "state.json"
SIZE, REGIONS, EXCLUSIVE = b"attparse", b"attparse_regions", b"attparse_exclusive"  # of metadata
COLUMNS = {  # before the attributes
    "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    "image_name": pa.string(),
    "split": pa.string(),
    "celeb_id": pa.int64(),
}


@dataclass(frozen=True)
class Face:
    """One row: ``attributes`` (A,) labels, bool or int8; ``identity`` -1 where unknown."""

    name: str
    split: str
    identity: int
    attributes: np.ndarray
    encoded: bytes


class Faces:
    """The faces of a folder, memory-mapped: opening reads no image; pickled as the path.

    ``size`` (height, width) of the images; ``attribute_set``: the names and regions of the labels.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with pa.memory_map(str(path / DATA)) as source:
            self._table = pa.ipc.open_stream(source).read_all()
        about = {key: json.loads(text) for key, text in self._table.schema.metadata.items()}
        self.size: tuple[int, int] = tuple(about[SIZE])
        groups = {column: tuple(names) for column, names in about.get(EXCLUSIVE, {}).items()}
        self.attribute_set = replace(AttributeSet.of(about.get(REGIONS)), exclusive=groups)
        self._encoded = pc.struct_field(self._table["image"], "bytes")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return Faces, (self.path,)

    @cached_property
    def names(self) -> list[str]:
        """The image names, in row order."""
        return list(self._table["image_name"].to_pylist())

    @cached_property
    def splits(self) -> np.ndarray:
        """(N,) str: train, valid or test."""
        return np.array(self._table["split"].to_pylist(), dtype="<U5")

    @cached_property
    def attributes(self) -> np.ndarray:
        """(N, A) int8 labels, -1 where unknown, in the order of ``attribute_set``."""
        return labels_of(self._table, self.attribute_set.names)

    @cached_property
    def identities(self) -> np.ndarray:
        """(N,) int64, -1 where unknown."""
        return np.asarray(self._table["celeb_id"].to_numpy())

    def rows(self, split: str) -> np.ndarray:
        """The row numbers of a split, ascending."""
        return np.flatnonzero(self.splits == split)

    def encoded(self, row: int) -> bytes:
        """The bytes of the original file, JPEG or PNG."""
        return bytes(self._buffer(row))

    def image(self, row: int) -> np.ndarray:
        """The decoded image, (height, width, 3) uint8 RGB."""
        return decode(self._buffer(row))

    def _buffer(self, row: int) -> memoryview:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} faces")
        return memoryview(self._encoded[int(row)].as_buffer()).cast("B")


def open_faces(path: Path) -> Faces:
    """Open ``faces/``; ``UserError`` if the folder is missing, truncated or of another form."""
    try:
        return Faces(path)
    except (OSError, KeyError, TypeError, ValueError) as error:  # pyarrow's own are ValueErrors
        raise UserError(
            f"{path} is not a folder of faces as attparse writes it ({str(error).splitlines()[0]});"
            " make it again with the rule acquire."
        ) from None


class FaceWriter:
    """Appends faces to an open Arrow file; at most ``ROWS_PER_BATCH`` of them are in memory."""

    def __init__(self, arrow: pa.RecordBatchStreamWriter, schema: pa.Schema) -> None:
        self.arrow, self.schema = arrow, schema
        self.pending: list[Face] = []

    def add(self, face: Face) -> None:
        self.pending.append(face)
        if len(self.pending) == ROWS_PER_BATCH:
            self.flush()

    def flush(self) -> None:
        if self.pending:
            self.arrow.write_batch(_record_batch(self.pending, self.schema))
            self.pending = []


@contextmanager
def face_writer(
    path: Path, size: tuple[int, int], attributes: AttributeSet = CELEBA
) -> Iterator[FaceWriter]:
    """Write ``faces/``, whole or not at all; ``size`` is (height, width) in pixels."""
    columns = COLUMNS | dict.fromkeys(attributes.names, pa.bool_())
    features = {name: {"dtype": str(kind), "_type": "Value"} for name, kind in columns.items()}
    features["image"] = {"_type": "Image"}
    schema = pa.schema(columns, _metadata(features, size, attributes))
    with replacing(path) as folder:
        folder.mkdir()
        with pa.ipc.new_stream(str(folder / DATA), schema) as arrow:
            writer = FaceWriter(arrow, schema)
            yield writer
            writer.flush()
        description = "CelebA's attributes" if attributes == CELEBA else "attributes of faces"
        write_json(folder / INFO, {"description": description, "features": features})
        write_json(folder / STATE, _state(sha256(folder / DATA)[:16]))


def write_faces(
    path: Path, faces: Iterable[Face], size: tuple[int, int], attributes: AttributeSet = CELEBA
) -> None:
    """Write ``faces/`` from an iterable: ``face_writer`` in one call."""
    with face_writer(path, size, attributes) as writer:
        for face in faces:
            writer.add(face)


def faces_sha256(path: Path) -> str:
    """Hash of the faces in a folder: of the files written here, and of no other.

    `datasets` leaves its caches in the folder, Snakemake its time.
    """
    return sha256(path, DATA, INFO, STATE)


def checked_faces(path: Path, summary: Path | None) -> str:
    """The hash of the faces, which must be the one in the summary that was written with them."""
    found = faces_sha256(path)
    check_unchanged(path, found, summary)
    return found


def _record_batch(faces: list[Face], schema: pa.Schema) -> pa.RecordBatch:
    names = schema.names[len(COLUMNS) :]
    attributes = np.stack([face.attributes for face in faces])
    if attributes.dtype not in (bool, np.int8) or attributes.shape[1:] != (len(names),):
        found = f"{attributes.dtype} {attributes.shape[1:]}"
        raise ValueError(f"attributes {found}, not bool or int8 ({len(names)},)")
    columns = {
        "image": [{"bytes": face.encoded, "path": face.name} for face in faces],
        "image_name": [face.name for face in faces],
        "split": [face.split for face in faces],
        "celeb_id": [int(face.identity) for face in faces],
        **{name: with_nulls(attributes[:, a]) for a, name in enumerate(names)},
    }
    return pa.RecordBatch.from_pydict(columns, schema)


def with_nulls(labels: np.ndarray) -> pa.Array:
    """Labels (N,) as a column of booleans, null where unknown."""
    unknown = labels == UNKNOWN
    return pa.array(labels == 1, pa.bool_(), mask=unknown if unknown.any() else None)


def labels_of(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    """(N, A) int8 labels of columns as ``with_nulls`` makes them."""
    columns = [pc.fill_null(table[name].cast(pa.int8()), UNKNOWN).to_numpy() for name in names]
    return np.stack(columns, axis=1)


def _metadata(
    features: dict[str, dict[str, str]], size: tuple[int, int], attributes: AttributeSet
) -> dict[bytes, str]:
    """What Arrow's schema has beside the columns; Hugging Face's own tells that one is images."""
    metadata = {
        b"huggingface": json.dumps({"info": {"features": features}}),
        SIZE: json.dumps([int(side) for side in size]),
    }
    if attributes != CELEBA:
        metadata[REGIONS] = json.dumps(attributes.to_json())
    if attributes.exclusive:
        metadata[EXCLUSIVE] = json.dumps(attributes.exclusive)
    return metadata


def _state(fingerprint: str) -> dict[str, Any]:
    return {
        "_data_files": [{"filename": DATA}],
        "_fingerprint": fingerprint,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
