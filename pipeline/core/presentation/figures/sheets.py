"""Contact sheets of a data set: faces with their 68 points, faces with their masks."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.core.faces.store import Faces
from pipeline.core.geometry import HEIGHT
from pipeline.core.landmarks.table import Landmarks
from pipeline.core.masks.regions import codes
from pipeline.core.masks.store import Masks
from pipeline.core.presentation import style
from pipeline.core.presentation.figures.faces import overlay


def contact_sheet(
    panels: Sequence[tuple[np.ndarray, str]],
    columns: int,
    title: str,
    path: Path,
    scale: str = "",
    panel_width: float = 1.3,
) -> None:
    """Images in rows, each with its name; with ``scale`` they are maps of 0–1, which it names.

    ``panel_width`` in inches.
    """
    rows = -(-len(panels) // columns)
    height, width = 0.5 + 1.35 * panel_width * rows, panel_width * columns
    with style.saved_figure(path, height, width) as figure:
        style.set_title(figure, title)
        cells = style.blank_grid(figure, rows, columns)
        for axes, (image, name) in zip(cells.flat, panels, strict=False):
            style.show_image(axes, image, name)
        if scale:
            figure.colorbar(cells[0, 0].images[0], ax=cells, fraction=0.02, label=scale)


def draw_points(faces: Faces, landmarks: Landmarks, rows: np.ndarray, path: Path) -> None:
    """Faces with their points, six in a row, each with its name and detector."""
    panels = [
        (
            with_points(faces.image(row), landmarks.points[row]),
            f"{landmarks.names[row]}\n{landmarks.detectors[row] or 'no landmarks'}",
        )
        for row in rows
    ]
    title = style.with_n(style.readable(path.stem).capitalize(), len(rows))
    contact_sheet(panels, 6, title, path, panel_width=2.4)


def with_points(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) uint8 at twice CelebA's height, with a dot on each point (68, 2)."""
    scale = 2 * HEIGHT / len(image)
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    for x, y in points[np.isfinite(points).all(axis=1)] * scale + (scale - 1) / 2:
        cv2.circle(large, (round(x), round(y)), 2, (0, 255, 0), cv2.FILLED, cv2.LINE_AA)
    return large


def choose_faces(landmarks: Landmarks, count: int, seed: int) -> dict[str, np.ndarray]:
    """Rows for each sheet: at random, by detector, the least plausible, those without points."""
    generator = np.random.default_rng(seed)
    names = np.array(landmarks.detectors)
    groups = {"random": np.arange(len(names))}
    groups |= {name: np.flatnonzero(names == name) for name in sorted(set(names)) if name}
    groups["without_landmarks"] = np.flatnonzero(~landmarks.found)
    chosen = {
        title: np.sort(generator.choice(rows, min(count, len(rows)), replace=False))
        for title, rows in groups.items()
        if len(rows)
    }
    if len(found := np.flatnonzero(landmarks.found)):
        order = np.argsort(-implausibility(landmarks.points[found]), kind="stable")
        chosen["least_plausible"] = found[order[:count]]
    return chosen


def implausibility(points: np.ndarray) -> np.ndarray:
    """(N,) how unlike the median face each face (N, 68, 2) is, place and all.

    The mean distance of its points from their median places, in units of the median of that.
    """
    distances = np.linalg.norm(points - np.median(points, axis=0), axis=-1).mean(axis=1)
    return np.asarray(distances / np.median(distances))


def draw_face_masks(faces: Faces, masks: Masks, row: int, path: Path) -> None:
    """One face with the masks of all attributes."""
    image, labels = faces.image(row), masks.labels[row]
    panels = [(image, masks.names[row])]
    for mask, name, label in zip(masks.masks(row), masks.attributes, labels, strict=True):
        note = {1: "", 0: " (no)"}.get(int(label), " (unknown)")
        panels.append((overlay(image, mask), style.readable(name) + note))
    found = "" if masks.found[row] else ", no landmarks"
    title = f"{masks.names[row]}: {(labels == 1).sum()} of {len(labels)} attributes{found}"
    contact_sheet(panels, 7, title, path)


def draw_sheet_masks(faces: Faces, masks: Masks, attribute: int, images: int, path: Path) -> None:
    """Faces that have an attribute, each with its mask."""
    positive = np.flatnonzero(masks.labels[:, attribute] == 1)
    panels = [
        (
            overlay(faces.image(row), masks.masks(row)[attribute]),
            masks.names[row] + ("" if masks.found[row] else "\nno landmarks"),
        )
        for row in spread(positive, images)
    ]
    name = style.readable(masks.attributes[attribute])
    title = style.with_n(name, len(positive), "positive faces")
    contact_sheet(panels, 5, title, path)


def draw_mean_masks(masks: Masks, means: np.ndarray, positives: np.ndarray, path: Path) -> None:
    """The mean masks (A, H, W) of ``mean_masks``, with the number of positives (A,) of each."""
    panels = [
        (np.nan_to_num(mean), f"{style.readable(name)}\nn = {n:,}")
        for mean, name, n in zip(means, masks.attributes, positives, strict=True)
    ]
    title = "Mean mask of the positives"
    contact_sheet(panels, 8, title, path, "share of the positives whose mask is here")


def mean_masks(masks: Masks, rows: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean mask of each attribute over its positives among ``rows`` that have landmarks.

    Returns (A, H, W) float in 0–1, NaN where an attribute has no positive, and the positives (A,).
    """
    code = codes(masks.table)
    total = np.zeros((len(code), *masks.size), np.float64)
    count = np.zeros(len(code), int)
    for row in rows:
        if masks.found[row]:
            bits = masks.region_bits([row])[0]
            for k in np.flatnonzero(masks.labels[row] == 1):
                total[k] += (bits & int(code[k])) != 0
                count[k] += 1
    with np.errstate(invalid="ignore"):
        return total / count[:, None, None], count


def spread(rows: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of the rows, evenly over all of them."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]
