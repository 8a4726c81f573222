"""Make the pictures of the documentation, from a model trained on drawn faces.

    .venv/bin/python -m docs.pictures results/synthetic/mask_guided/seed-64/on-synthetic

The folder is that of an evaluation with its figures (the target figures_mask_guided).
``learnt.png`` (for the README) shows test faces with target mask and predicted map, of the
attributes whose maps agree best with their masks; ``maps.png`` is the figure of that name,
``gallery.png`` the gallery in a browser (Debian's Chromium). Photographs of people are refused:
they may not be published.
"""

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.core.evaluation.evaluated import open_evaluated
from pipeline.core.evaluation.inference import Inference, heat_maps
from pipeline.core.masks.store import open_masks
from pipeline.core.presentation.figures.faces import overlay
from pipeline.core.presentation.style import (
    as_percent,
    blank_grid,
    readable,
    saved_figure,
    show_image,
)

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs/pictures"
SHOWN = 6  # attributes
COLUMNS = 3
MAX_BYTES = 300_000  # of a picture in the repository


def main(evaluation: Path) -> None:
    data = evaluation.parents[2]
    if not (data / "drawn").is_dir():
        sys.exit(f"{data} holds no drawn faces, and those of people may not be shown")
    draw_learnt(data, evaluation, OUT / "learnt.png")
    write_png(OUT / "learnt.png", (OUT / "learnt.png").read_bytes())
    write_png(OUT / "maps.png", (evaluation / "figures/maps.png").read_bytes())
    write_png(OUT / "gallery.png", screenshot(evaluation / "figures/gallery.html", "Black_Hair"))


def draw_learnt(data: Path, evaluation: Path, path: Path) -> None:
    """The most confident positive of each attribute, its mask, and the predicted map."""
    inference = Inference(evaluation.parent / "weights.safetensors")
    test = open_evaluated(data / "faces", evaluation / "predictions.parquet")
    masks = open_masks(data / "masks.zarr")
    metrics = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))
    agreement = metrics["masks"]["test"]["by_attribute"]
    best = sorted(agreement, key=lambda name: -(agreement[name]["iou"] or 0))[:SHOWN]
    with saved_figure(path, height=2.3, width=6) as figure:
        title = "The most confident test face of each attribute: face, target mask, predicted map"
        figure.suptitle(title, x=0.01, ha="left", fontsize=8, weight="bold")
        cells = blank_grid(figure, -(-SHOWN // COLUMNS), COLUMNS)
        for name, axes in zip(best, cells.flat, strict=True):
            k = test.predictions.attributes.index(name)
            usable = test.labels[:, k] & masks.found[test.rows]
            face = int(np.argmax(np.where(usable, test.probabilities[:, k], -1)))
            row = int(test.rows[face])
            image = test.faces.image(row)
            maps = heat_maps(inference.predict(image[None], attention=True))
            heat_map = None if maps is None else maps[0, k]
            trio = [image, overlay(image, masks.masks(row)[k]), overlay(image, heat_map)]
            shown = np.hstack(
                [np.pad(one, ((0, 0), (4, 4), (0, 0)), constant_values=255) for one in trio]
            )
            show_image(axes, shown, f"{readable(name)}: {as_percent(test.probabilities[face, k])}")


def screenshot(page: Path, attribute: str) -> bytes:
    """The gallery of an attribute as a PNG, 900 pixels wide."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for switch in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--window-size=900,1200"):
        options.add_argument(switch)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.get(f"{page.resolve().as_uri()}#{attribute}")
        return driver.get_screenshot_as_png()
    finally:
        driver.quit()


def write_png(path: Path, encoded: bytes) -> None:
    """Write a PNG of at most 900 pixels' width, in as many colours as its size allows."""
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    image.thumbnail((900, 1400), Image.Resampling.LANCZOS)
    for colours in (256, 128, 64, 32):
        image.quantize(colours).save(path, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            return
    sys.exit(f"{path} has more than {MAX_BYTES:,} bytes even in 32 colours")


if __name__ == "__main__":
    sys.exit(__doc__) if len(sys.argv) != 2 else main(Path(sys.argv[1]))
