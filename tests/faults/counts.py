"""How often the suite tried what, and with what end: `make faults` gathers it for docs/trust.md."""

import json
import os
from pathlib import Path

import numpy as np

FULL = os.environ.get("ATTPARSE_FAULTS", "") == "full"
KINDS = {  # what is counted, in the order of the table: its heading
    "killed": "SIGKILL, then the same command: equal hashes",
    "interrupted": "SIGINT or SIGTERM, then the same command: no process left, equal hashes",
    "writing": "errors of writing: one sentence and the earlier result, or a run that the error"
    " did not meet",
    "damaged": "damaged or exchanged artifacts: refused in a sentence, or without effect; tables"
    " for people may be used as they are",
    "at once": "two at once: the result is whole, and who is refused is so in a sentence",
    "again": "the chain in another folder with 1 core, and with 2: equal bytes",
    "hostile": "hostile inputs: refused in a sentence, or read as what they are",
}


def times(quick: int, full: int) -> int:
    """How often to try: ``make faults`` tries more, and ``ATTPARSE_FAULTS_SHARE`` of that."""
    share = float(os.environ.get("ATTPARSE_FAULTS_SHARE", "1"))
    return max(quick, round(full * share)) if FULL else quick


def generator(*seeds: str) -> np.random.Generator:
    """Random numbers that these words decide on."""
    return np.random.default_rng([sum(map(ord, text)) for text in seeds])


def count(kind: str, what: str, good: int, tried: int) -> None:
    """Add to the counts, where they are gathered. ``what`` names the stage or the artifact."""
    if (place := os.environ.get("ATTPARSE_FAULTS_COUNTS")) and tried:
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(json.dumps([kind, what, good, tried]) + "\n")


def table(lines: list[str]) -> str:
    """Markdown of what ``count`` wrote."""
    sums: dict[str, dict[str, list[int]]] = {kind: {} for kind in KINDS}
    for kind, what, good, tried in map(json.loads, lines):
        cell = sums[kind].setdefault(what, [0, 0])
        cell[0], cell[1] = cell[0] + good, cell[1] + tried
    rows = [
        "| tried | by stage, artifact or input: as it should be, of all tries | |",
        "|---|---|---|",
    ]
    for kind, cells in sums.items():
        if cells:
            each = " · ".join(f"{what} {good}/{tried}" for what, (good, tried) in cells.items())
            good, tried = (sum(cell[i] for cell in cells.values()) for i in (0, 1))
            rows.append(f"| {KINDS[kind]} | {each} | **{good} of {tried}** |")
    return "\n".join(rows)
