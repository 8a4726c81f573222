"""Put what commands print into the pages, so that no table is typed.

    python -m docs.refill docs/metrics.md docs/comparisons.md

A line ``<!-- made by: COMMAND -->`` is followed by a block of text between fences; the block
becomes what COMMAND prints when run in the project's folder. ``python`` is the interpreter that
runs this script. A command that fails leaves the page as it was.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- made by: (.+?) -->\n\n?```text\n).*?(```)", re.DOTALL)


def refilled(page: str) -> str:
    return BLOCK.sub(lambda found: found[1] + printed(found[2]) + found[3], page)


def printed(command: str) -> str:
    words = shlex.split(command)
    words[0] = sys.executable if words[0] == "python" else words[0]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{command}\nended with {run.returncode}: {run.stderr.strip()}")
    return run.stdout.strip("\n") + "\n"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(refilled(path.read_text(encoding="utf-8")), encoding="utf-8")
