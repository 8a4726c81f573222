"""Checks of a split. Each returns a list of warnings, sentences for the log and the report.

CelebA's official test split can be recognised by its results: it is harder than the other splits
in a few attributes, so that any sound model has an accuracy of 70–73 % on Big_Lips and of 86–88 %
on Narrow_Eyes. A random split, or the valid split, gives other figures.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
import pandas as pd

from pipeline.core.faces.store import Faces

OFFICIAL = {"train": 162_770, "valid": 19_867, "test": 19_962}
COMPLETE = 190_000  # faces from which on a data set counts as the complete CelebA
FINGERPRINT = {"Big_Lips": (0.70, 0.73), "Narrow_Eyes": (0.86, 0.88)}
OTHER_SPLITS = {
    "the valid split": {"Big_Lips": 0.825, "Narrow_Eyes": 0.927},
    "a random split": {"Big_Lips": 0.777, "Narrow_Eyes": 0.893},
}


def identities_apart(splits: np.ndarray, identities: np.ndarray) -> list[str]:
    """A warning if people are in more than one split: arrays (N,), unknown people are -1."""
    known = pd.DataFrame({"person": identities, "split": splits})[identities >= 0]
    splits_of = known.groupby("person")["split"].nunique()
    leaked = splits_of.index[splits_of > 1]
    if not len(leaked):
        return []
    test_images = (known["person"].isin(leaked) & (known["split"] == "test")).sum()
    return [
        f"{len(leaked)} of {len(splits_of)} people are in two splits or more (such as person"
        f" {leaked[0]}; {test_images} test images): a model may know faces of the test split"
    ]


def images_trained_on(trained: Faces, evaluated: Faces) -> list[str]:
    """A warning if test images of ``evaluated`` equal, byte for byte, train or valid images."""
    known = set(_digests(trained, np.flatnonzero(trained.splits != "test")))
    test = evaluated.rows("test")
    shared = [
        row for row, digest in zip(test, _digests(evaluated, test), strict=True) if digest in known
    ]
    if not shared:
        return []
    return [
        f"{len(shared)} of {len(test)} test images (such as {evaluated.names[shared[0]]}) are also"
        " train or valid images of the faces trained on: the model may know them"
    ]


def _digests(faces: Faces, rows: np.ndarray) -> Iterator[bytes]:
    for row in rows.tolist():
        yield hashlib.sha256(faces.encoded(row)).digest()


def official_sizes(splits: np.ndarray) -> list[str]:
    """A warning if a data set as large as CelebA is not split as CelebA is."""
    sizes = {split: int((splits == split).sum()) for split in OFFICIAL}
    if len(splits) < COMPLETE or sizes == OFFICIAL:
        return []
    found, expected = (
        " · ".join(f"{split} {size:,}" for split, size in counts.items())
        for counts in (sizes, OFFICIAL)
    )
    return [
        f"the splits are {found}; CelebA's official ones are {expected}:"
        " figures cannot be compared with published ones"
    ]


def fingerprint(images: int, accuracy: dict[str, float]) -> list[str]:
    """A warning if accuracies at threshold 0.5 are not those of CelebA's official test split.

    ``images`` is the size of the data set: only a complete CelebA has the fingerprint.
    """
    if images < COMPLETE or not set(FINGERPRINT) <= set(accuracy):
        return []
    if all(low <= accuracy[name] <= high for name, (low, high) in FINGERPRINT.items()):
        return []
    nearest = min(
        OTHER_SPLITS,
        key=lambda split: sum(
            abs(accuracy[name] - typical) for name, typical in OTHER_SPLITS[split].items()
        ),
    )
    typical = " and ".join(f"{name} {value:.1%}" for name, value in OTHER_SPLITS[nearest].items())
    found = " and ".join(f"{name} {accuracy[name]:.1%}" for name in FINGERPRINT)
    expected = " and ".join(f"{low:.0%} to {high:.0%}" for low, high in FINGERPRINT.values())
    return [
        f"the accuracy is {found}, where sound models have {expected} on CelebA's official test"
        f" split; {nearest} has {typical}: the split may be another, or the model is not sound"
    ]
