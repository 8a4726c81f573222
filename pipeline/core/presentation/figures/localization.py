"""Test faces with what a trained network predicts, and where in the face it sees it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.evaluation.evaluated import EvaluatedFaces
from pipeline.core.evaluation.inference import Inference, heat_maps
from pipeline.core.evaluation.metrics import measure
from pipeline.core.masks.regions import attribute_masks, codes
from pipeline.core.masks.store import Masks, open_masks_of
from pipeline.core.presentation import style
from pipeline.core.presentation.figures import faces

SEED = 1  # of the random choice of faces


def draw_grid(test: EvaluatedFaces, path: Path) -> None:
    """Eight random faces with labels and predictions."""
    count = min(8, len(test.rows))
    picked = np.sort(np.random.default_rng(SEED).choice(len(test.rows), count, replace=False))
    attributes = test.predictions.attributes
    values = test.labels[picked], test.predicted[picked], test.probabilities[picked]
    captions = [faces.caption(attributes, *face) for face in zip(*values, strict=True)]
    correct = ((values[0] == values[1]) | (values[0] < 0)).all(axis=1)
    notes = " (− missed, + false)" if len(attributes) > 3 else ""
    title = f"Test faces: labels and predictions{notes}"
    faces.grid(list(test.images(picked)), captions, correct, title, path)


def draw_examples(inference: Inference, test: EvaluatedFaces, path: Path) -> None:
    """The most confident predictions of eight attributes: the hardest and the easiest."""
    rows = []
    for k in hardest_and_easiest(test):
        by_kind = faces.most_confident(
            test.labels[:, k], test.probabilities[:, k], float(test.predictions.thresholds[k])
        )
        cells: list[faces.Cell] = []
        for of_kind in by_kind.values():
            cells += example_cells(inference, test, k, of_kind[:2])
        correct = int((test.labels[:, k] == test.predicted[:, k]).sum())
        words = style.readable(test.predictions.attributes[k]).replace(" ", "\n")
        rows.append((f"{words}\n({correct:,} correct)", cells))
    faces.examples(rows, len(test.rows), path)


def hardest_and_easiest(test: EvaluatedFaces) -> list[int]:
    """Attributes by balanced accuracy: the four lowest and highest; no more than there are."""
    values = measure(test.labels, test.predictions.logits, test.predictions.thresholds)
    balance = values["balanced_accuracy"]
    order = [int(k) for k in np.argsort(balance, kind="stable") if np.isfinite(balance[k])]
    return order if len(order) <= 8 else [*order[:4], *order[-4:]]


def example_cells(
    inference: Inference, test: EvaluatedFaces, k: int, picked: np.ndarray
) -> list[faces.Cell]:
    """Up to two faces with where attribute ``k`` was seen, and its probability; filled by None."""
    cells: list[faces.Cell] = []
    if len(picked):
        images = test.images(picked)
        maps = heat_maps(inference.predict(images, attention=True))
        for i, face in enumerate(picked):
            heat_map = None if maps is None else maps[i, k]
            text = style.as_percent(test.probabilities[face, k])
            cells.append((faces.overlay(images[i], heat_map), text))
    return cells + [None] * (2 - len(cells))


def draw_maps(
    inference: Inference, test: EvaluatedFaces, store: Path, images: int, out: Path
) -> None:
    """Mean maps beside mean masks, over positives and over negatives, and one face's panel."""
    masks = open_masks_of(store, test.faces)
    usable = np.flatnonzero(masks.found[test.rows])
    if not len(usable):
        raise UserError("none of the test faces has landmarks, so none has masks to show.")
    if inference.predict(test.images(usable[:1])).maps is None:
        raise UserError(
            "this network makes no maps: give the weights of an AttParseNet, or of a model that"
            " was trained with masks."
        )
    picked = usable[np.unique(np.linspace(0, len(usable) - 1, images).round().astype(int))]
    means = mean_maps(inference, test, masks, picked)
    draw_means(test.predictions.attributes, means, len(picked), out)
    draw_panel(inference, test, masks, usable, out / "panel.png")


class Means(NamedTuple):
    """Sums over faces: maps of positives and negatives (A, h, w), masks of positives (A, H, W),
    and the number of positives and negatives (A,) that they are over.
    """

    positive: np.ndarray
    negative: np.ndarray
    masks: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray


def mean_maps(
    inference: Inference, test: EvaluatedFaces, masks: Masks, picked: np.ndarray
) -> Means:
    """Go through some test faces once."""
    sums: list[np.ndarray] = []
    columns = test.predictions.columns
    code = codes(masks.table[columns])
    for rows, _, output in inference.over(test.faces, test.rows[picked], "maps"):
        labels = masks.labels[rows][:, columns]
        positive, negative = labels == 1, labels == 0
        weights = positive.astype(np.float32), negative.astype(np.float32)
        maps = heat_maps(output)
        assert maps is not None
        targets = sum(
            attribute_masks(bits, label, code).astype(np.float32)
            for bits, label in zip(masks.region_bits(rows), labels, strict=True)
        )
        seen = [np.einsum("ba,bahw->ahw", weight, maps) for weight in weights]
        batch = [*seen, targets, positive.sum(axis=0), negative.sum(axis=0)]
        sums = [a + b for a, b in zip(sums, batch, strict=True)] if sums else batch
    return Means(*sums)


def draw_means(attributes: list[str], means: Means, count: int, out: Path) -> None:
    """``maps.png``: masks beside maps; ``positives_negatives.png``: maps of either."""

    def average(sums: np.ndarray, counts: np.ndarray) -> list[np.ndarray | None]:
        return [total / n if n else None for total, n in zip(sums, counts, strict=True)]

    masks = average(means.masks, means.positives)
    positive = average(means.positive, means.positives)
    negative = average(means.negative, means.negatives)
    names = [
        f"{style.readable(name)} ({n})" for name, n in zip(attributes, means.positives, strict=True)
    ]
    title = "Positives: mean target mask (left), mean predicted map (right)"
    title = style.with_n(title, count, "test faces")
    faces.map_pairs(masks, positive, names, title, out / "maps.png")
    title = "Mean predicted map over positives (left) and negatives (right)"
    title = style.with_n(title, count, "test faces")
    faces.map_pairs(positive, negative, names, title, out / "positives_negatives.png")


def draw_panel(
    inference: Inference, test: EvaluatedFaces, masks: Masks, usable: np.ndarray, path: Path
) -> None:
    """The panel of the face with the most positive labels among a hundred, so that most show."""
    face = int(usable[(test.labels[usable[:100]] == 1).sum(axis=1).argmax()])
    row = int(test.rows[face])
    image = test.faces.image(row)
    maps = heat_maps(inference.predict(image[None]))
    assert maps is not None
    values = (values[face].tolist() for values in (test.labels, test.predicted, test.probabilities))
    targets = masks.masks(row)[test.predictions.columns]
    shown = zip(inference.attributes, *values, targets, maps[0], strict=True)
    rows = [faces.PanelRow(*of_attribute) for of_attribute in shown]
    faces.panel(image, rows, test.predictions.names[face], path)
