"""Run test files, each in a process of its own, and end with one line of totals.

    python tests/run.py [--marks "not slow"] [FILE, FOLDER or FILE::TEST …]

So many native libraries (MediaPipe, onnxruntime, dlib, torch) in one process have been seen to
crash it. Two files run at once, the longest first. The exit status is 1 if anything failed.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

LONGEST = ("test_slurm.py", "test_workflow.py", "test_browser.py", "test_resume.py")
SLOWEST_SHOWN = 5
NO_TESTS = 5  # pytest's exit status when it has selected no test


class Result(NamedTuple):
    """What one pytest process did: its argument, tests by outcome, seconds, output."""

    target: str
    counts: Counter[str]
    seconds: float
    output: str


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run test files, each in a process of its own.")
    parser.add_argument("targets", nargs="*", default=["tests"], help="files, folders, file::test")
    parser.add_argument("--marks", default="", help="pytest's -m, such as 'not slow'")
    parser.add_argument("--jobs", type=int, default=2, help="files that run at once")
    args = parser.parse_args(argv)
    pool = ThreadPoolExecutor(args.jobs)
    running = [pool.submit(run, target, args.marks) for target in expand(args.targets)]
    results = []
    try:
        for future in as_completed(running):
            results.append(future.result())
            print(results[-1].target, results[-1].output, sep="\n", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)  # on Ctrl-C the files that wait do not start
    print(report(results))
    return int(any(result.counts["failed"] for result in results))


def expand(targets: Sequence[str]) -> list[str]:
    """Folders as their test files, each target once, the longest files first."""
    files = [
        str(file)
        for target in targets
        for file in (sorted(Path(target).rglob("test_*.py")) if Path(target).is_dir() else [target])
    ]
    return sorted(dict.fromkeys(files), key=lambda file: Path(file).name not in LONGEST)


def run(target: str, marks: str) -> Result:
    """Run pytest on one target; a process that ends without a report counts as one failure."""
    with tempfile.TemporaryDirectory() as folder:
        report_file = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", target, f"--junitxml={report_file}", "-m", marks]
        start = time.monotonic()
        process = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        seconds = time.monotonic() - start
        counts = count(report_file) if report_file.is_file() else Counter()
    deselected = process.returncode == NO_TESTS and marks
    if process.returncode and not deselected and not counts["failed"]:
        counts["failed"] += 1
    return Result(target, counts, seconds, process.stdout)


def count(report_file: Path) -> Counter[str]:
    """Tests by outcome in a JUnit file of pytest's; one cut off (a full disk) is a failure."""
    try:
        suite = ElementTree.parse(report_file).getroot()[0].attrib
    except ElementTree.ParseError:
        return Counter(failed=1)
    failed, skipped = int(suite["failures"]) + int(suite["errors"]), int(suite["skipped"])
    return Counter(passed=int(suite["tests"]) - failed - skipped, failed=failed, skipped=skipped)


def report(results: list[Result]) -> str:
    """The slowest files, the files with failures, and the totals as the last line."""
    slowest = sorted(results, key=lambda result: -result.seconds)[:SLOWEST_SHOWN]
    total = sum((result.counts for result in results), Counter[str]())
    return "\n".join(
        [
            "Slowest files:",
            *(f"{result.seconds:7.1f} s  {result.target}" for result in slowest),
            *(f"FAILED {result.target}" for result in results if result.counts["failed"]),
            ", ".join(f"{total[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped")),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
