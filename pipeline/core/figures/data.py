"""Plots of the data: how many faces each step took and left, and how common each attribute is."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import style
from pipeline.core.attributes import ATTRIBUTES


def counts(steps: list[tuple[str, int, str]], path: Path) -> None:
    """The faces at each step: (what, how many, a note), from the source to the masks."""
    names, numbers, notes = zip(*steps, strict=True)
    most = max(numbers, default=1) or 1
    with style.drawn(path, height=0.8 + 0.3 * len(steps)) as figure:
        axes = figure.subplots()
        axes.barh(range(len(names)), numbers, color=style.BLUE, height=0.62)
        for row, (number, note) in enumerate(zip(numbers, notes, strict=True)):
            axes.text(number + 0.01 * most, row, f"{number:,}  {note}", va="center", fontsize=8)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="faces", xlim=(0, 1.45 * most), ylim=(len(names) - 0.5, -0.5))
        axes.set_title("Faces at each step")
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_formatter("{x:,.0f}")


def steps(
    splits: np.ndarray, rejected: int, landmarks: dict[str, Any] | None, found: np.ndarray | None,
    empty: int | None,
) -> list[tuple[str, int, str]]:  # fmt: skip
    """What ``counts`` shows. ``splits`` (N,) of the faces taken; ``landmarks`` is
    ``landmarks.json``; ``found`` (N,) bool; ``empty`` masks of positive labels, None without.
    """
    taken = len(splits)
    listed = [("in the source", taken + rejected, ""), ("rejected", rejected, "see rejected.csv")]
    listed += [(f"taken: {split}", int((splits == split).sum()), "") for split in
               ("train", "valid", "test")]  # fmt: skip
    if landmarks is not None and found is not None:
        by = ", ".join(f"{name} {n:,}" for name, n in landmarks["detectors"].items())
        listed += [
            ("with landmarks", int(found.sum()), by),
            ("without landmarks", int((~found).sum()), "these have no masks"),
        ]
    if empty is not None:
        note = "masks of a positive label: the region is hidden"
        listed.append(("empty masks", empty, note))
    return listed


def balance(attributes: np.ndarray, splits: np.ndarray, path: Path) -> None:
    """The share of positives of each attribute by split; ``attributes`` (N, 40) bool."""
    share = {split: attributes[splits == split].mean(axis=0)
             for split in ("train", "valid", "test") if (splits == split).any()}  # fmt: skip
    order = np.argsort(-attributes.mean(axis=0), kind="stable")
    marks = {"train": ("o", style.BLUE), "valid": ("|", style.ORANGE), "test": ("x", style.INK)}
    with style.drawn(path, height=7.4, width=5.6) as figure:
        axes = figure.subplots()
        for split, values in share.items():
            marker, colour = marks[split]
            label = f"{split} ({int((splits == split).sum()):,})"
            axes.plot(values[order], range(40), marker, color=colour, ms=5, label=label)
        axes.set_yticks(range(40), [style.readable(ATTRIBUTES[k]) for k in order], fontsize=7)
        axes.set(xlabel="share of faces labelled so (%)", ylim=(39.6, -0.6), xlim=(0, None))
        axes.set_title(style.counted("How common each attribute is", len(attributes)))
        style.percent(axes.xaxis)
        axes.legend(loc="lower right")
