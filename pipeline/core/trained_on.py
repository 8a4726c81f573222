"""What a network was trained on: kept in its weights, stated wherever the network is described."""

from dataclasses import asdict, dataclass
from typing import Any

SOURCES = {  # of a data set's entry: what its faces are
    "celeba": "images and labels in the form of CelebA's official files",
    "huggingface": "images and labels of a Hugging Face repository in CelebA's form",
    "folder": "images and labels of a user's own folder",
    "lfwa": "LFWA's images and labels",
    "celebamask_hq": "images and labels of CelebAMask-HQ",
    "fairface": "FairFace's images and labels",
    "utkface": "UTKFace's images, labelled by their names",
    "synthetic": "synthetic faces, drawn by attparse",
}


@dataclass(frozen=True)
class TrainedOn:
    """``faces`` has how many of each split were used: train taught, valid chose the epoch."""

    data_set: str
    source: str
    faces: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_trained_on(about: dict[str, Any]) -> TrainedOn | None:
    """From what weights or a ``metrics.json`` have about a model; None where they do not say."""
    kept = about.get("trained_on")
    return TrainedOn(**kept) if kept else None


def faces_of(trained_on: TrainedOn | None) -> str:
    """The faces, without a full stop: for a title or a line of a table."""
    if trained_on is None:
        return "unknown faces: these weights do not say which"
    faces = trained_on.faces
    return (
        f"{faces['train']:,} faces of the split train of {trained_on.data_set}"
        f" ({SOURCES.get(trained_on.source, trained_on.source)}); {faces['valid']:,} of valid chose"
        " the epoch"
    )


def meaning(trained_on: TrainedOn | None) -> str:
    """What the network's predictions are, and what they are not, in one sentence."""
    if trained_on is None:
        return "What its predictions mean is not known either."
    if trained_on.source == "synthetic":
        return (
            "It learnt its attributes from drawings alone: what it predicts of photographs means"
            " nothing."
        )
    return (
        f"It predicts how the labels of {trained_on.data_set} would describe a picture; it knows"
        " nothing of the person."
    )


def statement(trained_on: TrainedOn | None) -> str:
    """Both, for a page."""
    return f"The network was trained on {faces_of(trained_on)}. {meaning(trained_on)}"
