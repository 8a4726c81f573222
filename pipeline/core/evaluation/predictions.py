"""What a model predicted of every face, as Parquet: the only module that knows its columns.

Columns: ``image_name``, ``split``, ``celeb_id`` (-1 where unknown); the labels of the data set as
booleans, null where unknown, under their names; ``{attribute}_logit`` (float32) for each attribute
that the model has. The file's metadata holds, as JSON under ``attparse``, the thresholds, the train
split's share of positives, the hash of the weights, the warnings and, where there are any, the
attributes that exclude each other, so that every metric can be computed from this file alone, with
its warnings.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.attributes import Groups
from pipeline.core.errors import UserError
from pipeline.core.evaluation.metrics import logit_thresholds
from pipeline.core.faces.store import labels_of, with_nulls
from pipeline.core.files import digest, replacing

VERSION = 1
FACE, LOGIT = ("image_name", "split", "celeb_id"), "_logit"  # columns; an ending of columns


@dataclass(frozen=True)
class Predictions:
    """Faces of the valid and test splits, in the order of ``faces/``.

    ``labels`` (N, L) int8 of the data set's attributes ``label_names``; ``attributes`` the A of
    these that the model has; ``logits`` (N, A) float32; ``thresholds`` (A,) probabilities above
    which an attribute is predicted; ``train_positives`` (L,) the share of positives in the split
    ``train`` that was trained on, NaN where that data set lacks the attribute; ``weights`` the
    sha256 of the weights; ``warnings`` about the split and the intervals; ``exclusive`` those of
    ``attributes`` of which a face has at most one, by their column.
    """

    names: list[str]
    splits: np.ndarray
    identities: np.ndarray
    label_names: list[str]
    labels: np.ndarray
    attributes: list[str]
    logits: np.ndarray
    thresholds: np.ndarray
    train_positives: np.ndarray
    weights: str
    warnings: tuple[str, ...] = ()
    exclusive: Groups = field(default_factory=dict)

    @property
    def columns(self) -> list[int]:
        """Where the model's attributes lie among ``label_names``."""
        return [self.label_names.index(name) for name in self.attributes]

    @property
    def model_labels(self) -> np.ndarray:
        """(N, A) int8: the labels of the model's attributes."""
        labels: np.ndarray = self.labels[:, self.columns]
        return labels

    @property
    def predicted(self) -> np.ndarray:
        """(N, A) bool: the probability is above the threshold."""
        predicted: np.ndarray = self.logits > logit_thresholds(self.thresholds)
        return predicted

    def of(self, split: str) -> "Predictions":
        """The faces of one split."""
        rows = np.flatnonzero(self.splits == split)
        return replace(
            self,
            names=[self.names[row] for row in rows],
            splits=self.splits[rows],
            identities=self.identities[rows],
            labels=self.labels[rows],
            logits=self.logits[rows],
        )


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write the table whole or not at all; equal predictions are equal bytes."""
    columns = {
        "image_name": pa.array(predictions.names, pa.string()),
        "split": pa.array(predictions.splits.tolist(), pa.string()),
        "celeb_id": pa.array(predictions.identities.astype(np.int64)),
    }
    for name, labels in zip(predictions.label_names, predictions.labels.T, strict=True):
        columns[name] = with_nulls(labels)
    for name, logits in zip(predictions.attributes, predictions.logits.T, strict=True):
        columns[name + LOGIT] = pa.array(logits.astype(np.float32))
    about = {
        "version": VERSION,
        "thresholds": predictions.thresholds.tolist(),
        "train_positives": [None if np.isnan(p) else float(p) for p in predictions.train_positives],
        "weights": predictions.weights,
        "warnings": predictions.warnings,
        **({"exclusive": predictions.exclusive} if predictions.exclusive else {}),
    }
    about["sha256"] = _digest(about, list(columns))
    table = pa.table(columns).replace_schema_metadata({"attparse": json.dumps(about)})
    with replacing(path) as partial:
        pq.write_table(table, partial, compression="zstd", write_page_checksum=True)


def _schema(columns: list[str]) -> pa.Schema:
    """The types of a table's columns, by their names."""
    face = {"image_name": pa.string(), "split": pa.string(), "celeb_id": pa.int64()}
    others = {name: pa.float32() if name.endswith(LOGIT) else pa.bool_() for name in columns}
    return pa.schema([(name, face.get(name, others[name])) for name in columns])


def _digest(about: dict[str, Any], columns: list[str]) -> str:
    """A hash of what no checksum of Parquet's covers, ``about`` without this hash."""
    kept = {key: value for key, value in about.items() if key != "sha256"}
    return digest([kept, columns])


def read_predictions(path: Path) -> Predictions:
    """Read the table; a file of another kind is a ``UserError``."""
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        about = json.loads((table.schema.metadata or {}).get(b"attparse", b"{}"))
        if about.get("version") != VERSION:
            raise ValueError(f"its metadata has version {about.get('version')}")
        if about.get("sha256") not in (None, _digest(about, table.column_names)):
            raise ValueError("its columns or metadata were changed")
        if table.schema != _schema(table.column_names):
            raise ValueError("the type of a column was changed")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is no table of predictions of version {VERSION}"
            f" ({' '.join(str(error).split())}); make it again with the rule evaluate."
        ) from None
    attributes = [n.removesuffix(LOGIT) for n in table.column_names if n.endswith(LOGIT)]
    label_names = [n for n in table.column_names if n not in FACE and not n.endswith(LOGIT)]
    return Predictions(
        names=table["image_name"].to_pylist(),
        splits=np.array(table["split"].to_pylist(), dtype=str),
        identities=table["celeb_id"].to_numpy(),
        label_names=label_names,
        labels=labels_of(table, label_names),
        attributes=attributes,
        logits=np.stack([table[name + LOGIT].to_numpy() for name in attributes], axis=1),
        thresholds=np.array(about["thresholds"]),
        train_positives=np.array(about["train_positives"], float),
        weights=about["weights"],
        warnings=tuple(about.get("warnings", ())),
        exclusive={column: tuple(of) for column, of in about.get("exclusive", {}).items()},
    )
