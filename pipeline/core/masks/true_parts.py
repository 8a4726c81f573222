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

SKIN = "a piece of the skin: only the share on the part says much"
POOR = "poor by design: "
# Regions → the parts that they should show, and why a match cannot be good.
PAIRS: dict[tuple[str, ...], tuple[tuple[str, ...], str]] = {
    ("mouth",): (("mouth", "lips"), ""),
    ("nose",): (("nose",), ""),
    ("left_eye", "right_eye"): (("eyes",), ""),
    ("left_eyebrow", "right_eyebrow"): (
        ("brows",),
        POOR + "a line of five points, closed to a sliver",
    ),
    ("left_ear", "right_ear"): (
        ("ears", "earrings"),
        POOR + "the jaw mirrored at the brow's end; far too wide",
    ),
    ("neck",): (("neck", "necklace"), POOR + "the chin's curve moved down, whatever is below it"),
    ("top_of_head",): (("hair", "hat"), POOR + "a rectangle above the brows, mostly forehead"),
    ("chin",): (("skin",), SKIN),
    ("left_cheek", "right_cheek"): (("skin",), SKIN),
    ("upper_lip",): (("skin",), SKIN),
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
    matches = []
    for row in rows:
        truth = read_parts(drawn / "parts" / f"{Path(masks.names[row]).stem}.png", masks.size)
        bits = masks.region_bits([row])[0]
        for k, (parts, _) in enumerate(PAIRS.values()):
            region = (bits & int(code[k])) != 0
            part = np.isin(truth, [indices[part] for part in parts])
            if region.any() and part.any():
                matches.append((k, *compare(region, part)))
    table = pd.DataFrame(matches, columns=["pair", "iou", "on_part", "covered"], dtype=float)
    pairs = table.groupby("pair")
    medians = pairs.median()
    return pd.DataFrame(
        {
            "regions": [" + ".join(regions) for regions in PAIRS],
            "parts": [" + ".join(parts) for parts, _ in PAIRS.values()],
            "faces": pairs.size().reindex(range(len(PAIRS)), fill_value=0),
            "iou": medians["iou"],
            "iou_10th": pairs["iou"].quantile(0.1),
            "on_part": medians["on_part"],
            "covered": medians["covered"],
            "note": [note for _, note in PAIRS.values()],
        }
    )


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
