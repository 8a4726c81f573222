"""Look at a data set's landmarks and masks.

python -m pipeline.data_figures mean_masks --store masks.zarr --out mean.png
"""

import argparse
from pathlib import Path

import numpy as np

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.faces.store import open_faces
from pipeline.core.files import remove, write_table
from pipeline.core.landmarks.table import read_landmarks_of
from pipeline.core.masks.store import Masks, open_masks, open_masks_of
from pipeline.core.masks.true_parts import compare_parts
from pipeline.core.presentation.figures import sheets


def main(argv: list[str] | None = None) -> None:
    args = arguments().parse_args(argv)
    with stage.running(args.log):
        args.draw(args)


def arguments() -> argparse.ArgumentParser:
    parser, command = stage.commands(__doc__)
    faces, store = {"faces": "the folder faces/"}, {"store": "masks.zarr"}
    points = command(
        "landmarks",
        "faces with their points: at random, by detector, the least plausible, those without",
        **faces,
        landmarks="landmarks.csv",
        out="a folder for a PNG file of each",
    )
    points.add_argument(
        "--count", type=stage.at_least(1), default=36, help="faces a sheet (%(default)s)"
    )
    points.add_argument("--seed", type=int, default=64, help="of the random faces (%(default)s)")
    points.set_defaults(draw=landmarks)
    mean = command("mean_masks", "the mean mask of each attribute's positives", **store)
    mean.add_argument(
        "--images", type=stage.at_least(0), default=5000, help="faces to average, 0 for all"
    )
    mean.set_defaults(draw=mean_masks)
    face = command("face_masks", "one face with its masks", **faces, **store)
    face.add_argument("--name", help="of the image, such as 000001.jpg; else the first")
    face.set_defaults(draw=face_masks)
    what = "faces with one attribute, each with its mask"
    sheet = command("sheet_masks", what, **faces, **store)
    sheet.add_argument("--attribute", help="CelebA's name, such as Smiling; else the commonest")
    sheet.add_argument("--images", type=stage.at_least(1), default=20, help="faces to show")
    sheet.set_defaults(draw=sheet_masks)
    for one in (mean, face, sheet):
        one.add_argument("--out", type=picture, required=True, help="a .png or .svg file")
    what = "how well the regions of synthetic faces match their true parts"
    parts = command("true_parts", what, **store, drawn="the folder drawn/", out="a CSV file")
    parts.set_defaults(draw=true_parts)
    return parser


def picture(text: str) -> Path:
    """The type of a picture's ``--out``: the file's ending decides how it is drawn."""
    if Path(text).suffix not in (".png", ".svg"):
        raise argparse.ArgumentTypeError(f"must end in .png or .svg, unlike {text!r}")
    return Path(text)


def landmarks(args: argparse.Namespace) -> None:
    faces = open_faces(args.faces)
    table = read_landmarks_of(args.landmarks, faces.names, args.faces)
    args.out.mkdir(parents=True, exist_ok=True)
    for old in args.out.glob("*.png"):  # a group that has become empty leaves no picture behind
        remove(old)
    for title, rows in sheets.choose_faces(table, args.count, args.seed).items():
        sheets.draw_points(faces, table, rows, args.out / f"{title}.png")


def mean_masks(args: argparse.Namespace) -> None:
    masks = open_masks(args.store)
    rows = sheets.spread(np.arange(len(masks)), args.images or len(masks))
    means = sheets.mean_masks(masks, stage.progress(rows, len(rows), "mean masks"))
    sheets.draw_mean_masks(masks, *means, args.out)


def face_masks(args: argparse.Namespace) -> None:
    faces = open_faces(args.faces)
    masks = open_masks_of(args.store, faces)
    row = 0 if args.name is None else row_of(masks, args.name)
    sheets.draw_face_masks(faces, masks, row, args.out)


def sheet_masks(args: argparse.Namespace) -> None:
    faces = open_faces(args.faces)
    masks = open_masks_of(args.store, faces)
    name = args.attribute or masks.attributes[(masks.labels == 1).sum(axis=0).argmax()]
    if name not in masks.attributes:
        raise UserError(
            f"--attribute {name} is none of the data set's: choose one of"
            f" {', '.join(masks.attributes)}."
        )
    k = masks.attributes.index(name)
    if not (masks.labels[:, k] == 1).any():
        raise UserError(f"no face of {args.store} has {name}; choose another attribute.")
    sheets.draw_sheet_masks(faces, masks, k, args.images, args.out)


def true_parts(args: argparse.Namespace) -> None:
    masks = open_masks(args.store)
    rows = np.flatnonzero(masks.found).tolist()
    rows_with_progress = stage.progress(rows, len(rows), "true parts")
    write_table(args.out, compare_parts(masks, args.drawn, rows_with_progress), "%.3f")


def row_of(masks: Masks, name: str) -> int:
    if name not in masks.names:
        raise UserError(
            f"--name {name} is none of the {len(masks)} faces of {masks.path}, which begin with"
            f" {', '.join(masks.names[:3])}."
        )
    return masks.names.index(name)


if __name__ == "__main__":
    main()
