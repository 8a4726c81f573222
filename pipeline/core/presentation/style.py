"""One look for every figure: colours, sizes, and how a figure becomes a file.

Plots are SVG, pictures of faces PNG. Equal figures are equal bytes: no dates, no random ids.
The colours are those of Okabe and Ito (2008), which colour-blind people can tell apart; in print
without colour they differ in lightness. Maps of numbers use cividis (Nuñez et al., 2018).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter

from pipeline.core.files import replacing

# Darker than Okabe and Ito's own where thin lines or text would be pale on white.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY, INK = (
    "#0072B2", "#D55E00", "#00795A", "#A3002F", "#AA4488", "#56B4E9", "#6E6E6E", "#222222",
)  # fmt: skip
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, INK)
PALE = "#BFD9EA"  # of what has too few faces to be in a mean
HEAT = "cividis"  # from none (dark blue) to much (yellow)
WIDTH = 7.2  # inches: a text column in print, and the report's width on a laptop

SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # matplotlib brings it along
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=COLOURS),
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "text.parse_math": False,  # a $ in a file's name is a $
    "image.cmap": HEAT,
    "image.interpolation": "nearest",
    "svg.hashsalt": "attparse",  # else the ids in an SVG are random
}


@contextmanager
def saved_figure(path: Path, height: float, width: float = WIDTH) -> Iterator[Figure]:
    """Yield an empty figure of so many inches; write it to ``path`` once the block has ended.

    The file's ending decides: ``.svg``, or ``.png`` (150 dpi). The figure belongs to no window
    and to no pyplot, and lays its axes out by itself.
    """
    kind = path.suffix[1:]
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        with replacing(path) as partial:
            figure.savefig(partial, format=kind, dpi=150, metadata=metadata)


def set_title(figure: Figure, *lines: str) -> None:
    """The title of a figure, top left."""
    figure.suptitle("\n".join(lines), x=0.01, ha="left", weight="bold", fontsize=10)


def warning_lines(warnings: list[str]) -> list[str]:
    """Lines to be shown below a title."""
    return [line for text in warnings for line in wrap(f"Warning: {text}.", 90)]


def blank_grid(figure: Figure, rows: int, columns: int, **how: Any) -> np.ndarray:
    """(rows, columns) axes for images, of which nothing shows before there is one in them."""
    cells: np.ndarray = figure.subplots(rows, columns, squeeze=False, **how)
    for axes in cells.flat:
        axes.set_axis_off()
    return cells


def show_image(axes: Axes, image: Any, title: str = "") -> None:
    """Show an image, or a map of 0–1, in one of a ``blank_grid``; its title above it, small."""
    axes.imshow(image, vmin=0, vmax=1)
    if title:
        axes.set_title(title, fontsize=7, fontweight="normal", loc="center")


def readable(attribute: str) -> str:
    """CelebA's name of an attribute as people write it: ``Mouth_Slightly_Open`` → three words."""
    return attribute.replace("_", " ")


def with_n(what: str, n: int, unit: str = "faces") -> str:
    """A title with its n: ``with_n("Smiling", 1200)`` → ``Smiling (n = 1,200 faces)``."""
    return f"{what} (n = {n:,} {unit})"


def percent_axis(axis: Axis, decimals: int = 0) -> None:
    """Write the shares on an axis as percentages; the axis' label has the sign."""
    axis.set_major_formatter(PercentFormatter(1, decimals, symbol=""))


def plain_logarithms(axis: Axis) -> None:
    """Put numbers in full on a logarithmic axis, the more the fewer decades it spans.

    To be called when all is drawn.
    """
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    steps = (1,) if decades > 2 else (1, 2, 5) if decades > 0.8 else range(1, 10)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter("{x:,g}")
    axis.set_minor_locator(NullLocator())


def as_percent(value: float) -> str:
    """A number from 0 to 1 as people read it: ``0.934`` → ``93 %``."""
    return f"{100 * value:.0f}\u00a0%"
