"""Look at the masks of any store.

``face`` shows one face with its 40 masks, named; ``mean`` the mean mask of each attribute over
the faces that have it; ``sheet`` faces with one attribute, each with its mask.

    python -m pipeline.masks_figure mean --store masks.zarr --out mean.png
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.faces.store import open_faces
from pipeline.core.masks.regions import codes
from pipeline.core.masks.store import Masks, open_masks, open_masks_of
from pipeline.core.presentation.figures.places import contact_sheet, overlaid
from pipeline.core.presentation.style import counted, readable


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
            for k in np.flatnonzero(masks.labels[row]):
                total[k] += (bits & int(code[k])) != 0
                count[k] += 1
    with np.errstate(invalid="ignore"):
        return total / count[:, None, None], count


def spread(rows: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of the rows, evenly over all of them."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]


def draw_face(args: argparse.Namespace) -> None:
    faces = open_faces(args.faces)
    masks = open_masks_of(args.store, faces)
    row = 0 if args.name is None else row_of(masks, args.name)
    image, planes = faces.image(row), masks.masks(row)
    shown = [name for name, label in zip(masks.attributes, masks.labels[row], strict=True) if label]
    panels = [(image, f"{masks.names[row]}")]
    for k, name in enumerate(masks.attributes):
        note = "" if name in shown else " (no)"
        panels.append((overlaid(image, planes[k]), readable(name) + note))
    found = "" if masks.found[row] else ", no landmarks"
    title = f"{masks.names[row]}: {len(shown)} of 40 attributes{found}"
    contact_sheet(panels, 7, title, args.out)


def draw_mean(args: argparse.Namespace) -> None:
    masks = open_masks(args.store)
    rows = spread(np.arange(len(masks)), args.images or len(masks))
    means, count = mean_masks(masks, stage.progress(rows, len(rows), "mean masks"))
    panels = [
        (np.nan_to_num(mean), f"{readable(name)}\nn = {n:,}")
        for mean, name, n in zip(means, masks.attributes, count, strict=True)
    ]
    title = counted("Mean mask of the positives", len(rows))
    contact_sheet(panels, 8, title, args.out, "share of the positives whose mask is here")


def draw_sheet(args: argparse.Namespace) -> None:
    faces = open_faces(args.faces)
    masks = open_masks_of(args.store, faces)
    name = args.attribute or masks.attributes[masks.labels.sum(axis=0).argmax()]
    if name not in masks.attributes:
        raise UserError(
            f"--attribute {name} is none of the 40: write it as CelebA does, one of"
            f" {', '.join(masks.attributes)}."
        )
    k = masks.attributes.index(name)
    positive = np.flatnonzero(masks.labels[:, k])
    if not len(positive):
        raise UserError(f"no face of {args.store} has {name}; choose another attribute.")
    panels = [
        (
            overlaid(faces.image(row), masks.masks(row)[k]),
            masks.names[row] + ("" if masks.found[row] else "\nno landmarks"),
        )
        for row in spread(positive, args.images)
    ]
    contact_sheet(panels, 5, counted(readable(name), len(positive), "positive faces"), args.out)


def row_of(masks: Masks, name: str) -> int:
    if name not in masks.names:
        raise UserError(
            f"--name {name} is none of the {len(masks)} faces of {masks.path}, which begin with"
            f" {', '.join(masks.names[:3])}."
        )
    return masks.names.index(name)


def arguments() -> argparse.ArgumentParser:
    parser, command = stage.commands(__doc__)
    face = command("face", "one face with its 40 masks")
    face.add_argument("--name", help="of the image, such as 000001.jpg; else the first")
    face.set_defaults(run=draw_face)
    mean = command("mean", "the mean mask of each attribute over its positives")
    mean.add_argument(
        "--images", type=stage.at_least(0), default=5000, help="faces to average, 0 for all"
    )
    mean.set_defaults(run=draw_mean)
    sheet = command("sheet", "faces with one attribute, and its mask on each")
    sheet.add_argument("--attribute", help="CelebA's name, such as Smiling; else the commonest")
    sheet.add_argument("--images", type=stage.at_least(1), default=20, help="faces to show")
    sheet.set_defaults(run=draw_sheet)
    for one in (face, mean, sheet):
        one.add_argument("--store", type=Path, required=True, help="masks.zarr")
        one.add_argument("--out", type=picture, required=True, help="a .png or .svg file")
    for one in (face, sheet):
        one.add_argument("--faces", type=Path, required=True, help="the folder faces/")
    return parser


def picture(text: str) -> Path:
    """The type of ``--out``: the file's ending decides how it is drawn."""
    if Path(text).suffix not in (".png", ".svg"):
        raise argparse.ArgumentTypeError(f"must end in .png or .svg, unlike {text!r}")
    return Path(text)


def main(argv: list[str] | None = None) -> None:
    args = arguments().parse_args(argv)
    with stage.running(args.log):
        args.run(args)


if __name__ == "__main__":
    main()
