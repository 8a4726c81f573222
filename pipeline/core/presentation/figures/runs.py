"""Plots of how a run went: how a network learnt, and what each rule cost."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.presentation import style


def training(history: pd.DataFrame, best: int, faces: dict[str, int], path: Path) -> None:
    """Loss and accuracy by epoch on train and valid, the kept epoch marked.

    ``history`` is ``history.csv``; ``faces`` are the train and valid faces by split. A model that
    learns from masks has a third plot, of the mask loss.
    """
    shown = [("attribute_loss", "attribute loss (nats)"), ("accuracy", "accuracy (%)")]
    if (history["train_mask_loss"] > 0).any():
        shown.insert(1, ("mask_loss", "mask loss (squared error)"))
    with style.saved_figure(path, height=2.9) as figure:
        images = " + ".join(f"{count:,} {split}" for split, count in faces.items())
        style.set_title(figure, f"Learning (n = {images} faces)")
        plots = figure.subplots(1, len(shown))
        for axes, (column, label) in zip(plots, shown, strict=True):
            for split, colour, line in (("train", style.BLUE, "--"), ("valid", style.ORANGE, "-")):
                values = history[f"{split}_{column}"]
                axes.plot(history["epoch"], values, line, color=colour, label=split, marker=".")
            axes.axvline(best, color=style.GREY, lw=1, ls=":", label="kept epoch")
            axes.set(xlabel="epoch", ylabel=label)
            axes.xaxis.get_major_locator().set_params(integer=True)
            if column == "accuracy":
                style.percent_axis(axes.yaxis, decimals=1)
            else:
                axes.set_yscale("log")
                style.plain_logarithms(axes.yaxis)
                axes.tick_params(axis="y", which="both", labelsize=7)
        plots[0].legend(fontsize=7)


def costs(benchmarks: dict[str, pd.DataFrame], path: Path) -> None:
    """Running time and peak memory of each rule's jobs, from Snakemake's benchmark files."""
    names = sorted(benchmarks, key=lambda name: -float(benchmarks[name]["s"].sum()))
    with style.saved_figure(path, height=1.1 + 0.26 * max(len(names), 1)) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        jobs = sum(len(table) for table in benchmarks.values())
        left.set_title(style.with_n("Running time", jobs, "jobs"))
        right.set_title("Memory")
        seconds = [float(benchmarks[name]["s"].sum()) for name in names]
        memory = [float(benchmarks[name]["max_rss"].max()) / 1024 for name in names]
        for axes, values, form in ((left, seconds, clock), (right, memory, gibibytes)):
            axes.barh(range(len(names)), values, color=style.BLUE, height=0.6)
            for row, value in enumerate(values):
                axes.text(value, row, f" {form(value)}", va="center", fontsize=7)
            axes.grid(axis="y", visible=False)
            axes.set_xlim(0, 1.3 * max([value for value in values if np.isfinite(value)] + [1e-9]))
        labels = [f"{name} ({len(benchmarks[name])})" for name in names]
        left.set_yticks(range(len(names)), labels, fontsize=8)
        left.set_ylim(max(len(names), 1) - 0.5, -0.5)
        left.set_xlabel("seconds, all jobs of a rule together")
        right.set_xlabel("highest memory of a job (GiB)")


def clock(seconds: float) -> str:
    """``5 s``, ``2 min 5 s``, ``3 h 2 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def gibibytes(value: float) -> str:
    return f"{value:.1f} GiB" if np.isfinite(value) else "too short to measure"
