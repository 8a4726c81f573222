"""Run the whole fault suite and write its counts into docs/trust.md: `make faults`.

python tests/faults/run.py [SHARE of the full counts, such as 0.2]
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/trust.md"
BEGIN, END = "<!-- counts of make faults: begin -->", "<!-- counts of make faults: end -->"


def main() -> int:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from faults.counts import table

    share = sys.argv[1] if len(sys.argv) > 1 else "1"
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        settings = {
            "ATTPARSE_FAULTS": "full",
            "ATTPARSE_FAULTS_SHARE": share,
            "ATTPARSE_FAULTS_COUNTS": str(counts),
        }
        command = [sys.executable, ROOT / "tests/run.py", "tests/faults"]
        failed = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}).returncode
        lines = counts.read_text(encoding="utf-8").splitlines() if counts.exists() else []
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    made = f"{head}{BEGIN}\n{table(lines)}\n{END}{rest.partition(END)[2]}"
    PAGE.write_text(made, encoding="utf-8")
    return failed


if __name__ == "__main__":
    sys.exit(main())
