"""Say in one sentence what the system lacks, and the command that installs it.

Run by make each time: under the system's own Python while there is no virtual environment, under
the environment's afterwards. Any Python 3 can read it, and it needs no package.
"""

import ctypes
import importlib.util
import platform
import shutil
import sys
import sysconfig
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 14)  # every pin of the constraints installs on these Pythons

# Linux: what OpenCV (GL, glib) and MediaPipe (EGL, GLES) load → packages of Debian and of Fedora.
LIBRARIES = {
    "libGL.so.1": ("libgl1", "libglvnd-glx"),
    "libEGL.so.1": ("libegl1", "libglvnd-egl"),
    "libGLESv2.so.2": ("libgles2", "libglvnd-gles"),
    "libglib-2.0.so.0": ("libglib2.0-0", "glib2"),
}


def loads(library):
    """Whether the system's loader finds this shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing():
    """What is missing, in a fixed order: its name → the packages of Debian and of Fedora."""
    python = "python{}.{}".format(*sys.version_info)
    found = {}
    if platform.system() == "Linux":
        found = {name: packages for name, packages in LIBRARIES.items() if not loads(name)}
    if sys.prefix != sys.base_prefix:
        return found  # in the virtual environment, where all else is installed
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        found[python + "'s venv"] = (python + "-venv", python)
    if sys.version_info >= (3, 14):  # immutables has no wheel for it
        if not shutil.which("cc"):
            found["a C compiler"] = ("gcc libc6-dev", "gcc")
        if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
            found[python + "'s headers"] = (python + "-dev", python + "-devel")
    return found


def how_to_install(found):
    """The command that brings what is missing, where this system's packages are known."""
    debian, fedora = (" ".join(names) for names in zip(*found.values(), strict=True))
    if shutil.which("apt-get"):
        return f"install with `apt-get install --no-install-recommends {debian}` (as root)"
    if shutil.which("dnf"):
        return f"install with `dnf install {fedora}` (as root)"
    if platform.system() == "Darwin":
        return "install with `xcode-select --install`"
    return "install what brings that"


def main():
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        sys.exit(
            "attparse runs on Python {}.{} to {}.{}".format(*OLDEST, *NEWEST)
            + f" and this is {sys.version.split()[0]}: name another interpreter, as in"
            " `make demo PYTHON=python3.11`."
        )
    if platform.system() == "Linux" and not Path("/sys/devices/system/cpu/possible").exists():
        sys.exit(
            "/sys, in which MediaPipe counts the CPUs, is not mounted here: mount it, as in"
            " `mount -t sysfs sysfs /sys` (as root), and try again."
        )
    found = missing()
    if found:
        sys.exit(f"The system lacks {', '.join(found)}: {how_to_install(found)} and try again.")


if __name__ == "__main__":
    main()
