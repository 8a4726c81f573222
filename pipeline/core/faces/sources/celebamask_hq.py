"""CelebAMask-HQ: 30,000 faces of CelebA in high resolution (Lee, Liu, Wu and Luo, CVPR 2020).

``CelebAMask-HQ-attribute-anno.txt`` has CelebA's form, and ``CelebA-HQ-to-CelebA-mapping.txt``
(columns ``idx orig_idx orig_file``) says which of CelebA's images each one is: its split is that
one's, so that nothing that was trained on as CelebA is in test.
"""

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pipeline.core.attributes import AttributeSet
from pipeline.core.errors import UserError
from pipeline.core.faces.sources.celeba import read_attributes
from pipeline.core.faces.sources.images import LabelledImages
from pipeline.core.faces.sources.labels import Labels
from pipeline.core.faces.sources.layout import Layout, required_root
from pipeline.core.faces.sources.text import read_table, require_same_names

LABELS, MAPPING = "CelebAMask-HQ-attribute-anno.txt", "CelebA-HQ-to-CelebA-mapping.txt"
IMAGES = "CelebA-HQ-img"
FIRST = (162_771, 182_638)  # of CelebA's images in valid, and in test
TERMS = """CelebAMask-HQ (Lee, Liu, Wu and Luo; CVPR 2020).

For non-commercial research only; the images are CelebA's, whose terms apply too. They may not be
handed on, sold or used commercially. https://github.com/switchablenorms/CelebAMask-HQ
"""


def open_celebamask_hq(settings: dict[str, Any]) -> LabelledImages:
    """The faces below ``settings["root"]``: both lists, and the folder ``CelebA-HQ-img``."""
    root = required_root(settings["root"], f"{LABELS}, {MAPPING} and {IMAGES}/")
    layout = Layout(root, {LABELS, MAPPING, IMAGES})
    path, mapping, images = map(layout.require, (LABELS, MAPPING, IMAGES))
    names, values = read_attributes(path, AttributeSet.of(settings["attributes"]))
    numbers = read_mapping(mapping)
    require_same_names(mapping, numbers, path, names)
    splits = np.searchsorted(FIRST, [numbers[name] for name in names], side="right")
    labels = Labels(names, splits, values, np.full(len(names), -1, dtype=np.int64))
    return LabelledImages(images, labels, TERMS)


def read_mapping(path: Path) -> dict[str, int]:
    """The number in CelebA of each image, by its name here."""
    numbers = {}
    for name, cells, line in read_table(path).rows:
        number = PurePosixPath(cells[-1]).stem if len(cells) == 2 else ""
        if not number.isdecimal():
            raise UserError(f"{path}, line {line}: expected idx, orig_idx and orig_file.")
        numbers[f"{name}.jpg"] = int(number)
    return numbers
