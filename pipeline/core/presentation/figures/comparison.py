"""Plots of models side by side, from the tables of ``evaluation.comparison``."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.evaluation import comparison
from pipeline.core.evaluation.comparison import MEAN
from pipeline.core.presentation import style
from pipeline.core.presentation.metric_names import MAIN, NAMES


def models(panels: dict[str, pd.DataFrame], faces: dict[str, Any], path: Path) -> None:
    """Each model's means with intervals; a row of axes for each of ``panels``.

    A panel's key says what its means are over; its table has ``model``, ``metric``,
    ``value``, ``low``, ``high``, a row a model and metric. ``faces`` is ``judged`` of
    ``models.json``.
    """
    rows = [table["model"].nunique() for table in panels.values()]
    height = 1.0 + 0.25 * len(faces["warnings"]) + sum(0.28 * count + 0.75 for count in rows)
    with style.saved_figure(path, height) as figure:
        _title(figure, "Models side by side", faces)
        grid = figure.subplots(
            len(panels), 3, sharey="row", squeeze=False, height_ratios=[n + 1.5 for n in rows]
        )
        for line, (title, table) in zip(grid, panels.items(), strict=True):
            for axes, metric in zip(line, MAIN, strict=True):
                chosen = table[table["metric"] == metric]
                _intervals(axes, chosen["model"].tolist(), chosen)
                axes.set_xlabel(NAMES[metric])
            line[0].set_title(title)


def pairs(
    differences: dict[tuple[str, str], dict[float, pd.DataFrame]],
    own_shares: dict[str, float],
    faces: dict[str, Any],
    path: Path,
) -> None:
    """Each pair's differences, in points: the means at each share, and each attribute at the last.

    ``differences`` are tables of ``comparison.summarise`` by pair and share of train;
    ``own_shares`` of each model as for ``comparison.learned_from``; ``faces`` is ``judged`` of
    ``pairs.json``.
    """

    def learned_from(pair: tuple[str, str], share: float) -> str:
        return comparison.learned_from(share, (own_shares[pair[0]], own_shares[pair[1]]))

    names, rows = [], []
    for pair, tables in differences.items():
        for share, table in sorted(tables.items()):
            names.append(f"{pair[0]} −\n{pair[1]},\n{learned_from(pair, share)}")
            rows.append(table[table["attribute"] == MEAN])
    means = pd.concat(rows)
    gains = {pair: _gains(tables[max(tables)]) for pair, tables in differences.items()}
    heights = [1 + 0.55 * len(names), 1 + 0.16 * max(map(len, gains.values()))]
    with style.saved_figure(path, height=sum(heights)) as figure:
        _title(figure, "What the first model of a pair adds to the second", faces)
        halves: Any = figure.subfigures(2, 1, height_ratios=heights)
        above = halves[0].subplots(1, 3, sharex=True, sharey=True)
        for axes, metric in zip(above, MAIN, strict=True):
            _differences(axes, names, means[means["metric"] == metric])
            axes.set_xlabel(f"mean {NAMES[metric]} (points)")
        below = np.atleast_1d(halves[1].subplots(1, len(gains), sharex=True))
        for axes, (pair, table) in zip(below, gains.items(), strict=True):
            _differences(axes, [style.readable(name) for name in table["attribute"]], table)
            where = learned_from(pair, max(differences[pair]))
            axes.set_title(f"{pair[0]} −\n{pair[1]}, {where}", fontsize=8)
            axes.set_xlabel("AUROC (points)")


def _title(figure: Figure, what: str, faces: dict[str, Any]) -> None:
    """The title with its n, and the warnings below it."""
    title = style.with_n(what, faces["images"], "test faces")
    style.set_title(figure, title, *style.warning_lines(faces["warnings"]))


def _gains(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of AUROC of the attributes in the mean, the greatest gain first."""
    kept = table[(table["metric"] == "auroc") & table["counted"] & (table["attribute"] != MEAN)]
    return kept.sort_values("value", ascending=False)


def _differences(axes: Axes, names: list[str], table: pd.DataFrame) -> None:
    """The intervals in points, small, with a line at no difference."""
    _intervals(axes, names, 100 * table[["value", "low", "high"]], size=7)
    axes.axvline(0, color=style.INK, lw=0.8)


def _intervals(axes: Axes, names: list[str], table: pd.DataFrame, size: float = 9) -> None:
    """A dot and its interval for each name, from the top."""
    places = np.arange(len(names))
    axes.hlines(places, table["low"], table["high"], color=style.BLUE, lw=1.6)
    axes.plot(table["value"], places, "o", color=style.BLUE, ms=4)
    axes.set_yticks(places, names, fontsize=size)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
