"""The images of a source: a folder or a zip, each image known by its relative name.

A zip is never unpacked: an entry is read when its name is asked for, and a name that leads out
of the archive (``../``) is not taken for one.
"""

import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Protocol

from pipeline.core.errors import UserError
from pipeline.core.faces.file_type import what_it_is


class Images(Protocol):
    names: set[str]
    odd: list[tuple[str, str]]  # entries that no name leads to, and why

    def read(self, name: str) -> bytes | str:
        """The bytes of an image, or in words why there are none."""


def open_images(path: Path) -> Images:
    """Open a folder or a zip of images; a ``UserError`` says what stands there instead."""
    return FolderImages(path) if path.is_dir() else ZipImages(path)


class FolderImages:
    """Every file below a folder, by its path relative to it; hidden ones are left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        files = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
        self.names = {file.as_posix() for file in files if not hidden(file.as_posix())}
        self.odd: list[tuple[str, str]] = []

    def read(self, name: str) -> bytes | str:
        if name not in self.names:
            return "has a label and no image"
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            return f"cannot be read ({error.strerror})"


class ZipImages:
    """Every entry of a zip, by its path below the folder that all entries share."""

    def __init__(self, path: Path) -> None:
        self.archive = open_zip(path)
        files = [info for info in self.archive.infolist() if not info.is_dir()]
        files = [info for info in files if not hidden(info.filename)]
        inside = [info for info in files if safe(info.filename)]
        cut = len(shared_folder([info.filename for info in inside]))
        self.times = Counter(info.filename[cut:] for info in inside)
        self.entries = {info.filename[cut:]: info for info in inside}
        self.names = set(self.entries)
        self.odd = [
            (info.filename, "its name leads out of the archive")
            for info in files
            if not safe(info.filename)
        ]

    def read(self, name: str) -> bytes | str:
        if name not in self.entries:
            return "has a label and no image"
        if self.times[name] > 1:
            return f"is {self.times[name]} times in the zip"
        try:
            return self.archive.read(self.entries[name])
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # encrypted
            return f"cannot be read from the zip ({error})"


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip; a ``UserError`` says what the file is if it is none."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(
            f"{path} is no zip but {what_it_is(path)} ({error}); put the whole archive there, or"
            " a folder with the images."
        ) from None


def safe(name: str) -> bool:
    """Whether a name stays where it is put: relative, no ``..``, backslash or control sign."""
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and "\\" not in name
        and name.isprintable()
    )


def hidden(name: str) -> bool:
    """What operating systems leave in folders and archives: ``__MACOSX/``, ``.DS_Store``."""
    parts = PurePosixPath(name).parts
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in parts)


def shared_folder(names: list[str]) -> str:
    """The folder, with its slash, that all names begin with; empty if there is none."""
    folders = {PurePosixPath(name).parent for name in names}
    if not folders:
        return ""
    parts = [folder.parts for folder in folders]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0] + "/")
    return "".join(shared)
