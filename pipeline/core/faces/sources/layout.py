"""Where the files of a data set lie below its root: copies of CelebA differ in their folders."""

import logging
import os
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.faces.sources.trees import ignored

log = logging.getLogger(__name__)

DEPTH = 4  # folders below root that are searched
PACKED = re.compile(r".*\.(7z|rar|tar|tgz|gz|z\d\d)(\.\d+)?", re.IGNORECASE)


def required_root(root: Path | None, files: str) -> Path:
    """A data set's root; if it is no folder a ``UserError`` that names the ``files`` for it."""
    if root is None or not root.is_dir():
        raise UserError(
            f"the data set's root {root} is not there; name the folder that has {files}."
        )
    return root


class Layout:
    """The files and folders of known names below a root; found folders are not searched."""

    def __init__(self, root: Path, names: Collection[str]) -> None:
        self.root = root
        self._found: dict[str, list[Path]] = defaultdict(list)
        self._packed: list[Path] = []
        self._search(root, names, DEPTH)

    def _search(self, folder: Path, names: Collection[str], depth: int) -> None:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.name in names:
                self._found[entry.name].append(Path(entry))
            elif entry.is_dir() and depth and not ignored(entry.name):
                self._search(Path(entry), names, depth - 1)
            elif PACKED.fullmatch(entry.name):
                self._packed.append(Path(entry))

    def find(self, names: Sequence[str]) -> Path | None:
        """The file of one of these names; of a folder and its zip side by side, the folder.

        ``UserError`` if there are two.
        """
        found = [path for name in names for path in self._found[name]]
        folders = [path for path in found if path.is_dir()]
        found = [path for path in found if path.with_suffix("") not in folders or path in folders]
        if len(found) > 1:
            raise UserError(
                f"the data set's root {self.root} has both {found[0]} and {found[1]}; remove one,"
                " or name as root the folder of one of them."
            )
        if found:
            log.info("found %s", found[0])
        return found[0] if found else None

    def require(self, *names: str) -> Path:
        """``find``; ``UserError`` if there is none."""
        if (found := self.find(names)) is None:
            hint = self.archive_hint(names[0].split(".")[0])
            raise UserError(f"{self.root} has no {' or '.join(names)}; put it there{hint}.")
        return found

    def archive_hint(self, stem: str) -> str:
        """A clause on an archive that must be unpacked by hand first; empty if there is none."""
        packed = next((path for path in self._packed if path.name.startswith(stem)), None)
        return f" (first unpack {packed}: only zip archives are read)" if packed else ""
