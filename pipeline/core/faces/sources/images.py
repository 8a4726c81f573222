"""The images of a source: a folder or a zip, each image known by its relative name.

A zip is never unpacked: an entry is read when its image is needed, and an entry whose name leads
out of the archive (``../``) is never read.
"""

import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Protocol

from pipeline.core.errors import UserError
from pipeline.core.faces.file_type import describe_file


class Images(Protocol):
    names: set[str]
    unmatched: list[tuple[str, str]]  # entries that cannot be read by a name, and why

    def read(self, name: str) -> bytes | str:
        """The bytes of an image, or the reason why it cannot be read, in words."""


def open_images(path: Path) -> Images:
    """Open a folder or a zip of images; ``UserError`` if the path is neither."""
    return FolderImages(path) if path.is_dir() else ZipImages(path)


class FolderImages:
    """Every file below a folder, by its path relative to it; hidden ones are left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        files = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
        self.names = {file.as_posix() for file in files if not hidden(file.as_posix())}
        self.unmatched: list[tuple[str, str]] = []

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
        self.unmatched = [
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
    """Open a zip; ``UserError`` if the file is not one."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(
            f"{path} cannot be opened as a zip: it is {describe_file(path)} ({error}); put the"
            " complete archive there, or a folder with the images."
        ) from None


def safe(name: str) -> bool:
    """Whether a name stays in its folder: relative, no ``..``, backslash, control character."""
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and "\\" not in name
        and name.isprintable()
    )


def hidden(name: str) -> bool:
    """Whether an operating system put the file there: ``__MACOSX/``, ``.DS_Store``."""
    parts = PurePosixPath(name).parts
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in parts)


def shared_folder(names: list[str]) -> str:
    """The common parent folder of all names, with a final slash; empty if there is none."""
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
