"""The model card: what a network is, what it learnt from, how good it is, what it is not for."""

from typing import Any

import pandas as pd

from pipeline.core.model_settings import ModelSettings
from pipeline.core.presentation.metric_names import MAIN, MAP_NAMES, NAMES
from pipeline.core.trained_on import TrainedOn, faces_of, meaning

CELEBA = """\
- Some of CelebA's attributes (Attractive, Young, Chubby) are opinions; many of its labels are wrong
  (Wu et al. 2023, arXiv:2210.07356).
- CelebA shows celebrities, mostly posed and mostly light-skinned.
"""
LIMITS = """\
- On other people, other cameras and other poses than those trained on it is worse, by an amount
  that has not been measured.
- It knows nothing of a person: Male is a label of looks, not of gender. Do not decide about
  people by it, and do not identify or sort them.
- It expects faces in CelebA's aligned geometry; others give numbers without meaning.
"""


def model_card(
    settings: ModelSettings,
    trained_on: TrainedOn | None,
    digest: str,
    difference: float,
    run: dict[str, Any] | None,
    metrics: dict[str, Any] | None,
    table: pd.DataFrame | None,
    terms: str | None,
) -> str:
    """Markdown; what is not given is written as not known.

    ``trained_on`` is what the weights say.
    ``run``, ``metrics`` and ``table`` are what run.json, metrics.json and metrics.csv hold; the
    first line of ``terms`` names the data set.
    """
    parts = [
        f"# {settings.network}: {len(settings.attributes)} attributes of a face",
        _what(settings, digest, difference),
        f"## Data\n\n- Trained on {faces_of(trained_on)}.\n" + _data(run, metrics, terms),
        "## How good it is\n\n" + _numbers(metrics),
    ]
    if table is not None:
        parts.append(_table(table))
    of_celeba = trained_on is not None and trained_on.source in ("celeba", "huggingface")
    parts.append(f"## Limits\n\n- {meaning(trained_on)}\n{CELEBA * of_celeba}{LIMITS}")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _what(settings: ModelSettings, digest: str, difference: float) -> str:
    height, width = settings.input_size
    masks = settings.segmentation_weight > 0
    return f"""\
| | |
|---|---|
| file | `model.onnx`; equals torch to {difference:.0e} |
| input | `images` (batch, {height}, {width}, 3) uint8 RGB, aligned as CelebA's; any batch |
| output | `probabilities`, `logits` (batch, {len(settings.attributes)}){", `maps`" * masks} |
| trained with masks | {"yes" if masks else "no"} |
| weights | sha256 `{digest}` |
"""


def _data(run: dict[str, Any] | None, metrics: dict[str, Any] | None, terms: str | None) -> str:
    text = terms or "Not known: none were given."
    lines = ["- Seed and split: not known, no run.json was given."]
    if run:
        trained_on = run["inputs_sha256"]["faces"]
        images = ", ".join(f"{count:,} {split}" for split, count in run["images"].items())
        lines = [
            f"- Data set: {text.splitlines()[0]}",
            f"- Faces: {images}; sha256 `{trained_on}`.",
            f"- Split: {_split(run['settings'])}.",
            f"- Seed {run['seed']}; epoch {run['best_epoch']} of {run['epochs']} was kept, by the"
            " valid split.",
        ]
        if metrics and metrics["data"]["faces_sha256"] != trained_on:
            lines.append(f"- Evaluated on other faces: sha256 `{metrics['data']['faces_sha256']}`.")
    return "\n".join(lines) + "\n\nTerms of the data:\n\n" + _quoted(text)


def _split(settings: dict[str, Any]) -> str:
    """Where train and valid came from: the source's own split, or what the seed drew of it."""
    if settings["stratified_subset"]:
        part = f"{100 * settings['stratified_subset']:g} % of the data set's own train split"
        return f"{part}, cut 80/20 into train and valid by the seed"
    part = f", {100 * settings['share']:g} % of its train, drawn by the seed"
    return "the one that the data set came with" + part * (settings["share"] < 1)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _numbers(metrics: dict[str, Any] | None) -> str:
    if not metrics:
        return "Not known: no metrics.json was given."
    intervals = metrics["intervals"]
    lines = [
        f"On {metrics['images']:,} {metrics['split']} faces, mean of {metrics['attributes']}"
        f" attributes; 95 % intervals over {intervals['units']:,} {intervals['over']}.",
        "",
        "| metric | value | interval |",
        "|---|---|---|",
    ]
    for name in ("accuracy", "majority_accuracy", "balanced_accuracy", "f1", "auroc", "ece"):
        low_high = intervals.get(name)
        ends = f"{low_high[0]:.3f} to {low_high[1]:.3f}" if low_high else ""
        value = "–" if metrics[name] is None else f"{metrics[name]:.3f}"
        lines.append(f"| {NAMES[name]} | {value} | {ends} |")
    maps = (metrics["masks"] or {}).get("test")
    if maps and maps["attributes"]:
        name = f"{MAP_NAMES['iou']} of {maps['attributes']} maps"
        lines.append(f"| {name} | {maps['mean']['iou']:.3f} | |")
    for group in (group for group in metrics["groups"] if group["worst"]):
        kind = ", ".join(f"{k}={v}" for k, v in group["worst"]["group"].items())
        lines.append(
            f"\nWorst of the groups by {' and '.join(group['by'])}: {kind},"
            f" accuracy {group['worst']['accuracy']:.3f} on {group['worst']['images']:,} faces."
        )
    lines += [f"\n**Warning**: {warning}." for warning in metrics["warnings"]]
    return "\n".join(lines)


def _table(table: pd.DataFrame) -> str:
    heads = ["attribute", "positives", "threshold", *(NAMES[name] for name in MAIN)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in table.to_dict("records"):
        numbers = [row[name] for name in ("threshold", *MAIN)]
        cells = ["–" if pd.isna(number) else f"{number:.3f}" for number in numbers]
        mark = "" if row["counted"] else " \\*"
        lines.append(f"| {row['attribute']}{mark} | {row['positives']} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "\\* too few faces of a class: not in the means."])
