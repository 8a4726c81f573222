"""Pictures of faces with their labels, a network's predictions, and where it saw an attribute."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from pipeline.core.presentation import style

KINDS = ("true positive", "false positive", "false negative", "true negative")


def most_confident(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float
) -> dict[str, np.ndarray]:
    """For each of ``KINDS`` the faces of that kind, the most confident predictions first.

    ``labels`` (N,), ``probabilities`` (N,) of one attribute; a face whose label is unknown is of no
    kind. The most confident mistakes are where label and network disagree outright.
    """
    predicted = probabilities > threshold
    order = np.argsort(-abs(probabilities - threshold), kind="stable")
    positive = labels == 1
    kind = np.where(predicted, np.where(positive, 0, 1), np.where(positive, 2, 3))
    kind = np.where(labels >= 0, kind, -1)[order]
    return {name: order[kind == number] for number, name in enumerate(KINDS)}


def overlay(image: np.ndarray, heat_map: np.ndarray | None) -> np.ndarray:
    """An image (H, W, 3) uint8 in grey under a map (h, w) of 0–1: yellow where it is high."""
    if heat_map is None:
        return image
    height, width = image.shape[:2]
    values = np.clip(cv2.resize(heat_map.astype(np.float32), (width, height)), 0, 1)
    heat = mpl.colormaps[style.HEAT](values)[..., :3] * 255
    opacity = 0.3 + 0.4 * values[..., None]
    grey = image.mean(axis=2, keepdims=True)
    return (grey * (1 - opacity) + heat * opacity).round().astype(np.uint8)


def map_pairs(
    left: Sequence[np.ndarray | None],
    right: Sequence[np.ndarray | None],
    names: Sequence[str],
    title: str,
    path: Path,
) -> None:
    """Two maps (h, w) of 0–1 for each attribute side by side, all with one scale.

    A map is None where no face gave one. ``names`` have the attribute and its n.
    """
    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    height, width = 1.3 + 1.15 * rows, max(1.44 * columns, 5.5)
    with style.saved_figure(path, height, width) as figure:
        style.set_title(figure, title)
        cells = style.blank_grid(figure, rows, columns)
        for axes, name, *pair in zip(cells.flat, names, left, right, strict=False):
            style.show_image(axes, side_by_side(*pair), name)
        scale = cells[0, 0].images[0]
        bar = figure.colorbar(
            scale, ax=cells, location="bottom", fraction=0.02, pad=0.01, aspect=60
        )
        bar.set_label("map value: 0 not here, 1 here; white: no such face", fontsize=7)
        bar.ax.tick_params(labelsize=7)


def side_by_side(left: np.ndarray | None, right: np.ndarray | None) -> np.ndarray:
    """Two maps as one image of the second's height, or (96, 76); NaN is left white."""
    shape = next((one.shape for one in (right, left) if one is not None), (96, 76))
    blank = np.full(shape, np.nan)
    halves = [
        blank if one is None else cv2.resize(one.astype(np.float64), shape[::-1])
        for one in (left, right)
    ]
    return np.hstack([halves[0], blank[:, : shape[1] // 12], halves[1]])


Cell = tuple[np.ndarray, str] | None


def examples(rows: Sequence[tuple[str, Sequence[Cell]]], n: int, path: Path) -> None:
    """A row an attribute: (name, (image, caption) or None: two for each of ``KINDS``)."""
    with style.saved_figure(path, height=0.8 + 1.2 * max(len(rows), 1)) as figure:
        title = "The most confident predictions, correct and wrong"
        style.set_title(figure, style.with_n(title, n, "test faces"), "")
        if not rows:
            axes = figure.subplots()
            axes.set_axis_off()
            _label(axes, 0, 0.5, "none: no attribute is there on some faces and not on others")
            return
        widths = [1.15] + [1.0] * 2 * len(KINDS)
        cells = style.blank_grid(figure, len(rows), len(widths), width_ratios=widths)
        shape = next(cell[0].shape for _, of_row in rows for cell in of_row if cell)
        blank = np.full(shape, 255, np.uint8)  # takes the space of a missing face
        for column, kind in enumerate(KINDS):
            _label(cells[0, 1 + 2 * column], 0, 1.3, kind, weight="bold")
        for line, (name, of_row) in zip(cells, rows, strict=True):
            _label(line[0], 1, 0.5, name, ha="right", va="center")
            for column, (axes, cell) in enumerate(zip(line[1:], of_row, strict=True)):
                style.show_image(axes, *(cell or (blank, "")))
                if not cell and column % 2 == 0:
                    _label(axes, 0.5, 0.5, "none", ha="center", color=style.GREY)


def _label(axes: Axes, x: float, y: float, text: str, **how: Any) -> None:
    """Small text in an empty plot that may reach beyond it without changing the layout."""
    axes.text(x, y, text, transform=axes.transAxes, fontsize=7.5, **how).set_in_layout(False)


class PanelRow(NamedTuple):
    """An attribute of one face: ``mask`` (H, W) bool, ``heat_map`` (h, w) of 0–1."""

    attribute: str
    label: int
    predicted: bool
    probability: float
    mask: np.ndarray
    heat_map: np.ndarray


def panel(image: np.ndarray, attributes: Sequence[PanelRow], name: str, path: Path) -> None:
    """One face as AttParseNet's authors show it: a line an attribute, with mask and map."""
    blocks = 2 if len(attributes) > 20 else 1
    rows = -(-len(attributes) // blocks)
    with style.saved_figure(path, height=0.8 + 0.72 * rows, width=3.9 * blocks) as figure:
        style.set_title(figure, f"One face, {len(attributes)} attributes: {name}")
        cells = style.blank_grid(figure, rows, 4 * blocks, width_ratios=(2.2, 1, 1, 1) * blocks)
        for k, one in enumerate(attributes):
            block, row = divmod(k, rows)
            words, *images = cells[row, 4 * block : 4 * block + 4]
            attribute = style.readable(one.attribute)
            words.text(1, 0.62, attribute, ha="right", fontsize=7.5, weight="bold")
            predicted = f"{_yes(one.predicted)} ({style.as_percent(one.probability)})"
            labelled = f"label {_yes(one.label)}, predicted {predicted}"
            colour = _colour(one.label < 0 or one.predicted == one.label)
            words.text(1, 0.28, labelled, ha="right", fontsize=6.5, color=colour)
            heads = ("image", "target mask", "predicted map") if row == 0 else ("", "", "")
            shown = (image, one.mask.astype(float), one.heat_map)
            for axes, what, head in zip(images, shown, heads, strict=True):
                style.show_image(axes, what, head)


def _yes(value: int) -> str:
    return "unknown" if value < 0 else "yes" if value else "no"


def _colour(correct: bool) -> str:
    return style.GREEN if correct else style.RED


def grid(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    correct: np.ndarray,
    title: str,
    path: Path,
) -> None:
    """Faces in rows of four; ``correct`` (N,) bool says whether all about a face is."""
    rows = -(-len(images) // 4)
    lines = 1 + max(caption.count("\n") for caption in captions)
    with style.saved_figure(path, height=0.5 + (2.2 + 0.12 * lines) * rows) as figure:
        style.set_title(figure, title)
        cells = style.blank_grid(figure, rows, 4)
        for axes, image, caption, good in zip(cells.flat, images, captions, correct, strict=False):
            style.show_image(axes, image)
            colour = _colour(good)
            axes.set_title(caption, fontsize=7, loc="left", fontweight="normal", color=colour)


def caption(
    attributes: Sequence[str], labels: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray
) -> str:
    """What was predicted of one face, (A,) each, in a few short lines.

    Of up to three attributes all is written; of more only the mistakes, − missed, + false.
    """
    if len(attributes) <= 3:
        columns = (map(style.readable, attributes), labels, predicted, probabilities)
        return "\n".join(
            f"{name}: {_yes(label)}\npredicted: {_yes(positive)} ({style.as_percent(probability)})"
            for name, label, positive, probability in zip(*columns, strict=True)
        )
    names = np.array([style.readable(name) for name in attributes])
    missed = [f"− {name}" for name in names[(labels == 1) & ~predicted]]
    false = [f"+ {name}" for name in names[(labels == 0) & predicted]]
    lines = [f"{int((labels == predicted).sum())} of {int((labels >= 0).sum())} correct"]
    lines += missed[:3] + false[:3]
    more = len(missed[3:]) + len(false[3:])
    return "\n".join(lines + ([f"and {more} more"] if more else []))
