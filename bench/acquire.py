"""How much memory and time acquisition takes as the number of images grows.

    python -m bench.acquire [--images 1000 8000] [--threads 1]

The real faces (ATTPARSE_DATA, default ../shared/data) are repeated under new names, in the
official form, as a zip. Each size is acquired by a process of its own, whose highest resident
memory and wall time are printed, with the time that the 202,599 images of CelebA would take.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import yaml

from pipeline.core.configuration import complete
from pipeline.core.faces.sources.celeba import IDENTITY, IMAGES, LABELS, PARTITION

ROOT = Path(__file__).parents[1]
CELEBA = 202_599


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 8000])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    data = Path(os.environ.get("ATTPARSE_DATA", ROOT / "../shared/data")) / "celeba-real"
    for images in args.images:
        with tempfile.TemporaryDirectory() as folder:
            repeat(data.resolve(), Path(folder) / "root", images)
            print(measure(Path(folder), images, args.threads), flush=True)


def repeat(data: Path, root: Path, images: int) -> None:
    """Write ``images`` faces of ``data`` to ``root``: again from the first when they end."""
    root.mkdir()
    lines = (data / LABELS).read_text().splitlines()
    rows = [line.split(maxsplit=1) for line in lines[2:]]
    names = [f"{i + 1:06d}.jpg" for i in range(images)]
    again = [rows[i % len(rows)] for i in range(images)]
    labels = [f"{name} {row[1]}" for name, row in zip(names, again, strict=True)]
    (root / LABELS).write_text("\n".join([str(images), lines[1], *labels]) + "\n")
    splits = np.searchsorted(np.array([0.8, 0.9]) * images, range(images), side="right")
    pairs = zip(names, splits, strict=True)
    (root / PARTITION).write_text("".join(f"{name} {split}\n" for name, split in pairs))
    (root / IDENTITY).write_text("".join(f"{name} {i}\n" for i, name in enumerate(names)))
    with zipfile.ZipFile(data / IMAGES) as source, zipfile.ZipFile(root / IMAGES, "w") as target:
        for name, row in zip(names, again, strict=True):
            target.writestr(f"img_align_celeba/{name}", source.read(f"img_align_celeba/{row[0]}"))


def measure(folder: Path, images: int, threads: int) -> str:
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["datasets"]["x"] = {"source": "celeba", "root": str(folder / "root")}
    entry = complete(config, schema)["datasets"]["x"]
    command = [sys.executable, "-m", "pipeline.acquire", "--settings", json.dumps(entry)]
    command += ["--threads", str(threads)]
    for name in ("out", "downloads", "manifest", "rejected", "terms", "summary"):
        command += [f"--{name}", str(folder / name)]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    assert status == 0
    whole = seconds * CELEBA / images
    return (
        f"{images:7,} images, {threads} threads: {seconds:6.1f} s, {images / seconds:6.0f} a s,"
        f" peak {usage.ru_maxrss / 1024:6.0f} MiB; {CELEBA:,} images: {seconds:.1f} × {CELEBA} /"
        f" {images} = {whole:.0f} s = {whole / 60:.1f} min"
    )


if __name__ == "__main__":
    main()
