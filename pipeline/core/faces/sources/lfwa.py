"""LFWA: CelebA's 40 attributes on Labeled Faces in the Wild (Liu, Luo, Wang and Tang, ICCV 2015).

``lfw_att_40.mat`` has ``name`` (N,), ``AttrName`` (40,) and ``label`` (N, 40);
``indices_train_test.mat`` has, from 1, which of them are train and test; without it all are test.
Every tenth person of train is valid. A photograph shows the face in its middle.
"""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.attributes import AttributeSet
from pipeline.core.errors import UserError
from pipeline.core.faces.sources.images import LabelledImages
from pipeline.core.faces.sources.labels import Labels
from pipeline.core.faces.sources.layout import Layout, required_root
from pipeline.core.faces.sources.text import require_unique
from pipeline.core.faces.sources.trees import normalized_label
from pipeline.core.faces.store import SPLITS

LABELS, INDICES = "lfw_att_40.mat", "indices_train_test.mat"
IMAGES = ["lfw", "lfw_funneled", "lfw-deepfunneled"]
TERMS = """LFWA: CelebA's attributes (Liu, Luo, Wang, Tang; ICCV 2015) on Labeled Faces in the Wild.

The labels are for non-commercial research only, as CelebA's:
https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html. The images were collected from news on the web,
and their copyright is that of their owners.
"""


def open_lfwa(settings: dict[str, Any]) -> LabelledImages:
    """The faces below ``settings["root"]``: the labels, and the folder of images by person."""
    root = required_root(settings["root"], f"{LABELS} and the images in {IMAGES[0]}/")
    layout = Layout(root, {LABELS, INDICES, *IMAGES})
    path, indices, images = layout.require(LABELS), layout.find([INDICES]), layout.require(*IMAGES)
    content = read_mat(path, "name", "AttrName", "label")
    names = [normalized_label(str(name)) for name in content["name"]]
    require_unique(path, names)
    values = labels_of(path, content, AttributeSet.of(settings["attributes"]), len(names))
    _, people = np.unique([name.split("/")[0] for name in names], return_inverse=True)
    splits = np.full(len(names), SPLITS.index("test"))
    if indices:
        train = read_mat(indices, "indices_img_train")["indices_img_train"].astype(int) - 1
        if len(train) and not (train.min() >= 0 and train.max() < len(names)):
            raise UserError(f"{indices} counts other images than the {len(names)} of {path.name}.")
        splits[train] = np.where(people[train] % 10 == 9, *map(SPLITS.index, ("valid", "train")))
    labels = Labels(names, splits, values, people.astype(np.int64))
    return LabelledImages(images, labels, TERMS)


def read_mat(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Arrays of a MATLAB file, (N,) or (N, M); ``UserError`` if it is none, or lacks one."""
    from scipy.io import loadmat

    try:
        content = loadmat(path, squeeze_me=True)
        return {name: np.atleast_1d(content[name]) for name in names}
    except NotImplementedError:
        raise UserError(
            f"{path} is in MATLAB's format 7.3, which scipy does not read; write it in format 7, by"
            " save -v7 in MATLAB, or in a Python that has mat73 by scipy.io.savemat('new.mat',"
            f" mat73.loadmat('{path.name}'))."
        ) from None
    except Exception as error:  # scipy's parser raises whatever the bytes lead it to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path} cannot be read as a MATLAB file with {', '.join(names)} ({reason})."
        ) from None


def labels_of(
    path: Path, content: dict[str, np.ndarray], attributes: AttributeSet, count: int
) -> np.ndarray:
    """(N, A) bool; names of attributes are compared by their letters and digits."""
    columns = {_letters(name): i for i, name in enumerate(content["AttrName"])}
    if missing := [name for name in attributes.names if _letters(name) not in columns]:
        raise UserError(f"{path} has no attribute {missing[0]} ({len(missing)} missing in all).")
    label = content["label"]
    if label.shape != (count, len(columns)) or not np.isin(label, (1, 0, -1)).all():
        raise UserError(f"{path}: expected a label of 1 and 0 for each image and attribute.")
    chosen: np.ndarray = label[:, [columns[_letters(name)] for name in attributes.names]] == 1
    return chosen


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
