"""The synthetic faces: what they promise to the stages after them and to their users."""

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import synthesize
from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.files import sha256
from pipeline.core.geometry import HEIGHT, WIDTH
from pipeline.core.landmarks.table import read_landmarks
from pipeline.core.synthetic import camera, draw
from pipeline.core.synthetic.geometry import Shape
from pipeline.core.synthetic.parts import PART, PARTS
from pipeline.core.synthetic.people import FACES_A_PERSON, Face, face
from pipeline.core.synthetic.shapes import Canvas

# Percent of CelebA's 202,599 images with the label, in the order of its list_attr_celeba.txt.
CELEBA_RATES = """
11.1 26.7 51.3 20.5 2.2 15.2 24.1 23.5 23.9 14.8 5.1 20.5 14.2 5.8 4.7 6.5 6.3 4.2 38.7 45.5
41.7 48.3 4.2 11.5 83.5 28.4 4.3 27.7 8.0 6.6 5.7 48.2 20.8 32.0 18.9 4.8 47.2 12.3 7.3 77.4
"""
BEARDS = ("5_o_Clock_Shadow", "Goatee", "Mustache", "Sideburns")
HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")

faces = st.builds(face, st.integers(0, 2**32 - 1), st.integers(0, 10**6))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic") / "drawn"
    synthesize.synthesize(out, {"images": 30, "seed": 7})
    return out


def plain_face(index: int = 0, **labels: bool) -> Face:
    """A face with only the labels named, and those that are the rule."""
    has = dict.fromkeys(ATTRIBUTES, False) | {"Young": True, "No_Beard": True, "Attractive": True}
    return replace(face(7, index), labels=has | labels)


