"""Small data sets in the forms that users have, and acquisition as the workflow calls it."""

import json
import zipfile
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
from conftest import schema

from pipeline import acquire
from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.faces.store import SPLITS, open_faces

SMALL = (24, 20)  # height and width


def entry(**changed):
    """An entry of ``datasets:`` as a rule passes it: the schema's defaults, and what is changed."""
    keys = schema()["properties"]["datasets"]["additionalProperties"]["properties"]
    defaults = {key: deepcopy(described.get("default")) for key, described in keys.items()}
    assert changed.keys() <= defaults.keys()
    defaults["labels"] = {"corrections": None}
    return {**defaults, "size": list(SMALL), **{k: plain(v) for k, v in changed.items()}}


def plain(value):
    return str(value) if isinstance(value, Path) else value


def picture(seed, size=SMALL):
    """(H, W, 3) uint8: smooth, so that JPEG keeps it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LINEAR)


def encoded(image, ending=".jpg"):
    return cv2.imencode(ending, image)[1].tobytes()


def official_set(folder, count=30, splits=None, seed=0):
    """A part of CelebA in the official form, ``count`` images of three a person, as a zip."""
    random = np.random.default_rng(seed)
    names = [f"{i + 1:06d}.jpg" for i in range(count)]
    splits = np.arange(count) * 3 // count if splits is None else np.asarray(splits)
    labels = random.random((count, 40)) < 0.3
    folder.mkdir(parents=True)
    rows = [
        f"{name} " + " ".join("1" if value else "-1" for value in row)
        for name, row in zip(names, labels, strict=True)
    ]
    lines = [str(count), " ".join(ATTRIBUTES), *rows]
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    pairs = zip(names, splits, strict=True)
    (folder / "list_eval_partition.txt").write_text("".join(f"{n} {s}\n" for n, s in pairs))
    (folder / "identity_CelebA.txt").write_text(
        "".join(f"{name} {i // 3 + 1}\n" for i, name in enumerate(names))
    )
    images = {name: encoded(picture(i)) for i, name in enumerate(names)}
    zip_images(folder, images.items())
    return SimpleNamespace(names=names, splits=splits, labels=labels, images=images)


def zip_images(folder, entries, prefix="img_align_celeba/"):
    """Write the zip anew; entries are (name, bytes), and a name may come twice."""
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(prefix + name), content)


def run(out, settings, *flags):
    """Acquire into ``out`` through the command line; what it wrote, read back."""
    names = ("faces", "manifest.csv", "rejected.csv", "TERMS.txt", "faces.json")
    options = ("--out", "--manifest", "--rejected", "--terms", "--summary")
    paths = [str(out / name) for name in names]
    acquire.main(
        ["--settings", json.dumps(settings), "--downloads", str(out / "downloads"), *flags]
        + [word for pair in zip(options, paths, strict=True) for word in pair]
        + ["--log", str(out / "acquire.log")]
    )
    rejected = pd.read_csv(paths[2], dtype=str)
    return SimpleNamespace(
        faces=open_faces(out / "faces"),
        manifest=pd.read_csv(paths[1]),
        rejected=dict(zip(rejected["image_name"], rejected["reason"], strict=True)),
        terms=Path(paths[3]).read_text(),
        summary=json.loads(Path(paths[4]).read_text()),
        bytes=[Path(p).read_bytes() for p in paths[1:]],
    )


def splits_in_words(splits):
    return [SPLITS[split] for split in splits]
