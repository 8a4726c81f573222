"""Print the licences of the installed packages that envs/constraints.txt pins, as they state them.

python -m docs.licences
"""

import importlib.metadata
import re
from collections import defaultdict
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[1] / "envs/constraints.txt"
SAME = {  # as older metadata name them: as SPDX does
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD License": "BSD",
    "Boost Software License": "BSL-1.0",
    "Python Software Foundation License": "PSF-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
UNSTATED = "not stated in the metadata"


def pinned() -> list[str]:
    """The names of all packages in constraints.txt, but for those of CUDA (see the page)."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    names = {re.split(r"[=<>;\[ ]", line)[0] for line in lines if line[:1] not in ("", "#")}
    return sorted(name for name in names if not re.match("nvidia-|cuda-|triton", name))


def licence(name: str) -> str | None:
    """What an installed package states: SPDX's expression, classifiers, the old field, its text."""
    try:
        about = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    classifiers = [
        line.rsplit(" :: ", 1)[1]
        for line in about.get_all("Classifier") or []
        if line.startswith("License :: ") and line.count(" :: ") > 1
    ]
    stated = about.get("License-Expression") or " or ".join(
        sorted(SAME.get(each, each) for each in classifiers)
    )
    old = (about.get("License") or "").strip().partition("\n")[0]
    return stated or SAME.get(old, old) or _of_file(name)


def _of_file(name: str) -> str:
    """The heading of a package's licence, where its metadata state none."""
    for file in importlib.metadata.files(name) or []:
        if file.name.upper().startswith("LICEN"):
            heading = file.read_text().strip().partition("\n")[0]
            return SAME.get(heading, heading)
    return UNSTATED


def main() -> None:
    """A line a licence: its packages."""
    by_licence = defaultdict(list)
    for name in pinned():
        if found := licence(name):
            by_licence[found].append(name)
    for found in sorted(by_licence, key=lambda one: (-len(by_licence[one]), one)):
        print(f"{found}: {', '.join(by_licence[found])}")


if __name__ == "__main__":
    main()
