"""Parquet files of faces: which files make a split, and what their columns may hold."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core.errors import UserError
from pipeline.core.faces.sources.trees import ignored

ROWS_PER_BATCH = 64
SPLIT_NAMES = {"train": 0, "valid": 1, "validation": 1, "val": 1, "test": 2}
SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)\.parquet")


def find_parquet(folder: Path) -> list[tuple[Path, int]]:
    """The Parquet files below a folder with the split of each, in the order of their rows.

    ``UserError`` if a file's split is unknown, a shard is missing, or a split is there twice.
    """
    splits: dict[int, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*.parquet")):
        name = path.relative_to(folder)
        if ignored(name.as_posix()):
            continue
        split = split_of(name)
        if split is None:
            raise UserError(
                f"{path} is named by no split; expected train-….parquet, valid-… (or val-…,"
                " validation-…) and test-…, or folders of these names: rename the file, or move it"
                " out of the data set's root."
            )
        splits[split].append(path)
    if not splits:
        raise UserError(
            f"{folder} has no Parquet file named by its split (train-….parquet or"
            " train/….parquet); expected the form of flwrlabs/celeba."
        )
    for paths in splits.values():
        _require_one_complete_set(paths)
    return [(path, split) for split in sorted(splits) for path in splits[split]]


def split_of(path: Path) -> int | None:
    """The split at the start of a file's name, or else in the name of its nearest folder."""
    words = [re.split(r"[-_.]", path.name)[0], *reversed(path.parts[:-1])]
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


def _require_one_complete_set(paths: list[Path]) -> None:
    """``UserError`` unless the files of a split are one set, with every shard of it."""
    sets: dict[tuple[str, ...], dict[int, Path]] = defaultdict(dict)
    for number, path in enumerate(paths):
        shard = SHARD.fullmatch(path.name)  # shards may lie in several folders, other files not
        key: tuple[str, ...] = (shard[1], shard[3]) if shard else (str(path.parent),)
        number = int(shard[2]) if shard else number
        if number in sets[key]:
            raise _two_sets(sets[key][number], path)
        sets[key][number] = path
    (key, found), *others = sets.items()
    first = next(iter(found.values()))
    if others:
        raise _two_sets(first, next(iter(others[0][1].values())))
    if len(key) == 2 and (missing := sorted(set(range(int(key[1]))) - found.keys())):
        name = f"{key[0]}-{missing[0]:0{len(key[1])}d}-of-{key[1]}.parquet"
        raise UserError(
            f"{first.parent} has no {name} ({len(missing)} of {int(key[1])} files of this split are"
            " missing in all); download them, too."
        )


def _two_sets(path: Path, other: Path) -> UserError:
    return UserError(
        f"{path} and {other} are two sets of files of one split, whose rows would be there twice;"
        " remove one, or name as root the folder of one of them."
    )


def read_labels(
    path: Path, names: Sequence[str]
) -> tuple[list[str | None], np.ndarray, np.ndarray]:
    """All but the images of a Parquet file: N paths, or None; people (N,) int64, -1 where
    unknown; labels (N, A) bool of the attributes ``names``. ``UserError`` if a column is missing
    or of another type.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = _read_columns(path, file, names)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from None
    found, rows = table.schema.names, len(table)
    paths = table["path"].to_pylist() if "path" in found else [None] * rows
    people = _people(path, table["celeb_id"]) if "celeb_id" in found else np.full(rows, -1)
    return paths, people, _labels(path, table, names)


def _read_columns(path: Path, file: pq.ParquetFile, attributes: Sequence[str]) -> pa.Table:
    schema = file.schema_arrow
    missing = [name for name in attributes if name not in schema.names]
    image = schema.field("image").type if "image" in schema.names else pa.null()
    fields = [field.name for field in image] if pa.types.is_struct(image) else []
    if not _is_binary(image) and not fields:
        missing.insert(0, "image (with bytes and path)")
    if missing:
        raise UserError(
            f"{path} has no column {missing[0]} ({len(missing)} missing in all); expected image"
            " and the attributes of the data set's entry, or without them CelebA's 40, by their"
            " names, as in flwrlabs/celeba."
        )
    if fields and ("bytes" not in fields or not _is_binary(image.field("bytes").type)):
        raise UserError(
            f"{path} has no bytes in its column image, only {', '.join(fields)}; expected the"
            " encoded images themselves: get the repository whose files hold them."
        )
    names = [name for name in ("celeb_id", *attributes) if name in schema.names]
    table = file.read(columns=names)
    if "path" in fields:
        paths = file.read(columns=["image.path"])["image"].combine_chunks().field("path")
        table = table.append_column("path", paths.cast(pa.string()))
    return table


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _people(path: Path, column: pa.ChunkedArray) -> np.ndarray:
    """(N,) int64 of whole numbers in any type, text too; -1 where a cell is empty or NaN."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = pc.if_else(pc.equal(column, ""), None, column)
    elif pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
    elif not (pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise UserError(f"{path}: the column celeb_id is {kind}; expected whole numbers.")
    try:
        return np.asarray(column.cast(pa.int64()).fill_null(-1).to_numpy())
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"{path}: the column celeb_id ({kind}) has a value that is not a whole number"
            f" ({reason}); expected the number of a person in each row, -1 where unknown."
        ) from None


def _labels(path: Path, table: pa.Table, names: Sequence[str]) -> np.ndarray:
    """(N, A) bool of labels that are booleans, or 1 and 0, or 1 and -1 throughout the file."""
    columns = []
    for name in names:
        column = table[name]
        kind = column.type
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if column.null_count or not (number or pa.types.is_boolean(kind)):
            raise UserError(
                f"{path}: the column {name} is {kind} with {column.null_count} empty cells;"
                " expected a boolean, or 1 and 0 or 1 and -1, in every row."
            )
        columns.append(column.to_numpy().astype(np.float64))
    values = np.stack(columns, axis=1)
    negative = -1 if (values == -1).any() else 0
    if len(wrong := np.argwhere((values != 1) & (values != negative))):
        row, column = wrong[0]
        raise UserError(
            f"{path}, row {row}: the column {names[column]} has {values[row, column]:g};"
            " expected a boolean, or 1 and 0 or 1 and -1, throughout the file."
        )
    return values == 1


def read_images(path: Path, rows: np.ndarray) -> Iterator[bytes | str]:
    """The images of ascending rows of a file, or why there are none; few are in memory at once."""
    selected, start = set(rows.tolist()), 0
    with pq.ParquetFile(path) as file:
        struct = pa.types.is_struct(file.schema_arrow.field("image").type)
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            if selected & set(range(start, end)):
                column = ["image.bytes" if struct else "image"]
                try:
                    for batch in file.iter_batches(ROWS_PER_BATCH, [group], column):
                        cells = batch.column(0).field("bytes") if struct else batch.column(0)
                        for row, cell in enumerate(cells, start=start):
                            if row in selected:
                                yield cell.as_py() or "has a label and no image"
                        start += len(batch)
                except (OSError, pa.ArrowException) as error:
                    raise _damaged(path, error) from None
            start = end


def _damaged(path: Path, error: Exception) -> UserError:
    reason = str(error).splitlines()[0].rstrip(".")
    return UserError(f"{path} is not a Parquet file or is damaged ({reason}); download it again.")
