"""Comparisons for a terminal of 80 columns, from ``models.json`` or ``pairs.json``."""

from textwrap import wrap
from typing import Any

from pipeline.core.presentation.metric_names import MAIN, MAP_SHORT_NAMES, SHORT_NAMES, number


def as_text(summary: dict[str, Any]) -> str:
    """Either of the two; ``KeyError`` where it is neither."""
    lines = models(summary) if "models" in summary else pairs(summary)
    for warning in summary["judged"]["warnings"]:
        lines += ["", *wrap(f"Warning: {warning}.", 80)]
    return "\n".join(lines)


def models(summary: dict[str, Any]) -> list[str]:
    """Means of each model, of all in the attributes that they share, and the differences."""
    faces = summary["judged"]
    lines = [f"{faces['images']:,} test images of {faces['units']:,} {faces['over']}", ""]
    lines += line("mean in % (attributes)", heads(19), 23)
    for name, of_model in summary["models"].items():
        lines += line(f"{name} ({of_model['attributes']})", cells(of_model, 19), 23)
    common = summary.get("common", {"attributes": []})
    names = common["attributes"]
    if names and len({of_model["attributes"] for of_model in summary["models"].values()}) > 1:
        lines += ["", names[0] if len(names) == 1 else f"mean of the {len(names)} that all have"]
        for name, of_model in common["models"].items():
            lines += line(name, cells(of_model, 19), 23)
    lines += ["", "difference in the attributes that both have, points", *line("", heads(25), 5)]
    for pair in summary["differences"]:
        name = f"{pair['model']} − {pair['minus']} ({pair['attributes']})"
        lines += line(name, cells(pair, 25, signed=True), 5)
    return lines


def pairs(summary: dict[str, Any]) -> list[str]:
    """For each pair its sentence, the differences that it is about, and how well the maps fit."""
    lines: list[str] = []
    for pair in summary["pairs"]:
        lines += [*([""] if lines else []), *wrap(pair["says"], 80), ""]
        lines += [f"{pair['model']} − {pair['minus']}", "mean over attributes, points"]
        lines += line("", heads(25), 5)
        for share, values in pair["differences"].items():
            name = f"{100 * float(share):.4g} % of train ({values['attributes']})"
            lines += line(name, cells(values, 25, signed=True), 5)
        lines += map_lines(pair["maps"])
    return lines


def map_lines(shares: dict[str, dict[str, Any]]) -> list[str]:
    """By share and model how well maps agree with masks; energy of positives +, negatives −."""
    lines = line("maps", "".join(f"{name:>10}" for name in MAP_SHORT_NAMES.values()), 40)
    for share, models in shares.items():
        for name, maps in models.items():
            if maps:
                text = "".join(f"{number(maps.get(key)):>10}" for key in MAP_SHORT_NAMES)
                lines += line(f"{name}, {100 * float(share):.4g} % of train", text, 40)
    return lines if len(lines) > 1 else []


def line(name: str, text: str, width: int) -> list[str]:
    """One line, or two where the name is too long for its column."""
    return [f"{name:<{width}}{text}"] if len(name) < width else [name, " " * width + text]


def heads(width: int) -> str:
    return "".join(f"{SHORT_NAMES[name]:>{width}}" for name in MAIN)


def cells(values: dict[str, Any], width: int, signed: bool = False) -> str:
    """Each metric of ``MAIN`` in %, with its interval."""
    sign, to = ("+", " to ") if signed else ("", "–")
    shown = []
    for metric in MAIN:
        value, low, high = (values[metric][key] for key in ("value", "low", "high"))
        cell = "–" if value is None else f"{100 * value:{sign}.1f}"
        if low is not None:
            cell += f" ({100 * low:{sign}.1f}{to}{100 * high:{sign}.1f})"
        shown.append(f"{cell:>{width}}")
    return "".join(shown)
