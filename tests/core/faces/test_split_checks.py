"""Planted faults of a split, each reported; a sound split, not."""

import numpy as np
import pytest

from pipeline.core.faces import split_checks
from pipeline.core.faces.store import Face, open_faces, write_faces

SPLITS = np.repeat(list(split_checks.OFFICIAL), list(split_checks.OFFICIAL.values()))
# How often a sound model is right on a face of each official split; train such that a random
# split has facts' 77.7 % and 89.3 %.
RIGHT = {
    "Big_Lips": {"train": 0.779, "valid": 0.825, "test": 0.715},
    "Narrow_Eyes": {"train": 0.891, "valid": 0.927, "test": 0.872},
}


def simulated_accuracy(splits: np.ndarray) -> dict[str, float]:
    """Accuracy on what ``splits`` calls test; a face is as hard as its official split."""
    rng = np.random.default_rng(0)
    test = splits == "test"
    probabilities = {name: np.vectorize(RIGHT[name].get)(SPLITS[test]) for name in RIGHT}
    return {name: float((rng.random(test.sum()) < probabilities[name]).mean()) for name in RIGHT}


def test_the_official_split_of_celeba_gives_no_warning():
    people = np.repeat([0, 1, 2], list(split_checks.OFFICIAL.values()))
    assert split_checks.identities_apart(SPLITS, people) == []
    assert split_checks.official_sizes(SPLITS) == []
    assert split_checks.fingerprint(len(SPLITS), simulated_accuracy(SPLITS)) == []


def test_a_shuffled_split_is_reported_by_the_fingerprint():
    shuffled = np.random.default_rng(1).permutation(SPLITS)
    (warning,) = split_checks.fingerprint(len(SPLITS), simulated_accuracy(shuffled))
    assert "a random split has" in warning


def test_valid_taken_for_test_is_reported_by_the_fingerprint():
    swapped = np.where(SPLITS == "valid", "test", np.where(SPLITS == "test", "valid", SPLITS))
    (warning,) = split_checks.fingerprint(len(SPLITS), simulated_accuracy(swapped))
    assert "the valid split has" in warning


def test_a_small_data_set_has_no_fingerprint_and_no_official_sizes():
    assert split_checks.fingerprint(4_170, {"Big_Lips": 0.9, "Narrow_Eyes": 0.9}) == []
    assert split_checks.official_sizes(SPLITS[::50]) == []


def test_a_model_without_the_two_attributes_has_no_fingerprint():
    assert split_checks.fingerprint(len(SPLITS), {"Male": 0.98}) == []


def test_sizes_that_are_not_celebas_are_reported():
    splits = np.repeat(["train", "valid", "test"], [160_000, 20_000, 20_000])
    (warning,) = split_checks.official_sizes(splits)
    assert "train 160,000" in warning
    assert "test 19,962" in warning


@pytest.mark.parametrize("planted", [1, 3])
def test_a_planted_leak_of_identities_is_reported_with_its_count(planted):
    splits = np.repeat(["train", "valid", "test"], [60, 20, 20])
    people = np.arange(100) // 5
    people[80 : 80 + planted] = np.arange(planted)  # test images of people of train
    (warning,) = split_checks.identities_apart(splits, people)
    assert f"{planted} of 20 people" in warning
    assert f"{planted} test images" in warning


def faces_of(path, images: list[bytes], splits: list[str]):
    labels = np.zeros(40, bool)
    rows = enumerate(zip(splits, images, strict=True))
    faces = [Face(f"{row}.jpg", split, -1, labels, image) for row, (split, image) in rows]
    write_faces(path, faces, (8, 8))
    return open_faces(path)


def test_test_images_of_another_data_set_that_were_trained_on_are_reported(tmp_path):
    images = [bytes([number]) * 9 for number in range(6)]
    trained = faces_of(tmp_path / "a", images[:4], ["train", "valid", "test", "train"])
    evaluated = faces_of(tmp_path / "b", images[5:1:-1] + images[:2], ["test"] * 5 + ["valid"])
    (warning,) = split_checks.images_trained_on(trained, evaluated)  # images 3 and 0; 2 is test's
    assert "2 of 5 test images (such as 2.jpg)" in warning
    assert split_checks.images_trained_on(trained, trained) == []


def test_unknown_people_leak_nothing():
    splits = np.repeat(["train", "test"], 10)
    assert split_checks.identities_apart(splits, np.full(20, -1)) == []
