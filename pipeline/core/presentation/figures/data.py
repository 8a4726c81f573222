"""Plots of the data: how many faces each step took and left, and how common each attribute is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipeline.core.classification import positive_share
from pipeline.core.faces.store import SPLITS
from pipeline.core.presentation import style


def counts(steps: list[tuple[str, int, str]], empty: dict[str, int] | None, path: Path) -> None:
    """The faces at each step: (what, how many, a note); and the masks that came out empty.

    ``empty`` attribute → positive faces whose mask has no pixel; None before there are masks.
    """
    lines = max(len(empty), 1) if empty is not None else 0
    height = 0.9 + 0.27 * len(steps) + (0.7 + 0.2 * lines if lines else 0)
    with style.saved_figure(path, height) as figure:
        heights = [len(steps), max(lines, 2)] if lines else [1]
        above, *below = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        above.set_title("Faces at each step")
        _bars(above, steps, "faces")
        for axes in below:
            axes.set_title("Empty masks: the attribute is there, its region is hidden")
            _bars(
                axes,
                [(style.readable(name), n, "") for name, n in (empty or {}).items()],
                "faces labelled so, with an empty mask",
            )
            if not empty:
                axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center")


def _bars(axes: Axes, lines: list[tuple[str, int, str]], unit: str) -> None:
    most = max([number for _, number, _ in lines] + [1])
    for row, (_, number, note) in enumerate(lines):
        axes.barh(row, number, color=style.BLUE, height=0.65)
        axes.text(number + 0.01 * most, row, f"{number:,}  {note}", va="center", fontsize=8)
    axes.set_yticks(range(len(lines)), [name for name, _, _ in lines])
    axes.set(xlabel=unit, xlim=(0, 1.45 * most), ylim=(max(len(lines), 1) - 0.5, -0.5))
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")


def steps(
    splits: np.ndarray, rejected: int, landmarks: dict[str, Any] | None
) -> list[tuple[str, int, str]]:
    """What ``counts`` shows of faces: ``splits`` (N,) of those taken; ``landmarks.json``."""
    taken = len(splits)
    listed = [("in the source", taken + rejected, ""), ("rejected", rejected, "see rejected.csv")]
    listed += [(f"taken: {split}", int((splits == split).sum()), "") for split in SPLITS]
    if landmarks is not None:
        by = ", ".join(f"{name} {n:,}" for name, n in landmarks["detectors"].items())
        found = landmarks["found"]
        listed.append(("with landmarks", found, f"by {by}" if by else ""))
        missing = landmarks["without_landmarks"]
        where = ", ".join(f"{split} {len(names):,}" for split, names in missing.items())
        listed.append(("without landmarks", taken - found, f"no masks; {where}"))
    return listed


def balance(labels: np.ndarray, names: Sequence[str], splits: np.ndarray, path: Path) -> None:
    """The share of positives of each attribute by split; ``labels`` (N, A) of ``names``.

    Of those that are known; a name has the share of the others.
    """
    order = np.argsort(-positive_share(labels), kind="stable")
    marks = {"train": ("o", style.BLUE), "valid": ("|", style.ORANGE), "test": ("x", style.INK)}
    with style.saved_figure(path, height=max(2.6, 1.4 + 0.15 * len(names)), width=5.6) as figure:
        axes, places = figure.subplots(), range(len(names))
        for split, (marker, colour) in marks.items():
            if (chosen := splits == split).any():
                share, label = positive_share(labels[chosen]), f"{split} ({chosen.sum():,})"
                axes.plot(share[order], places, marker, color=colour, ms=5, label=label)
        unknown = [f" ({style.as_percent(s)} unknown)" if s else "" for s in (labels < 0).mean(0)]
        shown = [style.readable(names[k]) + unknown[k] for k in order]
        axes.set_yticks(places, shown, fontsize=7)
        axes.set(
            xlabel="share of faces labelled so (%)", ylim=(len(names) - 0.4, -0.6), xlim=(0, None)
        )
        axes.set_title(style.with_n("How common each attribute is", len(labels)))
        style.percent_axis(axes.xaxis)
        axes.legend(loc="lower right")
