"""Make a page to look at what a model got right and wrong: pick an attribute, see its faces.

For each attribute the page has true and false positives and negatives of the test split, the
surest first, each with the predicted map (or the attention) that led to it. It is one HTML file
that needs no server and no network.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import stage
from pipeline.core.evaluation.evaluated import Judged, open_judged
from pipeline.core.evaluation.inference import Viewer
from pipeline.core.presentation import pages
from pipeline.core.presentation.figures.places import overlaid, surest
from pipeline.core.presentation.style import readable, share

MEANS = {
    "true positive": ("Found", "labelled so, and predicted so (true positives)"),
    "false positive": ("Wrongly found", "not labelled so, yet predicted so (false positives)"),
    "false negative": ("Missed", "labelled so, yet not predicted so (false negatives)"),
    "true negative": ("Rightly not found", "neither labelled nor predicted so (true negatives)"),
}
ATTENTION = "how much the network attended to each place, the same for all attributes"
MAP = "the map that led to the answer"


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors")
    parser.add_argument("--faces", type=Path, required=True, help="the faces judged on")
    parser.add_argument("--predictions", type=Path, required=True, help="predictions.parquet")
    parser.add_argument("--out", type=Path, required=True, help="the page, gallery.html")
    parser.add_argument("--title", default="Right and wrong", help="the page's heading")
    parser.add_argument("--each", type=int, default=4, help="faces of each of the four kinds")
    args = parser.parse_args(argv)
    with stage.running(args.log):
        viewer, test = Viewer(args.weights), open_judged(args.faces, args.predictions)
        write_gallery(args.out, args.title, viewer, test, args.each)


def write_gallery(path: Path, title: str, viewer: Viewer, test: Judged, each: int) -> None:
    """Choose the faces, look at each once, and write the page."""
    chosen = [choose(test, k, each) for k in range(len(test.said.attributes))]
    faces = sorted({int(face) for kinds in chosen for some, _ in kinds.values() for face in some})
    pictures, maps = look(viewer, test, faces, wanted(chosen))
    pages.write_page(
        path,
        Path(__file__).with_suffix(".html"),
        title=title,
        images=len(test.rows),
        places=ATTENTION if viewer.attends else MAP if maps else "",
        attributes=[describe(test, k, kinds, maps) for k, kinds in enumerate(chosen)],
        faces=pictures,
        weights=test.said.weights,
    )


Chosen = dict[str, tuple[np.ndarray, int]]  # by kind: the faces to show, and how many there are


def choose(test: Judged, k: int, each: int) -> Chosen:
    """The surest test faces of each kind for attribute ``k``."""
    threshold = float(test.said.thresholds[k])
    by_kind = surest(test.labels[:, k], test.chances[:, k], threshold)
    return {kind: (faces[:each], len(faces)) for kind, faces in by_kind.items()}


def wanted(chosen: Sequence[Chosen]) -> dict[int, list[int]]:
    """For each face to show, the attributes to show it for."""
    found: dict[int, list[int]] = {}
    for k, kinds in enumerate(chosen):
        for faces, _ in kinds.values():
            for face in faces.tolist():
                found.setdefault(face, []).append(k)
    return found


def look(
    viewer: Viewer, test: Judged, faces: list[int], attributes: dict[int, list[int]]
) -> tuple[dict[int, str], dict[tuple[int, int], str]]:
    """The pictures of the faces, and by (face, attribute) that of where it was seen."""
    pictures, maps = {}, {}
    for face in stage.progress(faces, len(faces), "gallery"):
        image = test.images(np.array([face]))
        seen = viewer.look(image)
        pictures[face] = pages.picture(image[0])
        for k in attributes[face]:
            place = seen.place(0, k)
            if place is not None:
                maps[face, k] = pages.picture(overlaid(image[0], place), quality=70)
    return pictures, maps


def describe(test: Judged, k: int, kinds: Chosen, maps: dict[tuple[int, int], str]) -> Any:
    """What the page's script needs to show attribute ``k``."""
    label, name = test.labels[:, k], test.said.attributes[k]
    right = int((label == test.positive[:, k]).sum())
    return {
        "name": name,
        "words": readable(name),
        "numbers": f"{right} of {len(label)} test faces right; {int(label.sum())} are labelled so;"
        f" predicted from {share(float(test.said.thresholds[k]))} on.",
        "kinds": [
            {
                "kind": kind,
                "title": MEANS[kind][0],
                "means": MEANS[kind][1],
                "count": count,
                "faces": [cell(test, k, face, maps) for face in faces.tolist()],
            }
            for kind, (faces, count) in kinds.items()
        ],
    }


def cell(test: Judged, k: int, face: int, maps: dict[tuple[int, int], str]) -> dict[str, Any]:
    return {
        "face": face,
        "name": test.said.names[face],
        "chance": share(test.chances[face, k]),
        "label": "yes" if test.labels[face, k] else "no",
        "map": maps.get((face, k)),
    }


if __name__ == "__main__":
    main()
