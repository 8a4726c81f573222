"""Plots of how well a model does: from its predictions and metrics alone, without a network."""

from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pipeline.core.evaluation.metrics import (
    BINS,
    calibration,
    precision_recall_curve,
    probabilities,
)
from pipeline.core.evaluation.predictions import Predictions
from pipeline.core.presentation import style

MIN_POSITIVES = 10  # with fewer, a row of the confusion is left blank


def bars(table: pd.DataFrame, about: str, warnings: list[str], path: Path) -> None:
    """A bar an attribute with its interval, sorted: accuracy beside the majority rule's, and
    balanced accuracy beside chance. ``table`` is ``metrics.csv``; ``about`` the model and the
    ``warnings`` of ``metrics.json`` stand below the title.
    """
    order = table.sort_values(
        ["counted", "balanced_accuracy"], ascending=False, na_position="last", ignore_index=True
    )
    images = int(order["images"].max())
    lines = [*wrap(about, 100), *style.warning_lines(warnings)]
    title = style.with_n("How well each attribute is predicted", images, "test faces")
    with style.saved_figure(path, height=1.4 + 0.19 * len(order) + 0.18 * len(lines)) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        style.set_title(figure, title, *lines)
        _bars(left, order, "accuracy", start=0.0)
        rule = order["majority_accuracy"]
        left.plot(rule, order.index, "|", color=style.ORANGE, ms=8, mew=2, label="majority rule")
        _bars(right, order, "balanced_accuracy", start=0.5)
        right.axvline(0.5, color=style.ORANGE, lw=2, label="chance")
        left.set(xlabel="accuracy (%)", xlim=(0, 1.005), ylim=(len(order) - 0.4, -0.6))
        right.set(xlabel="balanced accuracy (%)", xlim=(min(0.5, _lowest(order)), 1.005))
        names = [
            f"{style.readable(name)} ({positives:,}{f' of {known:,}' if known < images else ''})"
            for name, positives, known in zip(
                order["attribute"], order["positives"], order["images"], strict=True
            )
        ]
        left.set_yticks(order.index, names, fontsize=7)
        for axes in (left, right):
            axes.grid(axis="y", visible=False)
            style.percent_axis(axes.xaxis)
        figure.legend(
            loc="outside lower center",
            ncols=4,
            fontsize=7,
            title="in brackets: positive faces. Pale: too few of a class. Line: 95 % interval",
            title_fontsize=7,
        )


def _bars(axes: Axes, table: pd.DataFrame, metric: str, start: float) -> None:
    colours = np.where(table["counted"], style.BLUE, style.PALE)
    axes.barh(table.index, table[metric] - start, left=start, color=colours, height=0.7)
    low, high = table[f"{metric}_low"], table[f"{metric}_high"]
    axes.hlines(table.index, low, high, color=style.INK, lw=1)


def _lowest(table: pd.DataFrame) -> float:
    """The left end of the balanced accuracies, on a tenth."""
    lowest = np.nanmin(table[["balanced_accuracy", "balanced_accuracy_low"]].to_numpy(), initial=1)
    return float(np.floor(lowest * 10) / 10)


def reliability(test: Predictions, included: np.ndarray, path: Path) -> None:
    """Predicted probability against the share of positives, of all ``included`` (A,) attributes.

    Their predictions are pooled, so that errors of single attributes may cancel.
    """
    labels = test.model_labels[:, included].ravel()
    bins = calibration(labels, probabilities(test.logits[:, included]).ravel())
    with style.saved_figure(path, height=4.4, width=5.2) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot([0, 1], [0, 1], color=style.GREY, ls="--", lw=1, label="perfectly calibrated")
        above.plot(bins.predicted, bins.observed, "o-", color=style.BLUE, ms=4, label="model")
        above.set(ylabel="share of positives (%)", ylim=(-0.02, 1.02), xlim=(0, 1))
        above.set_title(style.with_n("Reliability", int(bins.count.sum()), "predictions"))
        above.legend(title=f"pooled calibration error {100 * bins.error:.1f} %")
        centres = (np.arange(BINS) + 0.5) / BINS
        below.bar(centres, bins.count, width=0.9 / BINS, color=style.SKY)
        below.set(xlabel="predicted probability (%)", ylabel="predictions")
        if bins.count.sum():
            below.set_yscale("log")
            style.plain_logarithms(below.yaxis)
        style.percent_axis(above.yaxis)
        style.percent_axis(below.xaxis)


def precision_recall(test: Predictions, table: pd.DataFrame, path: Path) -> None:
    """Precision-recall curves of the three best and three worst attributes by AUROC."""
    ranked = table[table["counted"] & table["auroc"].notna()].sort_values("auroc", kind="stable")
    best, worst = ranked.iloc[::-1].head(3), ranked.head(min(3, max(len(ranked) - 3, 0)))
    with style.saved_figure(path, height=3.6) as figure:
        axes = figure.subplots(1, 2, sharey=True)
        for side, chosen, what in zip(axes, (best, worst), ("Best", "Worst"), strict=True):
            side.set_title(style.with_n(f"{what} by AUROC", len(test.names), "test faces"))
            for colour, row in zip(style.COLOURS, chosen.to_dict("records"), strict=False):
                k = test.attributes.index(row["attribute"])
                labels, logits = test.model_labels[:, k], test.logits[:, k]
                precision, recall = precision_recall_curve(labels, logits)
                name = f"{style.readable(row['attribute'])}, AP {row['average_precision']:.2f}"
                side.plot(recall, precision, color=colour, drawstyle="steps-post", label=name)
                share = row["positives"] / row["images"]
                side.axhline(share, color=colour, lw=1, ls=":")
            side.set(xlabel="recall (%)", xlim=(0, 1), ylim=(0, 1.02))
            style.percent_axis(side.xaxis)
            style.percent_axis(side.yaxis)
            if len(chosen):
                side.legend(fontsize=7, title="dotted: share of positives", title_fontsize=7)
            else:
                side.text(0.5, 0.5, "no further attribute", ha="center", color=style.GREY)
        axes[0].set_ylabel("precision (%)")


