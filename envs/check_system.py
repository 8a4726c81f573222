"""Say in one sentence what the system lacks, and the command that installs it.

Runs under the system's own Python, before there is a virtual environment.
"""

import ctypes.util
import importlib.util
import sys

# What is missing here → Debian's package: OpenCV loads libGL and glib, MediaPipe EGL and GLES.
LIBRARIES = {
    "GL": "libgl1",
    "EGL": "libegl1",
    "GLESv2": "libgles2",
    "glib-2.0": "libglib2.0-0",
}


def missing() -> list[str]:
    """Debian packages to install, in a fixed order."""
    packages = []
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        packages.append("python3-venv")
    packages += [
        name for library, name in LIBRARIES.items() if not ctypes.util.find_library(library)
    ]
    return packages


def main() -> None:
    if sys.version_info[:2] != (3, 11):
        sys.exit(
            f"attparse is tested on Python 3.11 and this is {sys.version.split()[0]}: name another"
            " interpreter, as in `make demo PYTHON=python3.11`."
        )
    packages = missing()
    if packages:
        sys.exit(
            f"The system lacks {', '.join(packages)}: install with `apt-get install"
            f" --no-install-recommends {' '.join(packages)}` (as root) and try again."
        )


if __name__ == "__main__":
    main()
