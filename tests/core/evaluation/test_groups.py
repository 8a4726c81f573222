"""Groups of faces and contradictions, counted by hand."""

import numpy as np
from matplotlib.figure import Figure

from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.evaluation.groups import RULES, by_group, impossible
from pipeline.core.presentation.figures import performance

NAMES = list(ATTRIBUTES)
BLOND, MALE = ATTRIBUTES.index("Blond_Hair"), ATTRIBUTES.index("Male")


def labels_of(faces: list[set[str]]) -> np.ndarray:
    return np.array([[name in face for name in ATTRIBUTES] for face in faces])


def test_the_worst_group_is_the_one_a_mean_hides():
    faces = [{"Blond_Hair"}] * 6 + [{"Blond_Hair", "Male"}] * 4 + [{"Male"}] * 8 + [set()] * 2
    labels = labels_of(faces)
    predicted = labels[:, [BLOND, MALE]].copy()
    predicted[6:9, 0] = False  # three of four blond men are predicted not to be blond
    found = by_group(
        labels,
        NAMES,
        predicted,
        ["Blond_Hair", "Male"],
        np.arange(20) // 2,
        np.array([True, True]),
        ["Blond_Hair", "Male"],
        min_class=3,
    )
    assert found["worst"]["group"] == {"Blond_Hair": True, "Male": True}
    assert found["worst"]["accuracy"] == 0.25
    assert found["worst"]["mean_accuracy"] == (0.25 + 1) / 2
    assert [group["images"] for group in found["groups"]] == [4, 6, 8, 2]
    assert [group["units"] for group in found["groups"]] == [2, 3, 4, 1]
    assert [group["counted"] for group in found["groups"]] == [True, True, True, False]


def test_a_group_that_is_too_small_is_not_the_worst():
    labels = labels_of([{"Male"}] * 10 + [set()])
    predicted = np.ones((11, 1), bool)  # wrong of the one face that is not male
    arguments = (labels, NAMES, predicted, ["Male"], np.arange(11), np.array([True]), ["Male"])
    found = by_group(*arguments, min_class=2)
    assert found["groups"][1]["accuracy"] == 0
    assert found["worst"] == found["groups"][0]
    assert by_group(*arguments, min_class=1)["worst"] == found["groups"][1] | {"counted": True}
    assert by_group(*arguments, min_class=12)["worst"] is None


def test_an_empty_group_and_an_absent_target_have_no_accuracy():
    labels = labels_of([{"Male"}, {"Male", "Blond_Hair"}])
    arguments = (labels, NAMES, labels[:, [MALE]], ["Male"], np.arange(2), np.array([True]))
    blond = by_group(*arguments, ["Blond_Hair", "Male"], min_class=1)
    assert blond["worst"] is None
    assert [group["images"] for group in blond["groups"]] == [1, 0, 1, 0]
    male = by_group(*arguments, ["Male"], min_class=1)
    assert [group["accuracy"] for group in male["groups"]] == [1.0, None]
    assert male["worst"]["group"] == {"Male": True}


def test_a_group_without_faces_has_no_bar_and_a_small_one_a_pale_one():
    labels = labels_of([{"Male", "Blond_Hair"}] * 5 + [{"Male"}])
    arguments = (labels, NAMES, labels[:, [BLOND]], ["Blond_Hair"], np.arange(6), np.array([True]))
    axes = Figure().subplots()
    performance._groups(axes, [by_group(*arguments, ["Blond_Hair", "Male"], min_class=2)], 6)
    blond_men, blond_women, men, women = axes.patches
    assert blond_men.get_width() == men.get_width() == 1
    assert np.isnan([blond_women.get_width(), women.get_width()]).all()
    assert len({bar.get_facecolor() for bar in (blond_men, men)}) == 2


def test_impossible_predictions_are_counted_beside_impossible_labels():
    predicted = [{"No_Beard", "Goatee"}, {"Black_Hair", "Brown_Hair", "Gray_Hair"}, {"Bald"}, set()]
    labelled = [{"No_Beard"}, {"Black_Hair"}, {"Bald", "Bangs"}, {"Brown_Hair"}]
    found = impossible(labels_of(labelled), NAMES, labels_of(predicted), NAMES)
    assert found["rules"]["No_Beard with Goatee"] == {"predicted": 0.25, "labelled": 0.0}
    assert found["rules"]["two hair colours"] == {"predicted": 0.25, "labelled": 0.0}
    assert found["rules"]["Bald with Bangs"] == {"predicted": 0.0, "labelled": 0.25}
    assert found["any"] == {"predicted": 0.5, "labelled": 0.25}


def test_rules_about_attributes_that_a_model_lacks_are_left_out():
    labels = labels_of([{"Male"}])
    found = impossible(labels, NAMES, labels[:, [MALE]], ["Male"])
    assert found == {"rules": {}, "any": {"predicted": 0.0, "labelled": 0.0}}


def test_every_rule_names_attributes_of_celeba():
    assert all(set(rule.attributes) <= set(ATTRIBUTES) for rule in RULES)