def confusion(test: Predictions, path: Path) -> None:
    """How much more often an attribute is predicted than labelled, on faces with a given label."""
    excess = excesses(test)
    rows = [style.readable(name) for name in test.label_names]
    columns = [style.readable(name) for name in test.attributes]
    wide = style.WIDTH if len(columns) > 12 else 3.9 + 0.16 * len(columns)
    with style.saved_figure(path, height=max(3.2, 2.4 + 0.13 * len(rows)), width=wide) as figure:
        axes = figure.subplots()
        image = axes.imshow(excess, cmap="PuOr_r", vmin=-0.5, vmax=0.5, aspect="auto")
        axes.set_title(style.with_n("Confusion", len(test.names), "test faces"))
        axes.set_yticks(range(len(rows)), rows, fontsize=6)
        axes.set_xticks(range(len(columns)), columns, fontsize=6, rotation=90)
        axes.set(ylabel="on faces labelled …", xlabel="… is predicted too often or too rarely")
        axes.grid(visible=False)
        axes.set_facecolor("#E4E4E4")
        bar = figure.colorbar(image, ax=axes, shrink=0.5, extend="both")
        style.percent_axis(bar.ax.yaxis)
        bar.set_label("predicted − labelled (points)")


def excesses(test: Predictions) -> np.ndarray:
    """(L, A): on test faces labelled i, the share predicted j minus the share labelled j.

    NaN where fewer than ``MIN_POSITIVES`` faces are labelled i and have a known label j.
    """
    labels, positive = test.model_labels, (test.labels == 1).T.astype(float)
    known = (labels >= 0).astype(float)
    faces = positive @ known
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = positive @ (known * (test.predicted.astype(float) - labels)) / faces
    return np.where(faces >= MIN_POSITIVES, mean, np.nan)


def groups(summary: dict[str, Any], path: Path) -> None:
    """Accuracy by group with the worst marked, and predictions that contradict each other.

    ``summary`` is ``metrics.json``.
    """
    shown = [by for by in summary["groups"] if any(g["accuracy"] is not None for g in by["groups"])]
    impossible = summary["impossible"]["rules"]
    count = sum(len(group["groups"]) for group in shown)
    heights = [max(count, 1), max(len(impossible), 1)]
    with style.saved_figure(path, height=1.8 + 0.24 * sum(heights)) as figure:
        above, below = figure.subplots(2, 1, height_ratios=heights)
        _groups(above, shown, summary["images"])
        _impossible(below, impossible, summary["images"])


def _groups(axes: Axes, shown: list[dict[str, Any]], images: int) -> None:
    axes.set_title(style.with_n("Accuracy by group", images, "test faces"))
    groups = [group for by in shown for group in by["groups"]]
    worst = [by["worst"] for by in shown]
    names, colours = [], []
    for group in groups:
        kinds = [("" if yes else "not ") + style.readable(k) for k, yes in group["group"].items()]
        names.append(f"{', '.join(kinds)} ({group['images']:,})")
        own = style.BLUE if group["counted"] else style.PALE
        colours.append(style.RED if group in worst else own)
    if not names:
        _note(axes, "this model predicts no attribute that defines groups")
    rows = range(len(names))
    values = np.array([group["accuracy"] for group in groups], float)  # NaN where None
    axes.barh(rows, values, color=colours, height=0.7)
    intervals = [group.get("accuracy_interval") for group in groups]
    ends = {row: interval for row, interval in enumerate(intervals) if interval}
    axes.hlines(list(ends), *np.array([*ends.values()]).reshape(-1, 2).T, color=style.GREY, lw=1.2)
    axes.set_yticks(rows, names, fontsize=7)
    axes.set(
        xlim=(0, 1),
        xlabel="accuracy of the group's first attribute (%), with its 95 % interval\n"
        "dark red: the worst group; pale: too few faces",
    )
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    style.percent_axis(axes.xaxis)


def _impossible(axes: Axes, rules: dict[str, dict[str, float]], images: int) -> None:
    axes.set_title(style.with_n("Contradictions", images, "test faces"))
    names = [style.readable(name) for name in rules]
    for shift, kind, colour in ((-0.2, "predicted", style.BLUE), (0.2, "labelled", style.SKY)):
        values = np.array([rule[kind] for rule in rules.values()], float)  # NaN where None
        axes.barh(np.arange(len(names)) + shift, values, height=0.38, color=colour, label=kind)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    highest = max((share or 0 for rule in rules.values() for share in rule.values()), default=0)
    axes.set_xlim(0, max(0.01, 1.05 * highest))  # also where there is no contradiction
    axes.set_xlabel("share of faces (%)")
    style.percent_axis(axes.xaxis, decimals=1)
    if names:
        axes.legend(fontsize=7)
    else:
        _note(axes, "this model predicts no two attributes that exclude each other")


def _note(axes: Axes, text: str) -> None:
    """What an empty plot says in place of bars."""
    axes.text(0.5, 0.5, text, ha="center", transform=axes.transAxes, color=style.GREY)
