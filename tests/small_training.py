"""Small faces with masks, and the train stage run on them: for the tests of training."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import safetensors.torch
import torch
from conftest import ROOT, schema

from pipeline import train
from pipeline.core.attributes import CELEBA, UNKNOWN, AttributeSet
from pipeline.core.configuration import complete
from pipeline.core.faces.store import Face, open_faces, write_faces
from pipeline.core.masks.regions import attribute_masks, codes
from pipeline.core.masks.store import finish, write_shard
from pipeline.core.model_settings import TrainingSettings
from pipeline.core.networks.weights import load_network
from pipeline.core.training.transforms import prepare

SIZE = (44, 40)  # AttParseNet's maps of it are 9×7
SEED = 5


def write_data(
    folder: Path,
    train_faces: int = 20,
    valid_faces: int = 7,
    attributes: AttributeSet = CELEBA,
    test_faces: int = 0,
    unknown: float = 0,
) -> None:
    """``faces`` and ``masks.zarr``: blurred noise, random labels, blocks as regions.

    The share ``unknown`` of the labels is not known. Every fifth face has no landmarks.
    """
    random = np.random.default_rng(3)
    faces, shards, count = [], [], train_faces + valid_faces + test_faces
    for i in range(count):
        image = cv2.GaussianBlur(random.integers(0, 256, (*SIZE, 3), np.uint8), (0, 0), 2)
        split = "train" if i < train_faces else "valid"
        split = "test" if i >= train_faces + valid_faces else split
        encoded = cv2.imencode(".png", image)[1].tobytes()
        labels = (random.random(len(attributes.names)) < 0.4).astype(np.int8)
        if unknown:
            labels[random.random(len(labels)) < unknown] = UNKNOWN
        for of in attributes.exclusive.values():  # of every sixth face nobody knows which
            one = np.arange(len(of)) == i % len(of)
            labels[attributes.columns(of)] = UNKNOWN if i % 6 == 5 else one
        faces.append(Face(f"{i:03d}.png", split, i, labels, encoded))
        small = random.integers(0, 2**14, (11, 10), np.uint16) * (i % 5 > 0)
        bits = small.astype(np.uint16).repeat(4, axis=0).repeat(4, axis=1)
        shards.append((attribute_masks(bits, faces[-1].attributes, codes(attributes.table)), bits))
    write_faces(folder / "faces", faces, SIZE, attributes)
    for number in range(-(-count // 8)):
        write_shard(folder / "masks.zarr", number, 8, shards[8 * number : 8 * number + 8])
    labels = np.stack([face.attributes for face in faces])
    names = [face.name for face in faces]
    finish(folder / "masks.zarr", names, np.arange(count) % 5 > 0, labels, SIZE, 8, attributes)


def entry(**changes: Any) -> dict[str, Any]:
    """A small AttParseNet's entry of the configuration, complete, in full precision."""
    model = {
        "network": "attparsenet",
        "width": 0.03,
        "epochs": 2,
        "batch_size": 4,
        "precision": "32-true",
        "accelerator": "cpu",
        "workers": 0,
        "schedule": {"name": "exponential"},
        "augmentation": {"flip": True, "shift": 3, "brightness": 0.1, "contrast": 0.1},
        "attributes": ["Male", "Smiling", "Eyeglasses"],
        **changes,
    }
    config = {
        "dataset": "d",
        "datasets": {"d": {"source": "synthetic"}},
        "models": {"m": model, "n": model},
    }
    config |= {"train": ["m"], "compare": {"pairs": [["m", "n"]], "shares": [1]}}
    config |= {"predict": {"model": "m"}}
    completed: dict[str, Any] = complete(config, schema())["models"]["m"]
    return completed


def settings(exclusive: Any = None, **changes: Any) -> TrainingSettings:
    """The same as they hold for a training on ``write_data``'s faces."""
    complete = entry(**{"input_size": list(SIZE), **changes})
    regions = CELEBA.only(complete["attributes"]).regions
    return TrainingSettings.from_dict(
        {
            **complete,
            "faces_size": list(SIZE),
            "attribute_regions": [list(of) for of in regions],
            "exclusive": exclusive or {},
        }
    )


def command(data: Path, out: Path, *, masks: bool = True, **changes: Any) -> list[str]:
    """The train stage's arguments: results and checkpoints go to ``out``."""
    flags = {
        "faces": data / "faces",
        "checkpoints": out / "checkpoints",
        "weights": out / "weights.safetensors",
        "history": out / "history.csv",
        "run": out / "run.json",
        "data-set": "small",
        "source": "folder",
        "seed": SEED,
        "threads": 1,
        "settings": json.dumps(entry(**changes)),
    }
    if masks:
        flags["masks"] = data / "masks.zarr"
    return [part for flag, value in flags.items() for part in (f"--{flag}", str(value))]


def train_small(data: Path, out: Path, **changes: Any) -> pd.DataFrame:
    """Train in this process; return the history."""
    train.main(command(data, out, **changes))
    return pd.read_csv(out / "history.csv")


def start(flags: list[str]) -> subprocess.Popen[str]:
    """The train stage in a process, and a process group, of its own."""
    line = [sys.executable, "-m", "pipeline.train", *flags]
    return subprocess.Popen(
        line, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def last(out: Path) -> Path | None:
    """The checkpoint of the one training that went to ``out``, if there is one now."""
    found = list((out / "checkpoints").glob("*/last.ckpt"))
    assert len(found) < 2
    return found[0] if found else None


def weights(out: Path) -> dict[str, Any]:
    return dict(safetensors.torch.load_file(out / "weights.safetensors"))


def splits(data: Path) -> tuple[np.ndarray, np.ndarray]:
    faces = open_faces(data / "faces")
    return faces.rows("train"), faces.rows("valid")


def valid_predictions(data: Path, out: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N, A) bool and logits (N, A) of the split valid, by the weights in ``out``."""
    network, kept = load_network(out / "weights.safetensors")
    faces, rows = open_faces(data / "faces"), splits(data)[1]
    images = torch.from_numpy(np.stack([faces.image(row) for row in rows]).transpose(0, 3, 1, 2))
    with torch.inference_mode():
        logits = network(prepare(images, kept)).logits.numpy()
    return faces.attributes[rows][:, faces.attribute_set.columns(kept.attributes)], logits


class Harmful:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
