"""Make the pictures of the pages anew, from a model trained on drawn faces.

    .venv/bin/python -m docs.pictures results/drawn/attparsenet/seed-64/on-drawn

The folder is that of a judgement whose figures are there (the target figures_attparsenet).
``learnt.png`` (for the README) shows test faces with the mask to be learnt and the predicted map,
for the attributes whose maps fit their masks best,
``maps.png`` the figure of that name, ``gallery.png`` the gallery in a browser (Debian's Chromium).
Faces of people are refused: they may not be shown.
"""

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.core.evaluation.evaluated import open_judged
from pipeline.core.evaluation.inference import Viewer
from pipeline.core.masks.store import open_masks
from pipeline.core.presentation.figures.places import overlaid
from pipeline.core.presentation.style import drawn, picture, readable, share

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs/pictures"
SHOWN = 6  # attributes
COLUMNS = 3
LARGEST = 300_000  # bytes of a picture in the repository


def main(judged: Path) -> None:
    data = judged.parents[2]
    if not (data / "drawn").is_dir():
        sys.exit(f"{data} holds no drawn faces, and those of people may not be shown")
    draw_learnt(data, judged, OUT / "learnt.png")
    keep(OUT / "learnt.png", (OUT / "learnt.png").read_bytes())
    keep(OUT / "maps.png", (judged / "figures/maps.png").read_bytes())
    keep(OUT / "gallery.png", screenshot(judged / "figures/gallery.html", "Black_Hair"))


def draw_learnt(data: Path, judged: Path, path: Path) -> None:
    """The surest face of each attribute, its mask, and the map that the network predicts."""
    viewer = Viewer(judged.parent / "weights.safetensors")
    test = open_judged(data / "faces", judged / "predictions.parquet")
    masks = open_masks(data / "masks.zarr")
    judgement = json.loads((judged / "metrics.json").read_text(encoding="utf-8"))
    fits = judgement["masks"]["test"]["by_attribute"]
    best = sorted(fits, key=lambda name: -(fits[name]["iou"] or 0))[:SHOWN]
    with drawn(path, height=2.3, width=6) as figure:
        title = "The surest test face of each attribute: face, target mask, predicted map"
        figure.suptitle(title, x=0.01, ha="left", fontsize=8, weight="bold")
        cells = figure.subplots(-(-SHOWN // COLUMNS), COLUMNS)
        for name, axes in zip(best, cells.flat, strict=True):
            k = test.said.attributes.index(name)
            usable = test.labels[:, k] & masks.found[test.rows]
            face = int(np.argmax(np.where(usable, test.chances[:, k], -1)))
            row = int(test.rows[face])
            image = test.faces.image(row)
            place = viewer.look(image[None]).place(0, k)
            trio = [image, overlaid(image, masks.masks(row)[k]), overlaid(image, place)]
            shown = np.hstack(
                [np.pad(one, ((0, 0), (4, 4), (0, 0)), constant_values=255) for one in trio]
            )
            picture(axes, shown, f"{readable(name)}: {share(test.chances[face, k])}")


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


def keep(path: Path, encoded: bytes) -> None:
    """Write a PNG of at most 900 pixels' width, in as many colours as its size allows."""
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    image.thumbnail((900, 1400), Image.Resampling.LANCZOS)
    for colours in (256, 128, 64, 32):
        image.quantize(colours).save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            return
    sys.exit(f"{path} has more than {LARGEST:,} bytes even in 32 colours")


if __name__ == "__main__":
    sys.exit(__doc__) if len(sys.argv) != 2 else main(Path(sys.argv[1]))
