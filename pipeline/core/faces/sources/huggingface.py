"""CelebA as Parquet in the form of Hugging Face's ``flwrlabs/celeba``.

Columns ``image`` (encoded bytes, and perhaps a path), ``celeb_id`` and the attributes; the files
of a split have its name (``train-00000-of-00019.parquet``) or lie in a folder of that name. An
image is named by its path if it has one, else by its split and row.
"""

import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.attributes import AttributeSet
from pipeline.core.errors import UserError
from pipeline.core.faces.download import require_hash, wrong_hash
from pipeline.core.faces.sources.celeba import TERMS
from pipeline.core.faces.sources.labels import Labels
from pipeline.core.faces.sources.layout import required_root
from pipeline.core.faces.sources.parquet import find_parquet, read_images, read_labels
from pipeline.core.faces.sources.text import require_unique
from pipeline.core.faces.sources.trees import normalized
from pipeline.core.faces.store import SPLITS
from pipeline.core.files import read_json, write_json

if TYPE_CHECKING:
    from huggingface_hub import HfApi

log = logging.getLogger(__name__)


class HuggingFace:
    """Faces in Parquet files, train first, then valid and test."""

    terms = TERMS

    def __init__(self, files: list[tuple[Path, int]], attributes: AttributeSet) -> None:
        self.files = [path for path, _ in files]
        contents = [read_labels(path, attributes.names) for path in self.files]
        paths, people, labels = zip(*contents, strict=True)
        self.starts = np.cumsum([0, *map(len, paths)])
        splits = np.repeat([split for _, split in files], np.diff(self.starts))
        names = names_of([*chain(*paths)], splits)
        self.labels = Labels(names, splits, np.concatenate(labels), np.concatenate(people))
        require_unique(self.files[0].parent, self.labels.names)
        self.unmatched: list[tuple[str, str]] = []

    def images(self, rows: np.ndarray) -> Iterator[bytes | str]:
        """The bytes of the images of ascending ``rows``, read batch by batch."""
        for path, start, end in zip(self.files, self.starts, self.starts[1:], strict=False):
            yield from read_images(path, rows[(rows >= start) & (rows < end)] - start)


def open_huggingface(settings: dict[str, Any]) -> HuggingFace:
    """The repository in the folder ``settings["root"]``; without root it is downloaded."""
    if settings["root"] is None:
        downloads = settings["downloads"] / "huggingface"
        folder = fetch(settings["repository"], settings["revision"], downloads)
    else:
        files = "the repository's Parquet files, or leave root out to fetch it"
        folder = required_root(settings["root"], files)
    for name, expected in settings["hashes"].items():
        require_hash(folder / name, expected)
    return HuggingFace(find_parquet(folder), AttributeSet.of(settings["attributes"]))


def names_of(paths: list[str | None], splits: np.ndarray) -> list[str]:
    """Each image's path if it has a usable one, else its split and its row in the split."""
    first = {split: int(np.argmax(splits == split)) for split in np.unique(splits)}
    return [
        name
        if path and path.isprintable() and (name := normalized(path))
        else f"{SPLITS[split]}-{row - first[split]:06d}"
        for row, (path, split) in enumerate(zip(paths, splits, strict=True))
    ]


def fetch(repository: str, revision: str, folder: Path) -> Path:
    """Download a repository's Parquet files and compare each with the sha256 on the hub.

    The hub's own client resumes what was interrupted, and uses the token of ``HF_TOKEN`` or
    ``hf auth login``. The commit and its files are noted on the first download; later runs need
    no network.
    """
    folder = folder / re.sub(r"[^A-Za-z0-9.-]+", "--", f"{repository}@{revision}")
    note = folder / "commit.json"
    if not note.exists():
        log.warning("%s", TERMS)
        write_json(note, list_files(repository, revision))
    content = read_json(note, "commit", "files")
    files = content["files"]
    if missing := [name for name in files if not (folder / name).exists()]:
        commit = {"repo_type": "dataset", "revision": content["commit"]}
        # Not snapshot_download, which takes a folder for whole when the hub cannot be reached.
        with _reachable(repository, content["commit"]) as hub, ThreadPoolExecutor(8) as pool:
            fetch_file = partial(hub.hf_hub_download, repository, **commit, local_dir=folder)
            list(pool.map(fetch_file, missing))
    for name, digest in files.items():
        if found := wrong_hash(folder / name, digest):
            (folder / name).unlink()
            raise UserError(
                f"{name} could not be fetched from {repository}: a file with the sha256 {found}"
                f" came, expected {digest}. Try again, or download the repository in another way"
                " and name its folder as root."
            )
    return folder


def list_files(repository: str, revision: str) -> dict[str, Any]:
    """The ``commit`` that a revision of a Hugging Face data set means, and its Parquet ``files``:
    the sha256 of each by its name.
    """
    with _reachable(repository, revision) as hub:
        info = hub.dataset_info(repository, revision=revision, files_metadata=True)
    log.info("%s at %s is the commit %s", repository, revision, info.sha)
    files = {
        file.rfilename: file.lfs.sha256 if file.lfs else "any"
        for file in info.siblings or []
        if file.rfilename.endswith(".parquet")
    }
    return {"commit": info.sha, "files": files}


@contextmanager
def _reachable(repository: str, revision: str) -> "Iterator[HfApi]":
    """The hub; ``UserError`` if it does not give what is asked of it."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield HfApi()
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"the Hugging Face repository {repository} at the revision {revision} cannot be"
            f" downloaded ({reason}); check repository and revision in the data set's entry, and"
            " for a gated one the token in HF_TOKEN, or download it in another way and name its"
            " folder as root."
        ) from None
