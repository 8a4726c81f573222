"""UTKFace: age, gender and race in the names of the files (Zhang, Song and Qi, CVPR 2017).

A name is ``[age]_[gender]_[race]_[date&time].jpg`` with numbers, here the words of FairFace. There
is no official split and nobody's identity: of ten faces in the order of their names eight are
train, one is valid and one test. A face that lies in two folders, as in some copies, is refused: it
might be in two splits.
"""

import re
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.errors import UserError
from pipeline.core.faces.sources.folder import open_words
from pipeline.core.faces.sources.images import LabelledImages
from pipeline.core.faces.sources.layout import required_root
from pipeline.core.faces.sources.trees import FolderTree

NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_\d+\..*")
GENDERS = ("Male", "Female")
RACES = ("White", "Black", "Asian", "Indian", "Others")
AGES = (*((3, "0-2"), (10, "3-9")), *((to, f"{to - 10}-{to - 1}") for to in range(20, 71, 10)))
OLDEST = "more than 70"
COLUMNS = ["age", "gender", "race"]
TERMS = """UTKFace (Zhang, Song and Qi; CVPR 2017).

For non-commercial research only. The copyright of the images is that of their owners, who may have
images removed. https://susanqq.github.io/UTKFace/
"""


def open_utkface(settings: dict[str, Any]) -> LabelledImages:
    """The faces below ``settings["root"]``; files of other names are rejected images."""
    root = required_root(settings["root"], "UTKFace's images")
    rows = []
    for name in sorted(FolderTree(root).names, key=lambda name: (PurePosixPath(name).name, name)):
        if found := NAME.fullmatch(PurePosixPath(name).name):
            age, gender, race = map(int, found.groups())
            word = next((word for to, word in AGES if age < to), OLDEST)
            rows.append((name, word, GENDERS[gender], RACES[race]))
    if not rows:
        raise UserError(f"{root} has no file named like [age]_[gender]_[race]_[date&time].jpg.")
    for (one, *_), (other, *_) in pairwise(rows):
        if _face(one) == _face(other):
            raise UserError(
                f"{root} has one face twice, as {one} and {other}; remove one of the copies, or"
                " name as root the folder of one of them."
            )
    # As objects: pandas has no text for a name that is no UTF-8, which is rejected later.
    table = pd.DataFrame(rows, columns=["image_name", *COLUMNS], dtype=object)
    table["split"] = np.array([*["train"] * 8, "valid", "test"])[np.arange(len(table)) % 10]
    return open_words(root, table, COLUMNS, settings, TERMS)


def _face(name: str) -> str:
    """A file's name without its folder and endings: those of one face begin alike, in order."""
    return PurePosixPath(name).name.partition(".")[0]
