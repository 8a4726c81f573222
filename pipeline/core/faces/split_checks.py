"""Signs that a split is not the one it is taken for; each is a sentence for log and report.

The official sizes and the fingerprint are CelebA's: on its test split, which is harder than the
others in a few attributes, any sound model is right about Big_Lips on 70–73 % of the faces and
about Narrow_Eyes on 86–88 %. A split by chance, or the valid split, gives other figures.
"""

import hashlib
from collections.abc import Iterator

import numpy as np

from pipeline.core.faces.store import Faces

OFFICIAL = {"train": 162_770, "valid": 19_867, "test": 19_962}
WHOLE = 190_000  # a data set of as many faces claims to be the whole of CelebA
FINGERPRINT = {"Big_Lips": (0.70, 0.73), "Narrow_Eyes": (0.86, 0.88)}
ELSEWHERE = {
    "the valid split": {"Big_Lips": 0.825, "Narrow_Eyes": 0.927},
    "a split by chance": {"Big_Lips": 0.777, "Narrow_Eyes": 0.893},
}


def identities_apart(splits: np.ndarray, identities: np.ndarray) -> list[str]:
    """One warning if people are in two splits: arrays (N,), unknown people are -1."""
    known = identities >= 0
    pairs = np.unique(
        np.stack([identities[known], np.unique(splits, return_inverse=True)[1][known]]), axis=1
    )
    people, found_in = np.unique(pairs[0], return_counts=True)
    leaked = people[found_in > 1]
    if not len(leaked):
        return []
    share = np.isin(identities[known & (splits == "test")], leaked).sum()
    return [
        f"{len(leaked)} of {len(people)} people are in two splits or more (such as person"
        f" {leaked[0]}; {share} test images): a model may know faces of the test split"
    ]


def trained_and_judged(trained: Faces, judged: Faces) -> list[str]:
    """One warning if a test image is, byte for byte, one of train or valid trained on."""
    known = set(_digests(trained, np.flatnonzero(trained.splits != "test")))
    test = judged.rows("test")
    seen = [
        row for row, digest in zip(test, _digests(judged, test), strict=True) if digest in known
    ]
    if not seen:
        return []
    return [
        f"{len(seen)} of {len(test)} test images (such as {judged.names[seen[0]]}) are also train"
        " or valid images of the faces trained on: the model may know them"
    ]


def _digests(faces: Faces, rows: np.ndarray) -> Iterator[bytes]:
    for row in rows.tolist():
        yield hashlib.sha256(faces.encoded(row)).digest()


def official_sizes(splits: np.ndarray) -> list[str]:
    """One warning if a data set as large as CelebA is not split as CelebA is."""
    sizes = {split: int((splits == split).sum()) for split in OFFICIAL}
    if len(splits) < WHOLE or sizes == OFFICIAL:
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
    """One warning if accuracies at threshold 0.5 are not those of CelebA's official test split.

    ``images`` is the size of the whole data set: small ones have no fingerprint.
    """
    if images < WHOLE or not set(FINGERPRINT) <= set(accuracy):
        return []
    if all(low <= accuracy[name] <= high for name, (low, high) in FINGERPRINT.items()):
        return []
    nearest = min(
        ELSEWHERE,
        key=lambda split: sum(
            abs(accuracy[name] - usual) for name, usual in ELSEWHERE[split].items()
        ),
    )
    usual = " and ".join(f"{name} {value:.1%}" for name, value in ELSEWHERE[nearest].items())
    found = " and ".join(f"{name} {accuracy[name]:.1%}" for name in FINGERPRINT)
    wanted = " and ".join(f"{low:.0%} to {high:.0%}" for low, high in FINGERPRINT.values())
    return [
        f"the accuracy is {found}, where sound models have {wanted} on CelebA's official test"
        f" split; {nearest} has {usual}: the split may be another, or the model is not sound"
    ]
