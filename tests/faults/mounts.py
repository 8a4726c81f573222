"""A small disk of its own for a stage: a tmpfs that only processes which enter it can see."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import lacking

UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
PAGE = 4096


class Disk:
    """``place`` is its folder for who has entered; ``seen`` is the same for who has not."""

    def __init__(self, place: Path, shell: subprocess.Popen[str]) -> None:
        self.place, self._shell = place, shell
        self.seen = Path(f"/proc/{shell.pid}/root{place}")

    def enter(self) -> None:
        """Move this process, of one thread, to where the disk is mounted."""
        libc = ctypes.CDLL(None, use_errno=True)
        for kind in ("user", "mnt") if "--user" in UNSHARE else ("mnt",):
            with Path(f"/proc/{self._shell.pid}/ns/{kind}").open() as namespace:
                if libc.setns(namespace.fileno(), 0):
                    raise OSError(ctypes.get_errno(), f"setns {kind}")

    def command(self, line: str) -> None:
        """Run a line of shell where the disk is mounted."""
        print(f"{line}; echo $?", file=self._shell.stdin, flush=True)
        assert self._shell.stdout is not None
        assert self._shell.stdout.readline() == "0\n", line

    def fill(self, left: int) -> None:
        """Leave ``left`` pages of the disk free."""
        free = shutil.disk_usage(self.seen).free // PAGE - left
        with (self.seen / "filler").open("wb") as file:
            for _ in range(free):
                file.write(bytes(PAGE))

    def make_read_only(self) -> None:
        self.command(f"mount -o remount,ro '{self.place}'")


@contextmanager
def disk(place: Path, megabytes: int) -> Iterator[Disk]:
    """Mount a disk on ``place``; a skip, or a failure where it is required, if that may not be."""
    place.mkdir()
    shell = subprocess.Popen(
        [*UNSHARE, "sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with shell:
        made = Disk(place, shell)
        try:
            made.command(f"mount -t tmpfs -o size={megabytes}m none '{place}'")
        except (AssertionError, BrokenPipeError):
            lacking("this machine may not mount", "ATTPARSE_REQUIRE_MOUNTS")
        yield made
