"""The files of a folder or a zip: both are one tree, and the same tree has the same names.

A zip is never unpacked: a file is read when its content is needed, and one whose name leads out of
the archive is never read.
"""

import mimetypes
import os
import re
import stat
import unicodedata
import zipfile
from collections import defaultdict
from pathlib import Path, PurePosixPath

from pipeline.core.errors import UserError
from pipeline.core.faces.file_type import describe_file

# What operating systems put into folders and archives, beside names that begin with a dot.
OF_SYSTEMS = {"__macosx", "thumbs.db", "desktop.ini"}

LARGEST = 2**28  # bytes of a file; 60 megapixels of noise are fewer, and a bomb unpacks to more


def open_tree(path: Path) -> "FolderTree | ZipTree":
    """Open a folder or a zip; ``UserError`` if the path is neither."""
    return FolderTree(path) if path.is_dir() else ZipTree(path)


def normalized(name: str) -> str | None:
    """A relative name in its one form: ``/`` between parts, no ``.``, Unicode NFC; None if it is
    absolute or leads out of its folder.
    """
    name = unicodedata.normalize("NFC", name.replace("\\", "/"))
    parts = [part for part in name.split("/") if part not in ("", ".")]
    absolute = name.startswith("/") or re.match(r"[A-Za-z]:", name)
    return None if absolute or ".." in parts or not parts else "/".join(parts)


def normalized_label(name: str) -> str:
    """The name of an image in a list of labels; one that leads out stays, and matches no file."""
    return normalized(name) or name


def ignored(name: str) -> bool:
    """Whether an operating system put the file there: hidden files, ``Thumbs.db``."""
    return any(p.startswith(".") or p.lower() in OF_SYSTEMS for p in PurePosixPath(name).parts)


def may_be_image(name: str) -> bool:
    """Whether a file's name does not indicate another type, such as a table or a video."""
    kind, _ = mimetypes.guess_type(name)
    return kind is None or kind.startswith("image/")


def open_photographs(folder: Path) -> tuple["FolderTree", list[str]]:
    """A user's folder and the names of its images; ``UserError`` if there are none."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: name one with photographs in it.")
    tree = FolderTree(folder)
    names = sorted(name for name in tree.names if may_be_image(name))
    if not names:
        raise UserError(f"{folder} holds no image: put JPEGs or PNGs there.")
    return tree, names


def too_large(size: int) -> str:
    """Why a file of so many bytes is not read, or nothing."""
    return f"is {size:,} bytes, more than an image has ({LARGEST:,})" if size > LARGEST else ""


class FolderTree:
    """The files below a folder; links are followed, and each folder is read once.

    ``names`` are relative and ``normalized``; ``unreadable`` lists the files that no name leads to,
    and why.
    """

    def __init__(self, path: Path) -> None:
        self._files: dict[str, list[Path]] = defaultdict(list)
        for file in _files_below(path):
            name = normalized(file.relative_to(path).as_posix())
            if name and not ignored(name):
                self._files[name].append(file)
        self.names = set(self._files)
        self.unreadable: list[tuple[str, str]] = []

    def read(self, name: str) -> bytes | str:
        """The content of a file, or the reason why it cannot be read, in words."""
        if len(self._files[name]) > 1:
            return f"is {len(self._files[name])} times in the folder"
        file = self._files[name][0]
        try:
            return too_large(file.stat().st_size) or file.read_bytes()
        except OSError as error:
            return f"cannot be read ({error.strerror})"


def _files_below(path: Path) -> list[Path]:
    """Every file below a folder; linked folders come after real ones, each unless it was read."""
    files, seen, waiting = [], set(), [path]
    while waiting:
        folder = waiting.pop()
        if (place := os.path.realpath(folder)) in seen:
            continue
        seen.add(place)
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.is_dir():
                waiting.insert(0 if entry.is_symlink() else len(waiting), Path(entry))
            elif entry.is_file():
                files.append(Path(entry))
    return files


class ZipTree:
    """The files of a zip, as ``FolderTree``; links between them are followed."""

    def __init__(self, path: Path) -> None:
        self._archive = open_zip(path)
        self._entries: dict[str, list[zipfile.ZipInfo]] = defaultdict(list)
        self.unreadable: list[tuple[str, str]] = []
        for entry in self._archive.infolist():
            name = normalized(entry.filename)
            if entry.is_dir() or entry.filename.endswith("\\"):
                continue
            if name is None:
                self.unreadable.append((entry.filename, "its name leads out of the archive"))
            elif not ignored(name):
                self._entries[name].append(entry)
        self._follow_links()
        self.names = set(self._entries)

    def _follow_links(self) -> None:
        """Put the entries that links lead to in the links' places."""
        for name, (entry, *_) in list(self._entries.items()):
            if not stat.S_ISLNK(entry.external_attr >> 16):
                continue
            del self._entries[name]
            content = self.read_entry(entry)
            target = content.decode("utf-8", "replace") if isinstance(content, bytes) else ""
            target = os.path.normpath(f"{PurePosixPath(name).parent}/{target}")
            reached = {
                name + other[len(target) :]: entries
                for other, entries in self._entries.items()
                if other == target or other.startswith(target + "/")
            }
            self._entries |= reached
            if not reached:
                self.unreadable.append((name, "is a link out of the archive"))

    def read(self, name: str) -> bytes | str:
        if len(self._entries[name]) > 1:
            return f"is {len(self._entries[name])} times in the zip"
        return self.read_entry(self._entries[name][0])

    def read_entry(self, entry: zipfile.ZipInfo) -> bytes | str:
        if fault := too_large(entry.file_size):  # zipfile unpacks no more than this
            return fault
        try:
            return self._archive.read(entry)
        except Exception as error:  # each decompressor raises other ones, for data as for passwords
            return f"cannot be read from the zip ({error})"


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip; ``UserError`` if the file is not one."""
    try:
        archive = zipfile.ZipFile(path)
        if any(entry.volume for entry in archive.infolist()):
            raise zipfile.BadZipFile("it is one of several volumes: join them first")
        return archive
    except Exception as error:  # a damaged directory ends in struct.error, ValueError and others
        raise UserError(
            f"{path} cannot be opened as a zip: it is {describe_file(path)} ({error}); put the"
            " complete archive there, or a folder with the images."
        ) from None
