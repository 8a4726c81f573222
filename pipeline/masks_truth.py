"""How well the regions that landmarks draw match the true parts of synthetic faces.

Only on synthetic faces are the parts known, pixel for pixel. For each pair of a region and a part,
over all faces that have both: intersection over union (IoU), the share of the region that lies on
the part, and the share of the part that the region covers.

    python -m pipeline.masks_truth --store masks.zarr --drawn drawn --out masks_truth.csv
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.files import write_table
from pipeline.core.masks.store import Masks, open_masks

# Regions → the parts that they should show, and what must be expected where they cannot.
PAIRS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "mouth": (("mouth",), ("mouth", "lips"), ""),
    "nose": (("nose",), ("nose",), ""),
    "eyes": (("left_eye", "right_eye"), ("eyes",), ""),
    "eyebrows": (
        ("left_eyebrow", "right_eyebrow"),
        ("brows",),
        "poor by design: a line of five points, closed to a sliver",
    ),
    "ears": (
        ("left_ear", "right_ear"),
        ("ears", "earrings"),
        "poor by design: the jaw mirrored at the brow's end; far too wide",
    ),
    "neck": (
        ("neck",),
        ("neck", "necklace"),
        "poor by design: the chin's curve moved down, whatever is below it",
    ),
    "top_of_head": (
        ("top_of_head",),
        ("hair", "hat"),
        "poor by design: a rectangle above the brows, mostly forehead",
    ),
    "chin": (("chin",), ("skin",), "a piece of the skin: only the share on the part says much"),
    "cheeks": (
        ("left_cheek", "right_cheek"),
        ("skin",),
        "a piece of the skin: only the share on the part says much",
    ),
    "upper_lip": (
        ("upper_lip",),
        ("skin",),
        "a piece of the skin: only the share on the part says much",
    ),
}


def compare(region: np.ndarray, part: np.ndarray) -> tuple[float, float, float]:
    """IoU, share of the region on the part, share of the part covered: bool (H, W) → 0–1.

    Both must have a pixel.
    """
    both = (region & part).sum()
    return both / (region | part).sum(), both / region.sum(), both / part.sum()


def truth_table(masks: Masks, drawn: Path) -> pd.DataFrame:
    """One row for each of ``PAIRS``: medians over the faces that have both, and their number."""
    indices = read_part_names(drawn / "parts.json")
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in PAIRS}
    rows = np.flatnonzero(masks.found).tolist()
    for row in stage.progress(rows, len(rows), "true parts"):
        truth = read_parts(drawn / "parts" / f"{Path(masks.names[row]).stem}.png", masks.size)
        bits = masks.region_bits([row])[0]
        for name, (regions, parts, _) in PAIRS.items():
            code = sum(1 << masks.regions.index(region) for region in regions)
            region = (bits & code) != 0
            part = np.isin(truth, [indices[part] for part in parts])
            if region.any() and part.any():
                results[name].append(compare(region, part))
    return pd.DataFrame(
        [_row(name, values) for name, values in results.items()],
        columns=["regions", "parts", "faces", "iou", "iou_10th", "on_part", "covered", "note"],
    )


def _row(name: str, values: list[tuple[float, float, float]]) -> tuple[object, ...]:
    regions, parts, note = PAIRS[name]
    numbers = np.array(values).reshape(-1, 3)
    if len(numbers):
        iou, on_part, covered = np.median(numbers, axis=0)
        low = np.quantile(numbers[:, 0], 0.1)
    else:
        iou = on_part = covered = low = np.nan
    return " + ".join(regions), " + ".join(parts), len(values), iou, low, on_part, covered, note


def read_part_names(path: Path) -> dict[str, int]:
    """Part name → its index in the pictures; ``UserError`` if parts are missing."""
    if not path.is_file():
        raise UserError(
            f"{path} is missing: --drawn must be the folder that the rule synthesize makes, since"
            " only synthetic faces have known parts."
        )
    indices = {name: int(i) for i, name in json.loads(path.read_text(encoding="utf-8")).items()}
    if missing := {part for _, parts, _ in PAIRS.values() for part in parts} - set(indices):
        raise UserError(
            f"{path} lacks the parts {', '.join(sorted(missing))}; draw the faces anew."
        )
    return indices


def read_parts(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The part index of each pixel, (H, W) uint8."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.shape != size:
        raise UserError(
            f"{path} is no map of parts of {size[0]} × {size[1]} pixels; the store must hold the"
            " faces of the folder given as --drawn."
        )
    return np.asarray(image)


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("--store", type=Path, required=True, help="masks.zarr")
    parser.add_argument("--drawn", type=Path, required=True, help="the folder drawn/")
    parser.add_argument("--out", type=Path, required=True, help="the table, a CSV file")
    args = parser.parse_args(argv)
    with stage.running(args.log):
        write_table(args.out, truth_table(open_masks(args.store), args.drawn), "%.3f")


if __name__ == "__main__":
    main()
