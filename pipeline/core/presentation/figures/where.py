"""Pictures of the test faces with what a trained network sees in them, and where."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.evaluation.evaluated import Judged
from pipeline.core.masks.regions import attribute_masks
from pipeline.core.presentation import style
from pipeline.core.presentation.figures import places

SEED = 1  # of the faces that are picked: the same ones every time


def draw_grid(test: Judged, path: Path) -> None:
    """Eight faces by chance, with truth and prediction."""
    count = min(8, len(test.rows))
    picked = np.sort(np.random.default_rng(SEED).choice(len(test.rows), count, replace=False))
    places.grid(
        list(test.images(picked)),
        test.said.attributes,
        test.labels[picked],
        test.positive[picked],
        test.chances[picked],
        path,
    )


def draw_examples(viewer: Any, test: Judged, path: Path) -> None:
    """The surest right and wrong answers to eight attributes: the hardest and the easiest."""
    rows = []
    for k in hardest_and_easiest(test):
        threshold = float(test.said.thresholds[k])
        by_kind = places.surest(test.labels[:, k], test.chances[:, k], threshold)
        cells = [
            cell for kind in places.KINDS for cell in example_cells(viewer, test, k, by_kind[kind])
        ]
        right = int((test.labels[:, k] == test.positive[:, k]).sum())
        words = style.readable(test.said.attributes[k]).replace(" ", "\n")
        rows.append((f"{words}\n({right:,} right)", cells))
    places.examples(rows, len(test.rows), path)


def hardest_and_easiest(test: Judged, each: int = 4) -> list[int]:
    """Attributes by balanced accuracy: the lowest and the highest; no more than there are."""
    right = test.labels == test.positive
    with np.errstate(invalid="ignore"):
        found = (right & test.labels).sum(axis=0) / test.labels.sum(axis=0)
        spared = (right & ~test.labels).sum(axis=0) / (~test.labels).sum(axis=0)
    balance = (found + spared) / 2
    order = [int(k) for k in np.argsort(balance, kind="stable") if np.isfinite(balance[k])]
    return order if len(order) <= 2 * each else [*order[:each], *order[-each:]]


def example_cells(
    viewer: Any, test: Judged, k: int, faces: np.ndarray
) -> list[tuple[np.ndarray, str] | None]:
    """Two pictures of faces with where attribute ``k`` was seen, and its chance; or None."""
    picked = faces[:2]
    if not len(picked):
        return [None, None]
    images = test.images(picked)
    seen = viewer.look(images)
    cells: list[tuple[np.ndarray, str] | None] = [
        (places.overlaid(image, seen.place(i, k)), style.share(test.chances[face, k]))
        for i, (image, face) in enumerate(zip(images, picked, strict=True))
    ]
    return cells + [None] * (2 - len(cells))


def draw_maps(viewer: Any, test: Judged, store: Path, images: int, out: Path) -> None:
    """Mean maps beside mean masks, over positives and over negatives, and one face's panel."""
    from pipeline.core.masks.store import open_masks_of

    masks = open_masks_of(store, test.faces)
    usable = np.flatnonzero(masks.found[test.rows])
    if not len(usable):
        raise UserError("none of the test faces has landmarks, so none has masks to show.")
    if viewer.attends or viewer.look(test.images(usable[:1])).where is None:
        raise UserError(
            "this network makes no maps: give the weights of an AttParseNet, or of a model that"
            " was trained with masks."
        )
    picked = usable[np.unique(np.linspace(0, len(usable) - 1, images).round().astype(int))]
    means = mean_maps(viewer, test, masks, picked)
    draw_means(test.said.attributes, means, len(picked), out)
    draw_panel(viewer, test, masks, usable, out / "panel.png")


class Means(NamedTuple):
    """Sums over faces: maps of positives and negatives (A, h, w), masks of positives (A, H, W),
    and the number of positives and negatives (A,) that they are over.
    """

    positive: np.ndarray
    negative: np.ndarray
    masks: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray


def mean_maps(viewer: Any, test: Judged, masks: Any, picked: np.ndarray) -> Means:
    """Go through some test faces once; ``masks`` is the store."""
    sums: list[np.ndarray] = []
    parts = [picked[at : at + 16] for at in range(0, len(picked), 16)]
    for part in stage.progress(parts, len(parts), "maps", "batch"):
        rows = test.rows[part]
        labels = masks.labels[rows][:, viewer.columns]
        where = viewer.look(test.images(part)).where
        weights = labels.astype(np.float32), (~labels).astype(np.float32)
        maps = [np.einsum("ba,bahw->ahw", weight, where) for weight in weights]
        drawn = sum(
            attribute_masks(bits, label, masks.table[viewer.columns]).astype(np.float32)
            for bits, label in zip(masks.region_bits(rows), labels, strict=True)
        )
        found = [*maps, drawn, labels.sum(axis=0), (~labels).sum(axis=0)]
        sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
    return Means(*sums)


def draw_means(attributes: list[str], means: Means, count: int, out: Path) -> None:
    def average(sums: np.ndarray, counts: np.ndarray) -> list[np.ndarray | None]:
        return [total / n if n else None for total, n in zip(sums, counts, strict=True)]

    positive = average(means.positive, means.positives)
    names = [
        f"{style.readable(name)} ({n})" for name, n in zip(attributes, means.positives, strict=True)
    ]
    what = "Positives: mean target mask (left), mean predicted map (right)"
    title = style.counted(what, count, "test faces")
    masks = average(means.masks, means.positives)
    places.pairs(masks, positive, names, title, out / "maps.png")
    what = "Mean predicted map over positives (left) and negatives (right)"
    title = style.counted(what, count, "test faces")
    negative = average(means.negative, means.negatives)
    places.pairs(positive, negative, names, title, out / "positives_negatives.png")


def draw_panel(viewer: Any, test: Judged, masks: Any, usable: np.ndarray, path: Path) -> None:
    """The panel of the face with the most positive labels among a hundred, so that most show."""
    face = max(usable[:100].tolist(), key=lambda face: int(test.labels[face].sum()))
    row = int(test.rows[face])
    image = test.faces.image(row)
    seen = viewer.look(image[None])
    labels = masks.labels[row][viewer.columns]
    drawn = attribute_masks(masks.region_bits([row])[0], labels, masks.table[viewer.columns])
    maps = np.stack([seen.place(0, k) for k in range(len(viewer.attributes))])
    places.panel(
        image,
        viewer.attributes,
        test.labels[face],
        test.chances[face],
        test.said.thresholds,
        drawn,
        maps,
        test.said.names[face],
        path,
    )
