"""Run test files in a few processes, and end with one line of totals.

    python tests/run.py [--marks "not slow"] [FILE, FOLDER or FILE::TEST …]

To import torch and Lightning takes seconds: files share a process, so that it is done once. But so
many native libraries (MediaPipe, onnxruntime, dlib, torch) in one process have been seen to crash
it: files that run detectors share one of their own, and so do those that run onnxruntime; the
longest files have one each. Two run at once, the longest first. The exit status is 1 if anything
failed.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

LONGEST = ("test_slurm.py", "test_workflow.py", "test_browser.py", "test_resume.py")
ALONE = "faults"  # the folder of files that measure the memory of their process, or fork it
TOGETHER = {
    "detectors": ("test_detectors.py", "test_portraits.py", "test_landmarks.py", "test_predict.py"),
    "onnxruntime": ("test_export.py", "test_docs.py", "test_own_walkthrough.py"),
}
# Threads of two processes that wait for each other's cores would slow both down.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", **os.environ}
SLOWEST_SHOWN = 5
NO_TESTS = 5  # pytest's exit status when it has selected no test
MARKED = re.compile(r"^pytestmark = pytest\.mark\.(\w+)$", re.MULTILINE)  # all tests of a file


class Result(NamedTuple):
    """What came of one test file: its tests by outcome, and the seconds that they took."""

    file: str
    counts: Counter[str]
    seconds: float


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run test files in a few processes.")
    parser.add_argument("targets", nargs="*", default=["tests"], help="files, folders, file::test")
    parser.add_argument("--marks", default="", help="pytest's -m, such as 'not slow'")
    parser.add_argument("--jobs", type=int, default=2, help="processes that run at once")
    args = parser.parse_args(argv)
    pool = ThreadPoolExecutor(args.jobs)
    groups = grouped(expand(args.targets, args.marks))
    running = [pool.submit(run, group, args.marks) for group in groups]
    results = []
    try:
        for future in as_completed(running):
            results += future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # on Ctrl-C the files that wait do not start
    print(report(results))
    return int(any(result.counts["failed"] for result in results))


def expand(targets: Sequence[str], marks: str) -> list[str]:
    """Folders as their test files, each target once, but no file of which marks leave nothing."""
    files = [
        str(file)
        for target in targets
        for file in (sorted(Path(target).rglob("test_*.py")) if Path(target).is_dir() else [target])
    ]
    return [file for file in dict.fromkeys(files) if not left_out(Path(file), marks)]


def left_out(file: Path, marks: str) -> bool:
    """Whether the marks exclude all of a file: seen in its text, as its imports may take long."""
    marked = MARKED.search(file.read_text(encoding="utf-8")) if file.is_file() else None
    return bool(marked) and f"not {marked[1]}" in marks.split(" and ")


def grouped(files: Sequence[str]) -> list[list[str]]:
    """The files of each process, the longest process first."""
    groups: dict[str, list[str]] = {}
    for file in files:
        path = Path(file.partition("::")[0])
        alone = path.name in LONGEST or path.parent.name == ALONE
        names = (name for name, members in TOGETHER.items() if path.name in members)
        name = next(names, "/".join(path.parent.parts[:2]))  # all of tests/core is one
        groups.setdefault(file if alone else name, []).append(file)
    return sorted(groups.values(), key=lambda of: (Path(of[0]).name not in LONGEST, -len(of)))


def run(files: list[str], marks: str) -> list[Result]:
    """Run pytest on files in one process and print its output; what came of each file.

    Where the process crashes, each file is run again alone, so that the one to blame is named; if
    all pass alone, the crash counts as a failure of all of them together.
    """
    with tempfile.TemporaryDirectory() as folder:
        report_file = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", *files, f"--junitxml={report_file}", "-m", marks]
        command += ["-o", "junit_family=xunit1", "--continue-on-collection-errors"]
        process = subprocess.run(
            command,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        whole = read(report_file) if process.returncode >= 0 else None
    print(" ".join(files), process.stdout, sep="\n", flush=True)
    results = whole or []
    if whole is None and len(files) > 1 and process.returncode != -signal.SIGINT:
        results = [result for file in files for result in run([file], marks)]
    passed = whole is not None and process.returncode in (0, NO_TESTS if marks else 0)
    if not passed and not any(result.counts["failed"] for result in results):
        results.append(Result(" ".join(files), Counter(failed=1), 0))
    return results


def read(report_file: Path) -> list[Result] | None:
    """The results in a JUnit file of pytest's; None if it is not there or cut off (a full disk)."""
    try:
        tests = list(ElementTree.parse(report_file).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return None
    counts, seconds = defaultdict(Counter[str]), Counter[str]()
    for test in tests:
        found = {child.tag for child in test}
        failed, file = found & {"failure", "error"}, test.attrib["file"]
        counts[file]["failed" if failed else "skipped" if "skipped" in found else "passed"] += 1
        seconds[file] += float(test.attrib["time"])
    return [Result(file, counts[file], seconds[file]) for file in counts]


def report(results: list[Result]) -> str:
    """The slowest files, the files with failures, and the totals as the last line."""
    slowest = sorted(results, key=lambda result: -result.seconds)[:SLOWEST_SHOWN]
    total = sum((result.counts for result in results), Counter[str]())
    return "\n".join(
        [
            "Slowest files:",
            *(f"{result.seconds:7.1f} s  {result.file}" for result in slowest),
            *(f"FAILED {result.file}" for result in results if result.counts["failed"]),
            ", ".join(f"{total[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped")),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