def distance_to(part: str, parts: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far points (N, 2) lie from the nearest pixel of a part, in pixels."""
    away = cv2.distanceTransform(
        (parts != PART[part]).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    x, y = np.round(points).astype(int).T
    return away[y, x]


@pytest.mark.slow
def test_bytes_depend_on_the_seed_and_not_on_the_number_of_threads(drawn, tmp_path):
    synthesize.main(
        ["--out", str(tmp_path / "two"), "--threads", "2", "--settings", '{"images":30,"seed":7}']
    )
    assert sha256(tmp_path / "two") == sha256(drawn)
    synthesize.synthesize(tmp_path / "other", {"images": 10, "seed": 8})
    for name in ("000001.jpg", "000010.jpg"):
        pictures = [folder / "img_align_celeba" / name for folder in (drawn, tmp_path / "other")]
        assert sha256(pictures[0]) != sha256(pictures[1])


def test_a_face_does_not_depend_on_how_many_are_drawn(drawn, tmp_path):
    synthesize.synthesize(tmp_path / "few", {"images": 10, "seed": 7})
    for name in ("img_align_celeba/000010.jpg", "parts/000010.png"):
        assert sha256(tmp_path / "few" / name) == sha256(drawn / name)


def test_files_have_the_official_forms(drawn):
    count, names, *rows = (drawn / "list_attr_celeba.txt").read_text().splitlines()
    assert int(count) == len(rows) == 30
    assert names.split() == list(ATTRIBUTES)
    assert all(re.fullmatch(r"\d{6}\.jpg( -1|  1){40}", row) for row in rows)
    images = sorted(file.name for file in (drawn / "img_align_celeba").iterdir())
    assert [row.split()[0] for row in rows] == images
    for file, values in (("list_eval_partition.txt", "[012]"), ("identity_CelebA.txt", r"\d+")):
        lines = (drawn / file).read_text().splitlines()
        assert all(re.fullmatch(rf"\d{{6}}\.jpg {values}", line) for line in lines)
        assert [line.split()[0] for line in lines] == images
    picture = cv2.imread(str(drawn / "img_align_celeba" / images[0]))
    assert picture.shape == (218, 178, 3)


def test_labels_written_are_those_of_the_faces_drawn(drawn):
    rows = (drawn / "list_attr_celeba.txt").read_text().splitlines()[2:]
    for index, row in enumerate(rows):
        written = dict(zip(ATTRIBUTES, (word == "1" for word in row.split()[1:]), strict=True))
        assert written == face(7, index).labels


def test_the_truth_lies_beside_the_faces(drawn):
    table = read_landmarks(drawn / "landmarks.csv")
    assert table.found.all()
    assert set(table.detectors) == {"construction"}
    parts = cv2.imread(str(drawn / "parts" / "000004.png"), cv2.IMREAD_UNCHANGED)
    drawing = draw(face(7, 3))
    np.testing.assert_array_equal(parts, drawing.parts)
    np.testing.assert_allclose(table.points[3], drawing.points, atol=5e-4)
    assert set(np.unique(parts)) <= set(range(len(PARTS)))


@given(st.integers(synthesize.MIN_IMAGES, 3000))
def test_every_split_has_faces_and_no_person_is_in_two(images):
    splits = synthesize.splits(images)
    assert (np.diff(splits) >= 0).all()
    assert set(splits) == {0, 1, 2}
    people = np.arange(images) // FACES_A_PERSON
    assert sum(len(set(people[splits == s])) for s in range(3)) == len(set(people))
    if images > 100:
        assert abs((splits == 0).mean() - 0.7) < 0.04
        assert abs((splits == 2).mean() - 0.2) < 0.04


def test_too_few_images_are_refused_in_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit, match="images: 9 synthetic faces cannot be split"):
        synthesize.main(["--out", str(tmp_path / "a"), "--settings", '{"images":9,"seed":7}'])
    assert not (tmp_path / "a").exists()


@given(faces)
def test_labels_of_a_face_agree_with_one_another(person):
    has = person.has
    assert sum(map(has, HAIR_COLOURS)) <= (0 if has("Bald") else 1)
    assert not (has("Straight_Hair") and has("Wavy_Hair"))
    assert not (has("Bangs") and has("Receding_Hairline"))
    assert not (has("Bald") and any(map(has, ("Bangs", "Straight_Hair", "Wavy_Hair"))))
    assert has("No_Beard") != any(map(has, BEARDS))
    assert has("Male") or has("No_Beard")
    assert not (has("Male") and any(map(has, ("Wearing_Lipstick", "Heavy_Makeup", "Rosy_Cheeks"))))
    assert not (has("Chubby") and has("Oval_Face"))
    assert not (has("Big_Nose") and has("Pointy_Nose"))


@given(st.integers(0, 2**32 - 1), st.integers(0, 10**5))
def test_a_person_stays_the_same_from_picture_to_picture(seed, person):
    album = [face(seed, FACES_A_PERSON * person + i) for i in range(FACES_A_PERSON)]
    for kept in ("Male", "Young", "Bald", "Chubby", "Oval_Face", "Pale_Skin", *HAIR_COLOURS):
        assert len({picture.has(kept) for picture in album}) == 1
    assert len({picture.build for picture in album}) == 1
    assert len({picture.scene for picture in album}) == FACES_A_PERSON


def test_labels_come_at_about_the_rates_of_celeba():
    labels = [list(face(1, index).labels.values()) for index in range(0, 18_000, FACES_A_PERSON)]
    rates = 100 * np.mean(labels, axis=0)
    np.testing.assert_allclose(rates, np.array(CELEBA_RATES.split(), float), atol=1.5, rtol=0.1)


def test_eyes_and_mouth_lie_where_those_of_celeba_do():
    points = np.mean([draw(face(5, index)).points for index in range(0, 90, 3)], axis=0)
    found = [points[36:42].mean(0), points[42:48].mean(0), points[48], points[54]]
    np.testing.assert_allclose(
        found, [(69.4, 112.7), (107.7, 112.7), (71.2, 152.8), (105.9, 152.8)], atol=1.0
    )


@pytest.mark.parametrize("index", range(0, 36, 3))
def test_landmarks_lie_on_the_parts_that_they_mark(index):
    person = face(3, index)
    hidden = {"Eyeglasses": False, "Bangs": False, "Wearing_Hat": False}
    drawing = draw(replace(person, labels=person.labels | hidden))
    points, parts = drawing.points, drawing.parts
    assert distance_to("eyes", parts, points[36:48]).max() < 2.3
    assert distance_to("brows", parts, points[18:26]).max() < 2.5
    assert distance_to("lips", parts, points[48:60]).max() < 2.3
    assert distance_to("nose", parts, points[27:36]).max() < 2.5
    assert distance_to("skin", parts, points[5:12]).max() < 2.0
    beyond = points[5:12] + 4 * (points[5:12] - points[30]) / np.linalg.norm(
        points[5:12] - points[30], axis=1, keepdims=True
    )
    if not person.has("Double_Chin"):
        assert distance_to("skin", parts, beyond).min() > 1.0


@settings(max_examples=25)
@given(faces, st.floats(55, 122), st.floats(60, 185))
def test_the_camera_moves_pixels_and_points_alike(person, x, y):
    person = replace(person, labels=person.labels | {"Blurry": False})
    canvas = Canvas(HEIGHT, WIDTH)
    canvas.paint(canvas.ellipse(x, y, 2.0, 2.0), np.full(3, 250.0))
    points = Shape(person).points.copy()
    points[30] = x, y
    drawing = camera.take_picture(canvas, person, points)
    bright = np.clip(drawing.image.mean(axis=2) - 40, 0, None)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    centre = [(bright * columns).sum() / bright.sum(), (bright * rows).sum() / bright.sum()]
    np.testing.assert_allclose(centre, drawing.points[30], atol=0.25)


@pytest.mark.parametrize(
    ("label", "part"),
    [
        ("Eyeglasses", "glasses"),
        ("Wearing_Hat", "hat"),
        ("Wearing_Earrings", "earrings"),
        ("Wearing_Necklace", "necklace"),
        ("Mouth_Slightly_Open", "mouth"),
    ],
)
@pytest.mark.parametrize("male", [False, True])
def test_a_part_is_seen_exactly_when_its_label_says_so(label, part, male):
    for present in (False, True):
        parts = draw(plain_face(Male=male, **{label: present})).parts
        assert ((parts == PART[part]).sum() > 12) == present
        assert ((parts == PART[part]).any()) == present


def test_a_bald_head_has_no_hair_and_others_have():
    for bald in (False, True):
        parts = draw(plain_face(Male=True, Bald=bald)).parts
        assert (parts == PART["hair"]).any() != bald


# Where each label shows: around some landmarks, or in a box (top, bottom, left, right).
FACE, JAW, BROWS, EYES, NOSE, MOUTH = (
    range(68),
    range(3, 14),
    range(17, 27),
    range(36, 48),
    range(27, 36),
    range(48, 60),
)
MIDFACE = [*EYES, *NOSE, *MOUTH]
HAIR, NECK, ALL = (35, 95, 45, 133), (178, 218, 30, 148), (0, 218, 0, 178)
SHOWS = {
    "5_o_Clock_Shadow": JAW,
    "Arched_Eyebrows": BROWS,
    "Attractive": FACE,
    "Bags_Under_Eyes": [*EYES, 28, 29],
    "Bald": (35, 135, 30, 148),
    "Bangs": HAIR,
    "Big_Lips": MOUTH,
    "Big_Nose": NOSE,
    "Black_Hair": (35, 135, 30, 148),
    "Blond_Hair": ALL,
    "Blurry": ALL,
    "Brown_Hair": ALL,
    "Bushy_Eyebrows": BROWS,
    "Chubby": ALL,
    "Double_Chin": NECK,
    "Eyeglasses": [*EYES, 0, 16, 29],
    "Goatee": range(5, 12),
    "Gray_Hair": ALL,
    "Heavy_Makeup": [*BROWS, *EYES, *MOUTH],
    "High_Cheekbones": MIDFACE,
    "Male": ALL,
    "Mouth_Slightly_Open": MOUTH,
    "Mustache": [*range(31, 36), *MOUTH],
    "Narrow_Eyes": EYES,
    "Oval_Face": ALL,
    "Pale_Skin": ALL,
    "Pointy_Nose": NOSE,
    "Receding_Hairline": HAIR,
    "Rosy_Cheeks": FACE,
    "Sideburns": FACE,
    "Smiling": MOUTH,
    "Straight_Hair": ALL,
    "Wavy_Hair": ALL,
    "Wearing_Earrings": (120, 160, 30, 148),
    "Wearing_Hat": (15, 100, 25, 153),
    "Wearing_Lipstick": MOUTH,
    "Wearing_Necklace": NECK,
    "Wearing_Necktie": (190, 218, 0, 178),
    "Young": ALL,
}


def region(shows: tuple | range | list, points: np.ndarray) -> np.ndarray:
    """(218, 178) bool: the box itself, or the one that holds the landmarks."""
    if not isinstance(shows, tuple):
        left, top = points[list(shows)].min(axis=0).astype(int) - 6
        right, bottom = points[list(shows)].max(axis=0).astype(int) + 7
        shows = (top, bottom, left, right)
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[shows[0] : shows[1], shows[2] : shows[3]] = True
    return inside


def test_every_label_but_no_beard_is_to_be_seen():
    assert set(SHOWS) == set(ATTRIBUTES) - {"No_Beard"}  # that one says that four others are not


@pytest.mark.parametrize("label", SHOWS)
@pytest.mark.parametrize("index", [0, 6])  # light skin, dark skin
def test_a_label_changes_the_picture_where_it_should_show_and_not_elsewhere(label, index):
    man = {"Male": True} if label in (*BEARDS, "Bald", "Wearing_Necktie") else {}
    without, shown = (draw(plain_face(index, **man, **{label: here})) for here in (False, True))
    change = np.abs(without.image.astype(float) - shown.image).mean(axis=2)
    inside = region(SHOWS[label], without.points)
    assert np.sort(change[inside])[-80:].mean() > 12
    if not inside.all():
        assert change[inside].mean() > 2.5 * change[~inside].mean()
