"""CelebA as Parquet in the form of Hugging Face's ``flwrlabs/celeba``.

Columns ``image`` (encoded bytes, and perhaps a path), ``celeb_id`` and the 40 booleans; the files
of a split have its name (``train-00000-of-00019.parquet``) or lie in a folder of that name. An
image is named by its path if it has one, else by its split and row.
"""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.errors import UserError
from pipeline.core.faces.download import download, require_hash
from pipeline.core.faces.sources.celeba import TERMS
from pipeline.core.faces.sources.labels import Labels
from pipeline.core.faces.sources.text import require_unique
from pipeline.core.faces.sources.trees import normalized
from pipeline.core.faces.store import SPLITS
from pipeline.core.files import write_json

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 64
SPLIT_NAMES = {"train": 0, "valid": 1, "validation": 1, "val": 1, "test": 2}


class HuggingFace:
    """Faces in Parquet files, train first, then valid and test."""

    terms = TERMS

    def __init__(self, files: list[tuple[Path, int]]) -> None:
        self.files = [path for path, _ in files]
        tables = [read_table(path) for path in self.files]
        self.starts = np.cumsum([0] + [len(table) for table in tables])
        splits = np.repeat([split for _, split in files], np.diff(self.starts))
        names = [name for table in tables for name in table["path"].to_pylist()]
        self.labels = Labels(
            names_of(names, splits),
            splits,
            np.concatenate([attributes_of(table) for table in tables]),
            np.concatenate([table["celeb_id"].to_numpy() for table in tables]).astype(np.int64),
        )
        require_unique(self.files[0].parent, self.labels.names)
        self.unmatched: list[tuple[str, str]] = []

    def images(self, rows: np.ndarray) -> Iterator[bytes | str]:
        """The bytes of the images of ascending ``rows``, read batch by batch."""
        for path, start, end in zip(self.files, self.starts, self.starts[1:], strict=False):
            yield from _images(path, rows[(rows >= start) & (rows < end)] - start)


def open_huggingface(settings: dict[str, Any], downloads: Path) -> HuggingFace:
    """The repository in the folder ``settings["root"]``; without root it is downloaded."""
    if settings["root"] is None:
        folder = fetch(settings["repository"], settings["revision"], downloads / "huggingface")
    else:
        folder = Path(settings["root"])
        if not folder.is_dir():
            raise UserError(
                f"the data set's root {folder} is not there; name the folder that has the"
                " repository's Parquet files, or leave root out to fetch it."
            )
    for name, expected in settings["hashes"].items():
        require_hash(folder / name, expected)
    return HuggingFace(find_parquet(folder))


def find_parquet(folder: Path) -> list[tuple[Path, int]]:
    """The Parquet files below a folder with the split of each, in the order of their rows."""
    files = [(split_of(p.relative_to(folder)), p) for p in folder.rglob("*.parquet")]
    known = sorted((split, path) for split, path in files if split is not None)
    if not known:
        raise UserError(
            f"{folder} has no Parquet file named by its split (train-….parquet or"
            " train/….parquet); expected the form of flwrlabs/celeba."
        )
    return [(path, split) for split, path in known]


def split_of(path: Path) -> int | None:
    """The split at the start of a file's name, or else in the name of its nearest folder."""
    words = [re.split(r"[-_.]", path.name)[0], *reversed(path.parts[:-1])]
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


