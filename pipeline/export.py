"""Export a trained network as ONNX, ready to run anywhere, with a model card beside it.

``model.onnx`` takes ``images`` (batch, height, width, 3) uint8 RGB, any number at once, at the
size that its metadata names, and gives ``probabilities`` and ``logits`` (batch, attributes), and
``maps`` (batch, attributes, h, w) where the network makes maps. Normalisation is inside; names
and thresholds are in the metadata. It is kept only if its outputs in onnxruntime equal torch's.
"""

import argparse
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from pipeline.core import stage
from pipeline.core.errors import UserError
from pipeline.core.evaluation.summary import read_metrics
from pipeline.core.evaluation.thresholds import DEFAULT
from pipeline.core.files import read_json, read_table, replacing, sha256, write_text
from pipeline.core.model_settings import ModelSettings
from pipeline.core.networks.weights import load_network, read_metadata
from pipeline.core.presentation.edited import may_be_edited
from pipeline.core.presentation.model_card import model_card
from pipeline.core.trained_on import TrainedOn, read_trained_on, statement

log = logging.getLogger(__name__)

OPSET = 18
TOLERANCE = 1e-4  # between torch and onnxruntime, on every output
# What the card needs of run.json and metrics.csv: a file without it is refused before the work.
RUN_KEYS = ("images", "seed", "best_epoch", "epochs", "inputs_sha256")
TABLE_COLUMNS = (
    "attribute", "positives", "threshold", "accuracy", "balanced_accuracy", "auroc", "counted",
)  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors")
    parser.add_argument("--out", type=Path, required=True, help="folder for model and card")
    parser.add_argument("--metrics", type=Path, help="metrics.json: thresholds, and the numbers")
    parser.add_argument("--table", type=Path, help="metrics.csv: the card's row an attribute")
    parser.add_argument("--run", type=Path, help="run.json: what it was trained on")
    parser.add_argument("--terms", type=Path, help="TERMS.txt of the data")
    args = parser.parse_args(argv)
    with stage.running(args.log):
        export(args)


def export(args: argparse.Namespace) -> None:
    """Write ``model.onnx`` once it has been checked, then ``model_card.md``."""
    network, settings = load_network(args.weights)
    trained_on, digest = read_trained_on(read_metadata(args.weights)), sha256(args.weights)
    metrics = read_metrics(args.metrics, digest) if args.metrics else None
    run = read_json(args.run, *RUN_KEYS) if args.run else None
    table = read_table(args.table, *TABLE_COLUMNS) if args.table else None
    terms = read_terms(args.terms) if args.terms else None
    model = DeployedModel(network, settings).eval()
    with replacing(args.out / "model.onnx") as partial:
        write_onnx(model, partial, metadata(settings, trained_on, digest, metrics))
        difference = largest_difference(model, partial)
        if not difference <= TOLERANCE:
            raise UserError(
                f"the exported model differs from torch by {difference:.1e}, more than"
                f" {TOLERANCE:.0e}: the weights of {args.weights} are too large for float32, or"
                " this is a fault of attparse."
            )
    log.info("ONNX equals torch to %.1e", difference)
    with may_be_edited(*filter(None, (args.run, args.metrics, args.table))):
        card = model_card(settings, trained_on, digest, difference, run, metrics, table, terms)
    write_text(args.out / "model_card.md", card)


def read_terms(path: Path) -> str:
    """The terms of the data, whose first line names it; no text is a ``UserError``."""
    try:
        terms = path.read_text(encoding="utf-8").strip()
        if not terms:
            raise ValueError("it is empty")
    except (OSError, ValueError) as error:  # what is no UTF-8 is a ValueError
        raise UserError(
            f"{path} is not the terms of a data set ({error}): give its TERMS.txt, or none."
        ) from None
    return terms


class DeployedModel(nn.Module):
    """A network with what comes before and after it, from the pixels to the probabilities."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, settings: ModelSettings) -> None:
        super().__init__()
        self.network = network
        self.size = settings.input_size
        for name in ("mean", "std"):
            values = torch.tensor(getattr(settings.normalization, name)).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        with torch.no_grad():
            self.has_maps = network(torch.zeros(1, 3, *self.size)).maps is not None

    @property
    def outputs(self) -> list[str]:
        return ["probabilities", "logits", "maps"][: 3 if self.has_maps else 2]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        values = images.permute(0, 3, 1, 2).float() / 255
        output = self.network((values - self.mean) / self.std)
        return (output.logits.sigmoid(), output.logits, output.maps)[: len(self.outputs)]


def metadata(
    settings: ModelSettings,
    trained_on: TrainedOn | None,
    digest: str,
    metrics: dict[str, Any] | None,
) -> dict[str, str]:
    """Names and numbers as JSON."""
    names, (height, width) = settings.attributes, settings.faces_size
    thresholds = metrics["thresholds"] if metrics else {}
    return {
        "attributes": json.dumps(names),
        "thresholds": json.dumps([thresholds.get(name, DEFAULT) for name in names]),
        "input": json.dumps({"layout": "NHWC", "colours": "RGB", "size": settings.input_size}),
        "geometry": f"CelebA's aligned faces, made by python -m pipeline.align --size {height}"
        f" {width}, then resized to the input's size",
        "trained_on": statement(trained_on),
        "weights_sha256": digest,
    }


def write_onnx(model: DeployedModel, path: Path, about: dict[str, str]) -> None:
    """Write the model in one file."""
    images = torch.zeros(2, *model.size, 3, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (images,),
            input_names=["images"],
            output_names=model.outputs,
            dynamic_shapes={"images": {0: batch}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    onnx_model = program.model_proto
    for node in onnx_model.graph.node:  # the exporter notes the lines of source, with their paths
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*onnx_model.graph.value_info, *onnx_model.graph.input, *onnx_model.graph.output):
        value.ClearField("metadata_props")
    onnx_model.graph.ClearField("metadata_props")
    onnx.helper.set_model_props(onnx_model, about)
    onnx.checker.check_model(onnx_model)
    onnx.save_model(onnx_model, path)


def largest_difference(model: DeployedModel, path: Path) -> float:
    """Between torch and onnxruntime, on batches of one and of three images of noise."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    worst = 0.0
    for count in (1, 3):
        images = random.integers(0, 256, (count, *model.size, 3), np.uint8)
        with torch.inference_mode():
            expected = model(torch.from_numpy(images))
        for one, other in zip(session.run(None, {"images": images}), expected, strict=True):
            worst = max(worst, float(np.max(np.abs(one - other.numpy()))))
    return worst if np.isfinite(worst) else float("inf")


if __name__ == "__main__":
    main()
