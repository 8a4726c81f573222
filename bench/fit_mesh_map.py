"""Fit the map from MediaPipe's mesh to the 68 points, and say how well it generalises.

    python -m bench.fit_mesh_map --data ATTPARSE_DATA/landmarks68 --model face_landmarker.task \
        --out pipeline/core/landmarks/mesh_map.json

Every face is also used mirrored, so the map treats left and right alike. The strength of the
ridge is chosen by an inner cross-validation in each fold of the outer one, whose errors on the
held-out faces are printed; no photograph is in two folds. The file is then fitted on all faces.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from bench.nme import MIRRORED, known_faces, nme
from pipeline.core.files import write_text
from pipeline.core.landmarks.detectors.boxes import around
from pipeline.core.landmarks.detectors.mediapipe_mesh import MediapipeMesh, crop, nearest
from pipeline.core.landmarks.mesh_map import HAND_PICKED, Fit, fitted, flat, hand_picked, normalised

COMPONENTS = 40
RIDGES = (0.1, 0.3, 1.0, 3.0)  # in squared sizes of a face
SEED = 64
ABOUT = (
    "Coefficients of the map from MediaPipe's mesh to 68 points, made by bench/fit_mesh_map.py"
    " from {faces} HELEN faces, most of them warped to CelebA's aligned geometry, with the"
    " hand-placed points of iBUG 300-W. Terms of both: non-commercial research."
)


@dataclass(frozen=True)
class Examples:
    """Faces with mesh (N, 478, 3) and truth (N, 68, 2) in pixels; photographs (N,) by name."""

    meshes: np.ndarray
    truths: np.ndarray
    photographs: np.ndarray

    def take(self, chosen: np.ndarray) -> "Examples":
        return Examples(self.meshes[chosen], self.truths[chosen], self.photographs[chosen])


def load(folder: Path, model: Path, boxes: bool) -> Examples:
    """Examples from a folder in the form of landmarks68; ``boxes``: look near the truth only."""
    names = pd.read_csv(folder / "landmarks68.csv").image_name
    detector = MediapipeMesh(model, "hand_picked")
    meshes, (images, truths) = [], known_faces(folder)
    for image, truth in zip(images, truths, strict=True):
        part = crop(image, tuple(around(truth).tolist()) if boxes else None)
        mesh = nearest(detector.meshes(part.image), part.box)
        meshes.append(None if mesh is None else mesh + np.array([*part.corner, 0]))
    detector.close()
    found = np.array([mesh is not None for mesh in meshes])
    photographs = names.str.rsplit("_", n=1).str[0].to_numpy()
    return Examples(
        np.stack([mesh for mesh in meshes if mesh is not None]), truths[found], photographs[found]
    )


def mirror_partners(meshes: np.ndarray) -> np.ndarray:
    """(478,) for each mesh point that of the other half, from the mean of upright meshes."""
    mean = normalised(meshes, upright(meshes))[1].mean(axis=0)
    cost = ((mean[:, None] - mean[None] * (-1, 1, 1)) ** 2).sum(axis=-1)
    return np.asarray(linear_sum_assignment(cost)[1])


def upright(meshes: np.ndarray) -> np.ndarray:
    """A first mean mesh (478, 3), turned so that the outer eye corners are level."""
    right, left = meshes[:, 33].mean(axis=0), meshes[:, 263].mean(axis=0)
    angle = np.arctan2(left[1] - right[1], left[0] - right[0])
    mean = meshes.mean(axis=0) - meshes.mean(axis=(0, 1))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.concatenate([mean[:, :2] @ turn, mean[:, 2:]], axis=1)


def with_mirrored(examples: Examples, partners: np.ndarray) -> Examples:
    """Every face twice: as it is, and as in a mirror."""
    meshes = (examples.meshes * (-1, 1, 1))[:, partners]
    truths = (examples.truths * (-1, 1))[:, MIRRORED]
    return Examples(
        np.concatenate([examples.meshes, meshes]),
        np.concatenate([examples.truths, truths]),
        np.tile(examples.photographs, 2),
    )


def fit_map(examples: Examples, partners: np.ndarray, ridge: float) -> Fit:
    """Ridge regression of the hand-picked map's error on the shape's principal components."""
    doubled = with_mirrored(examples, partners)
    picked = {index for entry in HAND_PICKED for index in entry}
    used = np.array(sorted(picked | {int(partners[index]) for index in picked}))
    mean = upright(doubled.meshes)[used]
    for _ in range(2):  # the mean is turned like the shapes, and they like the mean
        pose, shapes = normalised(doubled.meshes[:, used], mean)
        mean = shapes.mean(axis=0)
    centred = flat(shapes - mean)
    axes = np.linalg.eigh(centred.T @ centred)[1].T[: -COMPONENTS - 1 : -1]
    axes = axes * np.sign(axes @ np.arange(1, axes.shape[1] + 1))[:, None]  # else arbitrary
    scores = centred @ axes.T
    missing = doubled.truths - hand_picked(doubled.meshes)
    errors = flat(missing @ np.swapaxes(pose.rotation, -1, -2) / pose.size)
    offset = errors.mean(axis=0)
    covariance = scores.T @ scores + ridge * np.eye(COMPONENTS)
    coefficients = np.linalg.solve(covariance, scores.T @ (errors - offset))
    return Fit(used, mean, axes, 3 * scores.std(axis=0), offset, coefficients)


def errors_of(fit: Fit, examples: Examples) -> np.ndarray:
    """(N, 68) NME of each point of each face."""
    return nme(fitted(examples.meshes, fit), examples.truths)


def folds(examples: Examples, count: int) -> list[np.ndarray]:
    """(N,) bool each: the faces to be left out; those of one photograph together."""
    names = np.unique(examples.photographs)
    order = np.random.default_rng(SEED).permutation(len(names))
    fold = order[np.searchsorted(names, examples.photographs)] % count
    return [fold == number for number in range(count)]


def choose(examples: Examples, partners: np.ndarray) -> float:
    """The ridge with the least error in 5-fold cross-validation."""

    def error(ridge: float) -> float:
        return float(held_out(examples, 5, lambda part: fit_map(part, partners, ridge)).mean())

    return min(RIDGES, key=error)


def nested(examples: Examples, partners: np.ndarray) -> Fit:
    """The map with the ridge that these examples themselves choose."""
    return fit_map(examples, partners, choose(examples, partners))


def held_out(examples: Examples, count: int, fit: Callable[[Examples], Fit]) -> np.ndarray:
    """(N, 68) NME of each face under a map that was fitted without its photograph."""
    errors = np.empty((len(examples.meshes), 68))
    for left_out in folds(examples, count):
        errors[left_out] = errors_of(fit(examples.take(~left_out)), examples.take(left_out))
    return errors


def as_json(fit: Fit, about: str) -> str:
    """A line for each array, with the digits that still move a point by a thousandth of a pixel.

    What is nothing but rounding becomes 0, so that every machine writes the same file.
    """
    lines = [f'  "about": "{about}"']
    for name, array in zip(Fit._fields, fit, strict=True):
        numbers = np.array2string(
            array.round(8) + 0.0,
            separator=",",
            threshold=array.size + 1,
            max_line_width=10**9,
            formatter={"float": "{:.4g}".format},
        )
        lines.append(f'  "{name}": {"".join(numbers.split())}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="has aligned/ and wild/")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    aligned = load(args.data / "aligned", args.model, boxes=False)
    wild = load(args.data / "wild", args.model, boxes=True)
    partners = mirror_partners(aligned.meshes)
    both = Examples(
        *map(np.concatenate, zip(vars(aligned).values(), vars(wild).values(), strict=True))
    )
    is_aligned = np.arange(len(both.meshes)) < len(aligned.meshes)

    def fit(examples: Examples) -> Fit:
        return nested(examples, partners)

    report("aligned, hand-picked", nme(hand_picked(aligned.meshes), aligned.truths))
    report("wild, hand-picked", nme(hand_picked(wild.meshes), wild.truths))
    report("aligned, cross-validated on aligned alone", held_out(aligned, 10, fit))
    others = aligned.take(~np.isin(aligned.photographs, wild.photographs))
    report("wild, fitted on aligned alone", errors_of(fit(others), wild))
    errors = held_out(both, 10, fit)
    report("aligned, cross-validated on both", errors[is_aligned])
    report("wild, cross-validated on both", errors[~is_aligned])
    print("ridge:", choose(both, partners))
    report("both, fitted on both", errors_of(fit(both), both))
    write_text(args.out, as_json(fit(both), ABOUT.format(faces=len(both.meshes))))


def report(title: str, errors: np.ndarray) -> None:
    inner, whole = errors[:, 17:].mean(), errors.mean()
    print(
        f"{title:45} NME {whole:.2%}  inner {inner:.2%}  worst face {errors.mean(axis=1).max():.2%}"
    )


if __name__ == "__main__":
    main()
