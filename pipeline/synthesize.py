"""Draw faces that belong to nobody, in CelebA's official layout, with the truth beside them.

    DIR/img_align_celeba/000001.jpg …   178×218 JPEGs in CelebA's geometry
    DIR/list_attr_celeba.txt, list_eval_partition.txt, identity_CelebA.txt
    DIR/landmarks.csv                   the 68 points by construction
    DIR/parts/000001.png, parts.json    which part of the face each pixel shows

A face depends on the seed and its number alone. The faces are cartoons: scores on them say
nothing about CelebA (docs/synthetic.md).
"""

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.core import stage
from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.errors import UserError
from pipeline.core.files import replacing, write_json, write_text
from pipeline.core.landmarks.table import Landmarks, write_landmarks
from pipeline.core.synthetic import draw
from pipeline.core.synthetic.parts import PARTS
from pipeline.core.synthetic.people import FACES_A_PERSON, face

JPEG_SETTINGS = [cv2.IMWRITE_JPEG_QUALITY, 92]
MIN_IMAGES = 4 * FACES_A_PERSON - 2  # four people: two to train on, one to choose by, one to test
MAX_IMAGES = 999_999  # names have six digits


def main(argv: list[str] | None = None) -> None:
    parser = stage.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to make, whole or not")
    parser.add_argument("--threads", type=int, default=1, help="faces to draw at once")
    parser.add_argument("--settings", type=stage.settings, required=True, help="images, seed")
    args = parser.parse_args(argv)
    with stage.running(args.log):
        synthesize(args.out, args.settings, args.threads)


def synthesize(out: Path, settings: dict[str, Any], threads: int = 1) -> None:
    """Draw ``settings["images"]`` faces of ``settings["seed"]`` into the folder ``out``.

    The folder appears when it is whole; its bytes do not depend on ``threads``.
    """
    images, seed = settings["images"], settings["seed"]
    if not MIN_IMAGES <= images <= MAX_IMAGES:
        raise UserError(
            f"images: {images} synthetic faces cannot be split into train, valid and test;"
            f" ask for a number from {MIN_IMAGES} to {MAX_IMAGES}."
        )
    names = [f"{number:06d}.jpg" for number in range(1, images + 1)]
    labels, points = [], []
    with replacing(out) as folder:
        (folder / "img_align_celeba").mkdir(parents=True)
        (folder / "parts").mkdir()
        drawn = _draw_all(partial(_draw_one, seed), images, threads)
        for name, one in zip(names, stage.progress(drawn, images, "drawing faces"), strict=True):
            (folder / "img_align_celeba" / name).write_bytes(one.image)
            (folder / "parts" / name).with_suffix(".png").write_bytes(one.parts)
            labels.append(one.labels)
            points.append(one.points)
        _write_labels(folder, names, labels)
        landmarks = Landmarks(names, np.stack(points), ["construction"] * images)
        write_landmarks(folder / "landmarks.csv", landmarks)
        write_json(folder / "parts.json", dict(enumerate(PARTS)))


def splits(images: int) -> np.ndarray:
    """(images,) int: 0 train, 1 valid, 2 test, about 70 : 10 : 20, nobody in two of them."""
    people = -(-images // FACES_A_PERSON)
    train = people * 7 // 10
    valid = max(train + 1, people * 8 // 10)
    person = np.arange(images) // FACES_A_PERSON
    return (person >= train).astype(int) + (person >= valid)


@dataclass(frozen=True)
class _Drawn:
    """One face: encoded JPEG and PNG, ``labels`` (40,) bool, ``points`` (68, 2) in pixels."""

    image: bytes
    parts: bytes
    labels: np.ndarray
    points: np.ndarray


def _draw_all(draw_one: partial[_Drawn], images: int, threads: int) -> Iterator[_Drawn]:
    """``draw_one(0)``, ``draw_one(1)`` … in order, made in ``threads`` processes.

    They hand back bytes and write nothing, so that none that outlives a kill can spoil a rerun.
    """
    if threads <= 1:
        yield from map(draw_one, range(images))
        return
    # spawn: a forked process would inherit OpenCV's threads in an unknown state
    with multiprocessing.get_context("spawn").Pool(threads, cv2.setNumThreads, (1,)) as pool:
        yield from pool.imap(draw_one, range(images), chunksize=8)


def _draw_one(seed: int, index: int) -> _Drawn:
    person = face(seed, index)
    drawing = draw(person)
    _, image = cv2.imencode(".jpg", drawing.image[..., ::-1], JPEG_SETTINGS)
    _, parts = cv2.imencode(".png", drawing.parts)
    labels = np.array([person.has(attribute) for attribute in ATTRIBUTES])
    return _Drawn(image.tobytes(), parts.tobytes(), labels, drawing.points)


def _write_labels(folder: Path, names: list[str], labels: list[np.ndarray]) -> None:
    """The three text files, in the form of CelebA's."""
    signs = [" ".join(" 1" if positive else "-1" for positive in row) for row in labels]
    rows = [f"{name} {sign}" for name, sign in zip(names, signs, strict=True)]
    partition = zip(names, splits(len(names)), strict=True)
    contents = {
        "list_attr_celeba.txt": [str(len(names)), " ".join(ATTRIBUTES), *rows],
        "list_eval_partition.txt": [f"{name} {split}" for name, split in partition],
        "identity_CelebA.txt": [
            f"{name} {i // FACES_A_PERSON + 1}" for i, name in enumerate(names)
        ],
    }
    for file, lines in contents.items():
        write_text(folder / file, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