def read_table(path: Path) -> pa.Table:
    """All but the images of a Parquet file: ``path``, ``celeb_id`` and the 40 booleans."""
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{path} is not a Parquet file ({str(error).splitlines()[0]}); download it again."
        ) from None
    with file:
        schema = file.schema_arrow
        plain = [name for name in ("celeb_id", *ATTRIBUTES) if name in schema.names]
        missing = [name for name in ATTRIBUTES if name not in plain]
        if "image" not in schema.names or not pa.types.is_struct(schema.field("image").type):
            missing.insert(0, "image (with bytes and path)")
        if missing:
            raise UserError(
                f"{path} has no column {missing[0]} ({len(missing)} missing in all); expected"
                " image and CelebA's 40 attributes by their names, as in flwrlabs/celeba."
            )
        has_path = schema.field("image").type.get_field_index("path") >= 0
        table = file.read(columns=[*plain, *(["image.path"] if has_path else [])])
    rows = len(table)
    paths = table["image"].combine_chunks().field("path") if has_path else pa.nulls(rows)
    people = table["celeb_id"].fill_null(-1) if "celeb_id" in plain else np.full(rows, -1)
    columns = {name: table[name] for name in ATTRIBUTES}
    return pa.table({"path": paths.cast(pa.string()), "celeb_id": people, **columns})


def attributes_of(table: pa.Table) -> np.ndarray:
    """(N, 40) bool; ``UserError`` if a label is not a boolean."""
    for name in ATTRIBUTES:
        if not pa.types.is_boolean(table[name].type) or table[name].null_count:
            raise UserError(
                f"the Parquet column {name} is {table[name].type} with {table[name].null_count}"
                " empty cells; expected a boolean in every row, as in flwrlabs/celeba."
            )
    return np.stack([table[name].to_numpy() for name in ATTRIBUTES], axis=1)


def names_of(paths: list[str | None], splits: np.ndarray) -> list[str]:
    """Each image's path if it has a usable one, else its split and its row in the split."""
    first = {split: int(np.argmax(splits == split)) for split in np.unique(splits)}
    return [
        name if path and (name := normalized(path)) else f"{SPLITS[split]}-{row - first[split]:06d}"
        for row, (path, split) in enumerate(zip(paths, splits, strict=True))
    ]


def _images(path: Path, rows: np.ndarray) -> Iterator[bytes | str]:
    with pq.ParquetFile(path) as file:
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            selected = set(rows[(rows >= start) & (rows < end)].tolist())
            if selected:
                batches = file.iter_batches(ROWS_AT_ONCE, [group], ["image.bytes"])
                encoded = (cell for batch in batches for cell in batch.column(0).field("bytes"))
                for row, cell in enumerate(encoded, start=start):
                    if row in selected:
                        yield cell.as_py() or "has a label and no image"
            start = end


def fetch(repository: str, revision: str, folder: Path) -> Path:
    """Download a repository's Parquet files and compare each with the sha256 on the hub.

    The list of files of the revision is stored beside them on the first download; later runs use
    that list and need no network.
    """
    folder = folder / re.sub(r"[^A-Za-z0-9.-]+", "--", f"{repository}@{revision}")
    note = folder / "files.json"
    if not note.exists():
        log.warning("%s", TERMS)
        write_json(note, list_files(repository, revision))
    files = json.loads(note.read_text(encoding="utf-8"))
    for name, (url, digest) in files.items():
        if not (folder / name).exists():
            download(url, folder / name, digest)
        require_hash(folder / name, digest)
    return folder


def list_files(repository: str, revision: str) -> dict[str, tuple[str, str]]:
    """Address and sha256 of each Parquet file of a Hugging Face data set at a revision."""
    from huggingface_hub import HfApi, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import RepoFile

    api = HfApi()
    try:
        commit = api.dataset_info(repository, revision=revision).sha
        tree = list(
            api.list_repo_tree(repository, recursive=True, revision=commit, repo_type="dataset")
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UserError(
            f"the Hugging Face repository {repository} at the revision {revision} cannot be listed"
            f" ({str(error).splitlines()[0]}); check repository and revision in the data set's"
            " entry, or fetch it in another way and name its folder as root."
        ) from None
    log.info("%s at %s is the commit %s", repository, revision, commit)
    files = [
        (file.path, file.lfs.sha256 if file.lfs else "any")
        for file in tree
        if isinstance(file, RepoFile) and file.path.endswith(".parquet")
    ]
    url = {
        path: hf_hub_url(repository, path, repo_type="dataset", revision=commit)
        for path, _ in files
    }
    return {path: (url[path], digest) for path, digest in files}
