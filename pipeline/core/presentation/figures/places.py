"""Pictures of faces with what a network said of them, and where in the face it saw it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from pipeline.core.presentation.style import (
    GREEN,
    GREY,
    HEAT,
    RED,
    counted,
    drawn,
    picture,
    readable,
    share,
)

KINDS = ("true positive", "false positive", "false negative", "true negative")


def kind_of(label: bool, said: bool) -> str:
    """What a prediction is: one of ``KINDS``."""
    return f"{'true' if label == said else 'false'} {'positive' if said else 'negative'}"


def surest(labels: np.ndarray, chances: np.ndarray, threshold: float) -> dict[str, np.ndarray]:
    """For each of ``KINDS`` the faces of that kind, the surest first: (N,) bool, (N,) in 0–1.

    The surest mistakes teach most: they are where label and network disagree outright.
    """
    said = chances > threshold
    order = np.argsort(-abs(chances - threshold), kind="stable")
    kinds = np.array([kind_of(*pair) for pair in zip(labels, said, strict=True)], dtype=object)
    return {kind: order[kinds[order] == kind] for kind in KINDS}


def overlaid(image: np.ndarray, place: np.ndarray | None) -> np.ndarray:
    """An image (H, W, 3) uint8 in grey under a map (h, w) of 0–1: the more, the yellower."""
    if place is None:
        return image
    height, width = image.shape[:2]
    spread = cv2.resize(place.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    spread = np.clip(spread, 0, 1)
    heat = mpl.colormaps[HEAT](spread)[..., :3] * 255
    strength = 0.3 + 0.4 * spread[..., None]
    grey = image.mean(axis=2, keepdims=True)
    return (grey * (1 - strength) + heat * strength).round().astype(np.uint8)


def pairs(
    left: Sequence[np.ndarray | None],
    right: Sequence[np.ndarray | None],
    names: Sequence[str],
    title: str,
    path: Path,
) -> None:
    """Two maps (h, w) of 0–1 for each attribute side by side, all with one scale.

    A map is None where no face gave one. ``names`` say the attribute and its n.
    """
    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    with drawn(path, height=1.3 + 1.15 * rows, width=max(1.44 * columns, 5.5)) as figure:
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=10)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, name, *pair in zip(grid.flat, names, left, right, strict=False):
            picture(axes, side_by_side(*pair), name, vmin=0, vmax=1, cmap=HEAT)
        scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), HEAT)
        bar = figure.colorbar(
            scale, ax=list(grid.flat), location="bottom", fraction=0.02, pad=0.01, aspect=60
        )
        bar.set_label("map value: 0 not here, 1 here; white: no such face", fontsize=7)
        bar.ax.tick_params(labelsize=7)


def side_by_side(left: np.ndarray | None, right: np.ndarray | None) -> np.ndarray:
    """Two maps as one picture of the second's height, or (96, 76); NaN is left white."""
    shape = next((place.shape for place in (right, left) if place is not None), (96, 76))
    blank = np.full(shape, np.nan)
    halves = [
        blank if place is None else cv2.resize(place.astype(np.float64), shape[::-1])
        for place in (left, right)
    ]
    return np.hstack([halves[0], blank[:, : shape[1] // 12], halves[1]])


Cell = tuple[np.ndarray, str] | None


def examples(rows: Sequence[tuple[str, Sequence[Cell]]], n: int, path: Path) -> None:
    """A row an attribute: (name, (picture, caption) or None: two for each of ``KINDS``)."""
    with drawn(path, height=0.8 + 1.2 * max(len(rows), 1)) as figure:
        figure.suptitle(
            counted("The surest right and wrong answers", n, "test faces") + "\n",
            x=0.01,
            ha="left",
            weight="bold",
            fontsize=10,
        )
        if not rows:
            axes = figure.subplots()
            axes.set_axis_off()
            label(axes, 0, 0.5, "none: no attribute is there on some faces and not on others")
            return
        grid = figure.subplots(
            len(rows),
            1 + 2 * len(KINDS),
            squeeze=False,
            width_ratios=[1.15] + [1.0] * 2 * len(KINDS),
        )
        for axes in grid.flat:
            axes.set_axis_off()
        shape = next(cell[0].shape for _, cells in rows for cell in cells if cell)
        blank = np.full(shape, 255, np.uint8)  # keeps the place of a face that there is not
        for column, kind in enumerate(KINDS):
            label(grid[0, 1 + 2 * column], 0, 1.3, kind, weight="bold")
        for line, (name, cells) in zip(grid, rows, strict=True):
            label(line[0], 1, 0.5, name, ha="right", va="center")
            for axes, cell, column in zip(line[1:], cells, range(len(cells)), strict=True):
                picture(axes, *(cell or (blank, "")))
                if not cell and column % 2 == 0:
                    label(axes, 0.5, 0.5, "none", ha="center", color=GREY)


def label(axes: Axes, x: float, y: float, words: str, **how: Any) -> None:
    """Small text at a place in an empty plot that may reach beyond it, and moves nothing."""
    text = axes.text(x, y, words, transform=axes.transAxes, fontsize=7.5, **how)
    text.set_in_layout(False)


def panel(
    image: np.ndarray,
    attributes: Sequence[str],
    labels: np.ndarray,
    chances: np.ndarray,
    thresholds: np.ndarray,
    masks: np.ndarray,
    maps: np.ndarray,
    name: str,
    path: Path,
) -> None:
    """AttParseNet's panel: a line an attribute with image, label, prediction, mask and map.

    ``labels`` (A,) bool, ``chances`` and ``thresholds`` (A,), ``masks`` (A, h, w) bool, ``maps``
    (A, h, w) of 0–1.
    """
    blocks = 2 if len(attributes) > 20 else 1
    rows = -(-len(attributes) // blocks)
    with drawn(path, height=0.8 + 0.72 * rows, width=3.9 * blocks) as figure:
        figure.suptitle(
            f"One face, {len(attributes)} attributes: {name}",
            x=0.01,
            ha="left",
            weight="bold",
            fontsize=10,
        )
        grid = figure.subplots(
            rows, 4 * blocks, squeeze=False, width_ratios=(2.2, 1, 1, 1) * blocks
        )
        for axes in grid.flat:
            axes.set_axis_off()
        for k, attribute in enumerate(attributes):
            block, row = divmod(k, rows)
            words, *pictures = grid[row, 4 * block : 4 * block + 4]
            said = chances[k] > thresholds[k]
            answer = f"label {_yes(labels[k])}, predicted {_yes(said)} ({share(chances[k])})"
            words.text(1, 0.62, readable(attribute), ha="right", fontsize=7.5, weight="bold")
            words.text(
                1, 0.28, answer, ha="right", fontsize=6.5, color=GREEN if said == labels[k] else RED
            )
            heads = ("image", "target mask", "predicted map") if row == 0 else ("", "", "")
            shown = (image, masks[k].astype(float), maps[k])
            for axes, what, head in zip(pictures, shown, heads, strict=True):
                picture(axes, what, head, vmin=0, vmax=1)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def grid(
    images: Sequence[np.ndarray],
    attributes: Sequence[str],
    labels: np.ndarray,
    said: np.ndarray,
    chances: np.ndarray,
    path: Path,
) -> None:
    """Eight faces with truth and prediction. ``labels``, ``said``, ``chances``: (8, A).

    A model of up to three attributes answers in full; of a model of more only the mistakes are
    written out.
    """
    rows = -(-len(images) // 4)
    few = len(attributes) <= 3
    title = "Test faces: truth and prediction" + ("" if few else " (− missed, + wrongly found)")
    with drawn(path, height=0.5 + (2.75 if few else 3.1) * rows) as figure:
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=10)
        cells = figure.subplots(rows, 4, squeeze=False)
        for axes in cells.flat:
            axes.set_axis_off()
        for i, (axes, image) in enumerate(zip(cells.flat, images, strict=False)):
            picture(axes, image)
            right = bool((labels[i] == said[i]).all())
            axes.set_title(
                answers(attributes, labels[i], said[i], chances[i]),
                fontsize=7,
                loc="left",
                fontweight="normal",
                color=GREEN if right else RED,
            )


def answers(
    attributes: Sequence[str], labels: np.ndarray, said: np.ndarray, chances: np.ndarray
) -> str:
    """What was said of one face, in a few short lines."""
    if len(attributes) <= 3:
        return "\n".join(
            f"{readable(name)}: {_yes(label)}\npredicted: {_yes(answer)} ({share(chance)})"
            for name, label, answer, chance in zip(attributes, labels, said, chances, strict=True)
        )
    missed = [readable(attributes[k]) for k in np.flatnonzero(labels & ~said).tolist()]
    wrong = [readable(attributes[k]) for k in np.flatnonzero(~labels & said).tolist()]
    lines = [f"{int((labels == said).sum())} of {len(attributes)} right"]
    lines += [f"− {name}" for name in missed[:3]] + [f"+ {name}" for name in wrong[:3]]
    more = len(missed[3:]) + len(wrong[3:])
    return "\n".join(lines + ([f"and {more} more"] if more else []))


def contact_sheet(
    panels: Sequence[tuple[np.ndarray, str]],
    columns: int,
    title: str,
    path: Path,
    scale: str = "",
    panel_width: float = 1.3,
) -> None:
    """Pictures in rows, each with its name; with ``scale`` they are maps of 0–1, which it names.

    ``panel_width`` in inches.
    """
    rows = -(-len(panels) // columns)
    how: dict[str, Any] = {"vmin": 0, "vmax": 1, "cmap": HEAT} if scale else {}
    with drawn(path, height=0.5 + 1.35 * panel_width * rows, width=panel_width * columns) as figure:
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=10)
        for axes in figure.subplots(rows, columns, squeeze=False).flat:
            axes.set_axis_off()
        for axes, (image, name) in zip(figure.axes, panels, strict=False):
            picture(axes, image, name, **how)
        if scale:
            bar = figure.colorbar(figure.axes[0].images[0], ax=figure.axes, fraction=0.02)
            bar.set_label(scale)
