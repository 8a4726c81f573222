"""Files that appear whole or not at all, the hashes by which they are known, and their reading."""

import csv
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pipeline.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name beside ``path``; rename it to ``path`` once the block has ended well.

    Works for a file and for a folder. After an error, and after a kill followed by the next
    run, nothing of the attempt is left under either name. ``UserError`` if another process is
    writing it.
    """
    partial, earlier = (path.with_name(f".{path.name}.{end}") for end in ("partial", "earlier"))
    with alone(path):
        _clear_away(path, partial, earlier)
        try:
            yield partial
            flush(partial)
            if partial.is_dir() and path.is_dir():  # never a folder for a file
                path.replace(earlier)  # to delete it takes time, in which half of it would be there
            partial.replace(path)
        finally:
            _clear_away(path, partial, earlier)


def _clear_away(path: Path, partial: Path, earlier: Path) -> None:
    """Remove what an attempt has left; the earlier result comes back if nothing took its place."""
    if earlier.exists() and not path.exists():
        earlier.replace(path)
    remove(partial)
    remove(earlier)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the right to write ``path``, which no other process has meanwhile, else ``UserError``.

    The right is a lock on a file beside it, which the system drops when its process ends. A file
    system without locks is trusted to have one writer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with _locked(lock, path):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _locked(lock: Path, path: Path) -> BinaryIO:
    """The open and locked file ``lock``, of which the process before may remove the name."""
    while True:
        try:
            file = lock.open("wb")
        except OSError as error:
            error.filename = str(path)
            raise
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                return file
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.close()
                raise UserError(
                    f"{path} is being written by another process: wait until that has ended, then"
                    " run the same command again."
                ) from None
            return file
        file.close()


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Bring a file, or every file of a folder, to the disk."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())


@contextmanager
def csv_rows(path: Path, header: Sequence[str]) -> Iterator[Callable[[Iterable[Any]], object]]:
    """Yield the function that writes one row of a new CSV file (UTF-8, Unix line ends)."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(header)
        yield rows.writerow


def write_text(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON in one fixed form, so that equal contents are equal bytes."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, *keys: str) -> dict[str, Any]:
    """A JSON object that has these keys; a ``UserError`` says so if the file holds another."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is no object")
        require(keys, content)
    except (OSError, ValueError) as error:
        raise unfit(path, "JSON", keys, error) from None
    return content


def read_table(path: Path, *columns: str, separator: str = ",") -> "pd.DataFrame":
    """A CSV file that has these columns; a ``UserError`` says so if the file holds another."""
    import pandas as pd

    try:
        table = pd.read_csv(path, sep=separator)
        require(columns, table)
    except (OSError, ValueError) as error:  # pandas' own are ValueErrors
        raise unfit(path, "a table", columns, error) from None
    return table


def write_table(path: Path, table: "pd.DataFrame", number: str = "%.6f") -> None:
    """Write CSV with numbers in the form ``number``, so that equal tables are equal bytes.

    A number without meaning (NaN) is an empty field.
    """
    with replacing(path) as partial:
        table.to_csv(partial, index=False, float_format=number, lineterminator="\n")


def require(names: tuple[str, ...], found: Container[str]) -> None:
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{', '.join(missing)} missing")


def unfit(path: Path, what: str, names: tuple[str, ...], error: Exception) -> UserError:
    """The error for a file that is not the one expected."""
    return UserError(
        f"{path} is not {what} with {', '.join(names)} ({str(error).splitlines()[0]}): give the"
        " file that attparse wrote."
    )


FORMULA = re.compile(r"[\t\r ]*[=+@-].*[(|!]", re.DOTALL)


def is_formula(name: str) -> bool:
    """Whether a spreadsheet that opens a table would run this name.

    A formula can do harm that calls a function, or names another program, sheet or file:
    =HYPERLINK(…), =cmd|…!A0. -1.jpg, @me.jpg and the like are names, and stay names.
    """
    return bool(FORMULA.match(name))


def written(name: str) -> str:
    """A file's name as text for tables and pages: no formula, and in hex what is no UTF-8."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return f"'{text}" if is_formula(text) else text


def sha256(path: Path, *names: str) -> str:
    """Hex digest of a file, or of a folder's relative names and bytes.

    Of a folder's files only those with these names count, else all but hidden ones: Snakemake keeps
    its time in one.
    """
    if not path.is_dir():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in [path / name for name in sorted(names)] or sorted(path.rglob("[!.]*")):
        if file.is_file():
            digest.update(f"{file.relative_to(path).as_posix()}\0{sha256(file)}\n".encode())
    return digest.hexdigest()


def digest(content: Any) -> str:
    """Hex sha256 of what can be written as JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def listing_sha256(folder: Path) -> str:
    """Hex digest of the names, sizes and times of all files below a folder, reading none.

    A file that is replaced, added or removed below changes it. 200,000 files take a second.
    """
    digest, waiting = hashlib.sha256(), [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):  # a link may lead back up
                    waiting.append(entry.path)
                elif entry.is_file() or entry.is_dir():
                    found = entry.stat()
                    line = f"{entry.path}\0{found.st_size} {found.st_mtime_ns}\n"
                    digest.update(os.fsencode(line))
    return digest.hexdigest()


def check_unchanged(artifact: Path, found: str, summary: Path | None) -> None:
    """``UserError`` unless ``found`` is the hash in the summary written with an artifact."""
    if summary and read_json(summary, "sha256")["sha256"] != found:
        raise UserError(
            f"{artifact} is not as {summary} describes it: it was damaged or changed after it was"
            f" written; remove {artifact} and run the same command again, which makes it anew."
        )
