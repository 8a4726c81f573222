"""Groups of faces and contradictions, counted by hand."""

from functools import partial

import numpy as np
import pytest
from made_predictions import predictions_of
from matplotlib.figure import Figure

from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.evaluation import bootstrap
from pipeline.core.evaluation.groups import RULES, by_group, impossible
from pipeline.core.presentation.figures import performance

NAMES = list(ATTRIBUTES)
RESAMPLE = partial(bootstrap.resample, resamples=200, seed=5)
BOTH = ["Blond_Hair", "Male"]
BLOND, MALE = ATTRIBUTES.index("Blond_Hair"), ATTRIBUTES.index("Male")


def labels_of(faces: list[set[str]]) -> np.ndarray:
    return np.array([[name in face for name in ATTRIBUTES] for face in faces])


def test_the_worst_group_is_the_one_a_mean_hides():
    faces = [{"Blond_Hair"}] * 6 + [{"Blond_Hair", "Male"}] * 4 + [{"Male"}] * 8 + [set()] * 2
    labels = labels_of(faces)
    predicted = labels[:, [BLOND, MALE]].copy()
    predicted[6:9, 0] = False  # three of four blond men are predicted not to be blond
    test = predictions_of(labels, NAMES, predicted, BOTH, np.arange(20) // 2)
    found = by_group(test, BOTH, np.array([True, True]), min_class=3, resample=RESAMPLE)
    assert found["worst"]["group"] == {"Blond_Hair": True, "Male": True}
    assert found["worst"]["accuracy"] == 0.25
    assert found["worst"]["mean_accuracy"] == (0.25 + 1) / 2
    assert [group["images"] for group in found["groups"]] == [4, 6, 8, 2]
    assert [group["units"] for group in found["groups"]] == [2, 3, 4, 1]
    assert [group["counted"] for group in found["groups"]] == [True, True, True, False]


def test_a_group_that_is_too_small_is_not_the_worst():
    labels = labels_of([{"Male"}] * 10 + [set()])
    predicted = np.ones((11, 1), bool)  # wrong of the one face that is not male
    test = predictions_of(labels, NAMES, predicted, ["Male"])
    arguments = (test, ["Male"], np.array([True]))
    found = by_group(*arguments, min_class=2, resample=RESAMPLE)
    assert found["groups"][1]["accuracy"] == 0
    assert found["worst"] == found["groups"][0]
    assert found["worst_accuracy_interval"] == [1, 1]
    assert by_group(*arguments, min_class=1, resample=RESAMPLE)["worst"] == found["groups"][1] | {
        "counted": True
    }
    assert by_group(*arguments, min_class=12, resample=RESAMPLE)["worst"] is None


def random_faces(people=30, faces=4):
    """Labels of Blond_Hair and Male, predictions of both, and people of several faces."""
    random = np.random.default_rng(6)
    labels = labels_of([set()] * people * faces)
    labels[:, [BLOND, MALE]] = random.random((people * faces, 2)) < [0.4, 0.5]
    predicted = labels[:, [BLOND, MALE]] ^ (random.random((people * faces, 2)) < 0.3)
    return labels, predicted, np.repeat(np.arange(people), faces)


def by_hand(labels, predicted):
    """Accuracies of Blond_Hair by group, the lowest of them, and the gaps between the sexes."""
    blond, male, found = labels[:, BLOND], labels[:, MALE], predicted[:, 0]
    groups = [blond & male, blond & ~male, ~blond & male, ~blond & ~male]
    accuracy = [(found == blond)[group].mean() for group in groups]
    return accuracy, {
        "equal_opportunity": found[blond & male].mean() - found[blond & ~male].mean(),
        "demographic_parity": found[male].mean() - found[~male].mean(),
    }


def test_groups_gaps_and_their_intervals_are_those_of_people_resampled_by_hand():
    labels, predicted, people = random_faces()
    test = predictions_of(labels, NAMES, predicted, BOTH, people)
    found = by_group(test, BOTH, np.array([True, True]), 1, RESAMPLE)
    accuracy, gaps = by_hand(labels, predicted)
    assert [group["accuracy"] for group in found["groups"]] == pytest.approx(accuracy)
    for name, value in gaps.items():
        assert found["gaps"][name]["difference"] == pytest.approx(value)
    weights = np.concatenate(list(bootstrap.resampling_weights(30, 200, 5)))
    rows = [np.repeat(np.arange(len(people)), weight[people].astype(int)) for weight in weights]
    again = [by_hand(labels[of], predicted[of]) for of in rows]

    def ends(values):
        return pytest.approx([float(end) for end in bootstrap.interval(np.array(values), 30)])

    for number, group in enumerate(found["groups"]):
        assert group["accuracy_interval"] == ends([values[number] for values, _ in again])
    lows, highs = zip(*(group["accuracy_interval"] for group in found["groups"]), strict=True)
    assert found["worst_accuracy_interval"] == [min(lows), min(highs)]
    for name in gaps:
        assert found["gaps"][name]["interval"] == ends([of[name] for _, of in again])


def test_groups_of_one_attribute_have_no_gap():
    labels, predicted, people = random_faces()
    test = predictions_of(labels, NAMES, predicted, BOTH, people)
    found = by_group(test, ["Male"], np.array([True, True]), 1, RESAMPLE)
    assert found["gaps"] == {}
    low, high = found["groups"][0]["mean_accuracy_interval"]
    assert low < found["groups"][0]["mean_accuracy"] < high


def test_an_empty_group_and_an_absent_target_have_no_accuracy():
    labels = labels_of([{"Male"}, {"Male", "Blond_Hair"}])
    test, every = predictions_of(labels, NAMES, labels[:, [MALE]], ["Male"]), np.array([True])
    blond = by_group(test, BOTH, every, min_class=1, resample=RESAMPLE)
    assert blond["worst"] is None
    assert [group["images"] for group in blond["groups"]] == [1, 0, 1, 0]
    male = by_group(test, ["Male"], every, min_class=1, resample=RESAMPLE)
    assert [group["accuracy"] for group in male["groups"]] == pytest.approx(
        [1, np.nan], nan_ok=True
    )
    assert male["worst"]["group"] == {"Male": True}


def test_a_group_without_faces_has_no_bar_and_a_small_one_a_pale_one():
    labels = labels_of([{"Male", "Blond_Hair"}] * 5 + [{"Male"}])
    test = predictions_of(labels, NAMES, labels[:, [BLOND]], ["Blond_Hair"])
    axes = Figure().subplots()
    shown = by_group(test, BOTH, np.array([True]), min_class=2, resample=RESAMPLE)
    performance._groups(axes, [shown], 6)
    blond_men, blond_women, men, women = axes.patches
    assert blond_men.get_width() == men.get_width() == 1
    assert np.isnan([blond_women.get_width(), women.get_width()]).all()
    assert len({bar.get_facecolor() for bar in (blond_men, men)}) == 2
    (intervals,) = axes.collections  # a line from end to end for each group that has an interval
    ends = [segment[:, 0].tolist() for segment in intervals.get_segments()]
    assert ends == [[1, 1], [1, 1]]


def test_impossible_predictions_are_counted_beside_impossible_labels():
    predicted = [{"No_Beard", "Goatee"}, {"Black_Hair", "Brown_Hair", "Gray_Hair"}, {"Bald"}, set()]
    labelled = [{"No_Beard"}, {"Black_Hair"}, {"Bald", "Bangs"}, {"Brown_Hair"}]
    found = impossible(predictions_of(labels_of(labelled), NAMES, labels_of(predicted), NAMES))
    assert found["rules"]["No_Beard with Goatee"] == {"predicted": 0.25, "labelled": 0.0}
    assert found["rules"]["two hair colours"] == {"predicted": 0.25, "labelled": 0.0}
    assert found["rules"]["Bald with Bangs"] == {"predicted": 0.0, "labelled": 0.25}
    assert found["any"] == {"predicted": 0.5, "labelled": 0.25}


def test_rules_about_attributes_that_a_model_lacks_are_left_out():
    labels = labels_of([{"Male"}])
    found = impossible(predictions_of(labels, NAMES, labels[:, [MALE]], ["Male"]))
    assert found == {"rules": {}, "any": {"predicted": 0.0, "labelled": 0.0}}


def test_every_rule_names_attributes_of_celeba():
    assert all(set(of) <= set(ATTRIBUTES) for of in RULES.values())
