"""Make a page to look at what a model got right and wrong: pick an attribute, see its faces.

For each attribute the page has true and false positives and negatives of the test split, the most
confident first, each with the predicted map (or the attention), and the labels that the model
contradicts most surely. It is one HTML file that needs no server and no network.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core import stage
from pipeline.core.evaluation.evaluated import EvaluatedFaces, open_evaluated
from pipeline.core.evaluation.inference import Inference, heat_maps
from pipeline.core.evaluation.label_issues import label_issues
from pipeline.core.presentation import pages
from pipeline.core.presentation.figures.faces import most_confident, overlay
from pipeline.core.presentation.style import as_percent, readable
from pipeline.core.trained_on import statement

KINDS = {  # those of ``most_confident``, and ISSUE: heading, explanation
    "true positive": ("Found", "labelled and predicted (true positives)"),
    "false positive": ("Wrongly found", "predicted but not labelled (false positives)"),
    "false negative": ("Missed", "labelled but not predicted (false negatives)"),
    "true negative": ("Correctly not found", "neither labelled nor predicted (true negatives)"),
}
ISSUE = "label issue"
KINDS[ISSUE] = (
    "Labels to check",
    "the label is less likely than not, the least likely first: rows of label_issues.csv",
)
ATTENTION = "how much the network attended to each place, the same for all attributes"
MAP = "the map that the network predicted for the attribute"


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors")
    parser.add_argument("--faces", type=Path, required=True, help="the faces evaluated on")
    parser.add_argument("--predictions", type=Path, required=True, help="predictions.parquet")
    parser.add_argument("--out", type=Path, required=True, help="the page, gallery.html")
    parser.add_argument("--title", default="Right and wrong", help="the page's heading")
    parser.add_argument("--each", type=int, default=4, help="faces of each of the four kinds")
    args = parser.parse_args(argv)
    with stage.running(args.log):
        test = open_evaluated(args.faces, args.predictions)
        inference = Inference(args.weights, attributes=test.predictions.attributes)
        write_gallery(args.out, args.title, inference, test, args.each)


def write_gallery(
    path: Path, title: str, inference: Inference, test: EvaluatedFaces, each: int
) -> None:
    """Choose the faces, apply the network to each once, and write the page."""
    chosen = faces_by_kind(test)
    shown: dict[int, list[int]] = {}  # the attributes that each face is shown for
    for k, kinds in enumerate(chosen):
        for faces in kinds.values():
            for face in faces[:each].tolist():
                shown.setdefault(face, []).append(k)
    images, maps = encode(inference, test, shown)
    pages.write_page(
        path,
        Path(__file__).with_suffix(".html"),
        title=title,
        images=len(test.rows),
        second_image=ATTENTION if inference.has_attention else MAP if maps else "",
        attributes=[describe(test, k, kinds, each, maps) for k, kinds in enumerate(chosen)],
        faces=images,
        weights=test.predictions.weights,
        about=statement(inference.trained_on),
    )


def faces_by_kind(test: EvaluatedFaces) -> list[dict[str, np.ndarray]]:
    """For each attribute the test faces of each of ``KINDS``, the most confident first."""
    issues, faces = label_issues(test.predictions), pd.Index(test.predictions.names)
    labels, probabilities = test.labels, test.probabilities
    kinds = []
    for k, name in enumerate(test.predictions.attributes):
        threshold = float(test.predictions.thresholds[k])
        of_k = most_confident(labels[:, k], probabilities[:, k], threshold)
        contradicted = pd.Index(issues.loc[issues["attribute"] == name, "image_name"])
        of_k[ISSUE] = faces.get_indexer(contradicted)
        kinds.append(of_k)
    return kinds


Maps = dict[tuple[int, int], str]  # by face and attribute, as data: URIs


def encode(
    inference: Inference, test: EvaluatedFaces, shown: dict[int, list[int]]
) -> tuple[dict[int, str], Maps]:
    """The images of the faces, and by (face, attribute) where it was seen, as data: URIs."""
    images, maps = {}, {}
    face_of = {int(test.rows[face]): face for face in sorted(shown)}
    rows = np.array(list(face_of), int)
    for batch, pixels, output in inference.over(test.faces, rows, "gallery", attention=True):
        places = heat_maps(output)
        for i, row in enumerate(batch.tolist()):
            face = face_of[row]
            images[face] = pages.data_uri(pixels[i])
            if places is not None:
                for k in shown[face]:
                    maps[face, k] = pages.data_uri(overlay(pixels[i], places[i, k]), quality=70)
    return images, maps


def describe(
    test: EvaluatedFaces, k: int, kinds: dict[str, np.ndarray], each: int, maps: Maps
) -> dict[str, Any]:
    """What the page's script needs to show attribute ``k``."""
    label, probability = test.labels[:, k], test.probabilities[:, k]
    names, name = test.predictions.names, test.predictions.attributes[k]
    correct = int((label == test.predicted[:, k]).sum())
    return {
        "name": name,
        "words": readable(name),
        "numbers": f"{correct} of {int((label >= 0).sum())} test faces are predicted correctly;"
        f" {int((label == 1).sum())} are labelled so;"
        f" threshold {as_percent(float(test.predictions.thresholds[k]))}.",
        "kinds": [
            {
                "kind": kind,
                "title": KINDS[kind][0],
                "means": KINDS[kind][1],
                "count": len(faces),
                "faces": [
                    {
                        "face": face,
                        "name": names[face],
                        "probability": as_percent(probability[face]),
                        "label": "yes" if label[face] else "no",
                        # A label to check is about the face alone; most such are above, with maps.
                        "map": maps.get((face, k)) if kind != ISSUE else None,
                    }
                    for face in faces[:each].tolist()
                ],
            }
            for kind, faces in kinds.items()
        ],
    }


if __name__ == "__main__":
    main()
