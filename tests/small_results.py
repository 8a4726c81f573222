"""A whole small result folder, made by the stages themselves, for tests of what people see."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from conftest import schema

from pipeline import acquire, evaluate, masks, synthesize, train
from pipeline.core.configuration import complete
from pipeline.core.faces.store import open_faces
from pipeline.core.files import write_json
from pipeline.core.landmarks.table import read_landmarks, write_landmarks
from pipeline.landmarks import summarise

SMALL = """
dataset: synthetic
datasets: {synthetic: {source: synthetic, images: 64, seed: 5}}
masks: {shard: 32}
evaluate: {draws: 20, min_class: 2}
models:
  attparsenet:
    {network: attparsenet, width: 0.04, epochs: 1, batch_size: 20, workers: 0, precision: 32-true}
  cnn_rnn:
    {network: cnn_rnn, attributes: [Male], epochs: 1, batch_size: 20, input_size: [64, 64],
     segmentation_weight: 0, workers: 0, precision: 32-true}
train: [attparsenet, cnn_rnn]
compare: {pairs: [[attparsenet, cnn_rnn]], shares: [1]}
"""
PLACE = tempfile.TemporaryDirectory()  # until the process ends
HIDDEN = 3  # a test face that gets no landmarks


@cache
def small_results() -> Path:
    """The folder ``results/synthetic``, made once a process: data, two models, their evaluation."""
    config = complete(yaml.safe_load(SMALL), schema())
    folder = Path(PLACE.name) / "results/synthetic"
    make_data(folder, config)
    for name, settings in config["models"].items():
        make_model(folder, name, settings, config["evaluate"])
    return folder


def call(stage: Any, settings: Any, *words: str, **paths: Any) -> None:
    """A stage through its door: ``name=value`` becomes ``--name value``."""
    flags = [str(part) for name, path in paths.items() for part in (f"--{name}", path)]
    more = ["--settings", json.dumps(settings)] if settings is not None else []
    stage.main([*words, *[flag.replace("_", "-") if flag[:2] == "--" else flag for flag in flags],
                *more])  # fmt: skip


def make_data(folder: Path, config: dict[str, Any]) -> None:
    entry, drawn, faces = config["datasets"]["synthetic"], folder / "drawn", folder / "faces"
    call(synthesize, {"images": entry["images"], "seed": entry["seed"]}, out=drawn, threads=1)
    call(acquire, entry, drawn=drawn, downloads=folder / "d", out=faces,
         manifest=folder / "manifest.csv", rejected=folder / "rejected.csv",
         terms=folder / "TERMS.txt", summary=folder / "faces.json")  # fmt: skip
    landmarks = read_landmarks(drawn / "landmarks.csv")
    landmarks.points[open_faces(faces).rows("test")[HIDDEN]] = float("nan")
    write_landmarks(folder / "landmarks.csv", landmarks)
    write_json(folder / "landmarks.json", summarise(open_faces(faces), landmarks))
    how = {"shard": config["masks"]["shard"], "repair_labels": False}
    store = folder / "masks.zarr"
    call(masks, how, "draw", faces=faces, landmarks=folder / "landmarks.csv", part="1-of-1",
         shards=folder / "masks/1-of-1", out=folder / "masks/1-of-1.json")  # fmt: skip
    call(masks, how, "gather", faces=faces, parts=folder / "masks/1-of-1.json",
         shards=folder / "masks/1-of-1", store=store, summary=folder / "masks.json")  # fmt: skip


def make_model(folder: Path, name: str, settings: Any, evaluation: Any) -> None:
    run, faces = folder / name / "seed-64", folder / "faces"
    store = {"masks": folder / "masks.zarr"} if settings["segmentation_weight"] else {}
    weights = run / "weights.safetensors"
    call(train, settings, faces=faces, data_set="synthetic", source="synthetic",
         checkpoints=run / "checkpoints", weights=weights, history=run / "history.csv",
         run=run / "run.json", seed=64, **store)  # fmt: skip
    evaluated = run / "on-synthetic"
    call(evaluate, evaluation, weights=weights, faces=faces, trained_on=faces, **store,
         predictions=evaluated / "predictions.parquet", metrics=evaluated / "metrics.json",
         table=evaluated / "metrics.csv")  # fmt: skip


def model(name: str = "attparsenet") -> dict[str, Path]:
    """The files of an evaluated model by the names of the flags that take them."""
    folder = small_results()
    run, evaluated = folder / name / "seed-64", folder / name / "seed-64/on-synthetic"
    return {
        "weights": run / "weights.safetensors",
        "history": run / "history.csv",
        "run": run / "run.json",
        "predictions": evaluated / "predictions.parquet",
        "metrics": evaluated / "metrics.json",
        "table": evaluated / "metrics.csv",
        "faces": folder / "faces",
        "masks": folder / "masks.zarr",
    }


def only(files: dict[str, Path], *names: str) -> dict[str, Path]:
    return {name: files[name] for name in names}
