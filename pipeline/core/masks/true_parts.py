"""How well the regions that follow from landmarks match the true parts of synthetic faces.

Only of synthetic faces are the parts known, pixel for pixel.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from pipeline.core.errors import UserError
from pipeline.core.masks.regions import codes
from pipeline.core.masks.store import Masks

_OF_THE_SKIN = "a piece of the skin: only the share on the part says much"
# Regions → the parts that they should show, and why a match cannot be good.
PAIRS: dict[tuple[str, ...], tuple[tuple[str, ...], str]] = {
    ("mouth",): (("mouth", "lips"), ""),
    ("nose",): (("nose",), ""),
    ("left_eye", "right_eye"): (("eyes",), ""),
    ("left_eyebrow", "right_eyebrow"): (
        ("brows",),
        "poor by design: a line of five points, closed to a sliver",
    ),
    ("left_ear", "right_ear"): (
        ("ears", "earrings"),
        "poor by design: the jaw mirrored at the brow's end; far too wide",
    ),
    ("neck",): (
        ("neck", "necklace"),
        "poor by design: the chin's curve moved down, whatever is below it",
    ),
    ("top_of_head",): (
        ("hair", "hat"),
        "poor by design: a rectangle above the brows, mostly forehead",
    ),
    ("chin",): (("skin",), _OF_THE_SKIN),
    ("left_cheek", "right_cheek"): (("skin",), _OF_THE_SKIN),
    ("upper_lip",): (("skin",), _OF_THE_SKIN),
}


def compare(region: np.ndarray, part: np.ndarray) -> tuple[float, float, float]:
    """IoU, share of the region on the part, share of the part covered: bool (H, W) → 0–1.

    Both must have a pixel.
    """
    both = (region & part).sum()
    return both / (region | part).sum(), both / region.sum(), both / part.sum()


def compare_parts(masks: Masks, drawn: Path, rows: Iterable[int]) -> pd.DataFrame:
    """One row for each of ``PAIRS``: medians over the faces that have both, and their number.

    ``drawn`` is the folder that the stage synthesize makes, ``rows`` are faces with landmarks.
    """
    indices = read_part_names(drawn / "parts.json")
    code = codes(np.array([np.isin(masks.regions, regions) for regions in PAIRS]))
    results: list[list[tuple[float, float, float]]] = [[] for _ in PAIRS]
    for row in rows:
        truth = read_parts(drawn / "parts" / f"{Path(masks.names[row]).stem}.png", masks.size)
        bits = masks.region_bits([row])[0]
        for k, (parts, _) in enumerate(PAIRS.values()):
            region = (bits & int(code[k])) != 0
            part = np.isin(truth, [indices[part] for part in parts])
            if region.any() and part.any():
                results[k].append(compare(region, part))
    return pd.DataFrame(
        [
            (" + ".join(regions), " + ".join(parts), *_medians(values), note)
            for (regions, (parts, note)), values in zip(PAIRS.items(), results, strict=True)
        ],
        columns=["regions", "parts", "faces", "iou", "iou_10th", "on_part", "covered", "note"],
    )


def _medians(values: list[tuple[float, float, float]]) -> tuple[int, float, float, float, float]:
    """The number of faces, the median and the 10th percentile of their IoU, the other medians."""
    if not values:
        return 0, np.nan, np.nan, np.nan, np.nan
    iou, on_part, covered = np.median(values, axis=0)
    return len(values), iou, np.quantile([value[0] for value in values], 0.1), on_part, covered


def read_part_names(path: Path) -> dict[str, int]:
    """Part name → its index in the pictures; ``UserError`` if parts are missing."""
    if not path.is_file():
        raise UserError(
            f"{path} is missing: --drawn must be the folder that the rule synthesize makes, since"
            " only synthetic faces have known parts."
        )
    indices = {name: int(i) for i, name in json.loads(path.read_text(encoding="utf-8")).items()}
    if missing := {part for parts, _ in PAIRS.values() for part in parts} - set(indices):
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
