"""Detectors and their cascade: the right face, or none."""

import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import ROOT
from face_detection import ALL, box_around, fetched_model, mean_face
from hypothesis import given
from hypothesis import strategies as st

from bench.landmarks import covered, errors_when_covered
from bench.nme import known_faces, nme
from pipeline.core.errors import UserError
from pipeline.core.faces.decoding import decode
from pipeline.core.geometry import PLACES, places, similarity
from pipeline.core.landmarks import detectors
from pipeline.core.landmarks.detectors import boxes, dlib_points, mediapipe_enlarged
from pipeline.core.synthetic import draw
from pipeline.core.synthetic.people import face

BLANK = np.full((218, 178, 3), 128, np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (218, 178, 3), dtype=np.uint8)
PLACE = boxes.aligned_box(BLANK)


def nothing(found: tuple[np.ndarray, list[str]]) -> bool:
    """Whether no face has been found in one image."""
    points, names = found
    return names == [""] and bool(np.isnan(points).all())


@pytest.fixture(scope="module")
def cascade():
    with detectors.opened(ALL, fetched_model(), "fitted") as opened:
        yield opened


@pytest.fixture(scope="module")
def aligned(real_faces):
    return known_faces(real_faces / "landmarks68/aligned")


def test_each_detector_alone_finds_real_faces(cascade, aligned):
    images, truths = aligned[0][:12], aligned[1][:12]
    for detector in cascade:
        found = detector.find(images, [None] * 12)
        assert nme(found, truths).mean(axis=1).max() < 0.08, detector.name


def test_of_two_people_the_one_in_the_box_is_taken(cascade, aligned):
    pairs = [(0, 1), (2, 3), (4, 5)]
    for first, second in pairs:
        image = np.hstack([aligned[0][first], aligned[0][second]])
        truths = aligned[1][[first, second]] + np.array([[[0, 0]], [[178, 0]]])
        for truth in truths:
            points, _ = detectors.find([image], cascade, [box_around(truth)])
            assert nme(points, truth[None]).mean() < 0.08


def test_in_an_aligned_image_the_face_in_the_middle_is_taken_and_not_that_at_the_edge(
    cascade, aligned
):
    image, truth = aligned[0][0], aligned[1][0]
    double = np.hstack([np.full((218, 60, 3), 90, np.uint8), image, image[:, :60]])
    points, _ = detectors.find([double[:, 60:238]], cascade)
    assert nme(points, truth[None]).mean() < 0.08


@pytest.mark.slow
@pytest.mark.parametrize("around", [0.15, 0.2, 0.35, 0.5])
def test_what_the_fallbacks_accept_of_faces_with_covered_eyes_or_mouth_is_near_the_truth(
    around, cascade, aligned
):
    _, errors = errors_when_covered(*aligned, cascade, around)
    assert len(errors) >= {0.15: 5, 0.2: 10, 0.35: 40, 0.5: 115}[around]
    assert np.mean(errors) <= 0.08


@pytest.mark.parametrize("image", [BLANK, NOISE], ids=["blank", "noise"])
def test_no_detector_sees_a_face_where_there_is_none(cascade, image):
    assert nothing(detectors.find([image], cascade))


@pytest.mark.parametrize("box", [(50, 50, 50, 90), (90, 90, 50, 50), (500, 500, 600, 600)])
def test_a_box_without_area_or_beyond_the_image_holds_no_face(box, cascade, aligned):
    assert nothing(detectors.find([aligned[0][0]], cascade, [box]))


@pytest.mark.parametrize("size", [0.6, 2.5])
def test_the_enlarged_image_leads_to_a_face_at_any_place_and_size(size, cascade, aligned):
    image, truth = aligned[0][3], aligned[1][3]
    large = cv2.resize(image, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
    whole = cv2.copyMakeBorder(large, 90, 20, 150, 30, cv2.BORDER_CONSTANT, value=(90, 90, 90))
    there = size * truth + (150, 90)
    points = cascade[1].find([whole], [box_around(there)])
    assert nme(points, there[None]).mean() < 0.08


def test_the_same_image_gives_the_same_points_whatever_was_seen_before(cascade, aligned):
    images = aligned[0][:6]
    alone = [detector.find(images[:1], [None]) for detector in cascade]
    for detector, first in zip(cascade, alone, strict=True):
        after = detector.find(images[::-1], [None] * 6)[-1:]
        np.testing.assert_array_equal(after, first)


def test_a_terminal_stays_clean_while_a_model_starts(capfd):
    with detectors.opened(["mediapipe"], fetched_model(), "fitted"):
        pass
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


class Constant:
    """A detector that always finds the same points."""

    def __init__(self, name: str, points: np.ndarray) -> None:
        self.name, self.points = name, points

    def find(self, images, boxes):
        return np.stack([self.points] * len(images))

    def close(self) -> None:
        pass


def test_a_face_that_fails_the_checks_goes_on_to_the_next_detector():
    upside_down = mean_face() * (1, -1) + np.array([0, 278])
    none, wrong = Constant("none", np.full((68, 2), np.nan)), Constant("wrong", upside_down)
    points, names = detectors.find([BLANK], [none, wrong, Constant("right", mean_face())])
    assert names == ["right"]
    np.testing.assert_array_equal(points[0], mean_face())
    assert nothing(detectors.find([BLANK], [none, wrong]))


def test_each_of_many_images_gets_the_first_detector_that_finds_its_face(cascade, aligned):
    images = [aligned[0][0], BLANK, covered(aligned[0][2], aligned[1][2][36:48], 60), aligned[0][3]]
    points, names = detectors.find(images, cascade)
    assert names[0] == names[3] == "mediapipe"
    assert names[1] == ""
    assert names[2] != "mediapipe"
    for image, found, name in zip(images, points, names, strict=True):
        again, names_again = detectors.find([image], cascade)
        assert names_again == [name]
        np.testing.assert_array_equal(again[0], found)


@given(st.floats(0.8, 1.3), st.floats(-15, 15), st.floats(-15, 15))
def test_a_face_about_where_it_should_be_is_plausible(size: float, right: float, down: float):
    middle = np.array([88, 139])
    moved = (mean_face() - middle) * size + middle + (right, down)
    assert detectors.plausible(moved, PLACE)


@pytest.mark.parametrize(
    "wrong",
    [
        mean_face() + np.array([60, 0]),
        (mean_face() - 139) * 0.3 + 139,
        (mean_face() - (88, 139)) * 2.5 + (88, 139),
        mean_face() * (1, -1) + np.array([0, 278]),
        np.full((68, 2), 100.0),
        np.full((68, 2), np.nan),
    ],
    ids=["elsewhere", "tiny", "huge", "upside down", "one point", "no numbers"],
)
def test_what_is_no_face_is_not_plausible(wrong):
    assert not detectors.plausible(wrong, PLACE)


@given(st.floats(0.9, 1.2), st.floats(-0.08, 0.08), st.floats(-5, 5), st.floats(-5, 5))
def test_shrunk_with_weight_1_the_five_points_lie_where_the_alignment_puts_them(
    size: float, angle: float, right: float, down: float
):
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved = (mean_face() - (88, 135)) @ turn * size + (88 + right, 135 + down)
    np.testing.assert_allclose(boxes.shrunk_to_alignment(moved, BLANK, 0.0), moved, atol=1e-9)
    drawn = boxes.shrunk_to_alignment(moved, BLANK, 1.0)
    shift, factor = boxes.from_alignment(drawn, BLANK)
    assert abs(shift) < 1e-6
    assert abs(factor - 1) < 1e-6


@pytest.mark.parametrize("size", [(218, 178), (436, 356), (224, 224), (120, 300)])
def test_at_any_size_the_known_place_is_where_the_alignment_puts_the_face(size):
    image, matrix = np.zeros((*size, 3), np.uint8), similarity(PLACES, places(size))
    there = mean_face() @ matrix[:, :2].T + matrix[:, 2]
    corners = np.reshape(PLACE, (2, 2)) @ matrix[:, :2].T + matrix[:, 2]
    assert boxes.aligned_box(image) == pytest.approx(corners.ravel())
    usual, scale = boxes.from_alignment(mean_face(), BLANK), matrix[0, 0]
    shift, factor = boxes.from_alignment(there, image)
    assert (shift / scale, factor) == pytest.approx(usual)
    drawn = boxes.shrunk_to_alignment(mean_face(), BLANK, 0.5) @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(boxes.shrunk_to_alignment(there, image, 0.5), drawn)
    for right in (0, 8, 12):  # in pixels of CelebA's size; beyond 9.5 it is elsewhere
        moved = mean_face() + np.array([right, 0]), there + np.array([right * scale, 0])
        assert boxes.as_aligned(moved[0], BLANK) == boxes.as_aligned(moved[1], image)


def test_disagreeing_predictions_are_shrunk_towards_the_alignment_or_refused():
    truth, small = mean_face() + np.array([4.0, 0]), boxes.Shrinkage(slope=10, limit=0.5)
    size = boxes.mean_side(boxes.around(truth))
    for apart, weight in ((0.0, 0.0), (0.02, 0.2), (0.1, 0.5), (0.3, None)):
        pair = [truth + np.array([0, side * apart * size]) for side in (-1, 1)]
        for aligned in (True, False):
            points = boxes.combine(pair, BLANK, aligned, 0.2, small)
            if weight is None:
                assert points is None
            else:
                expected = boxes.shrunk_to_alignment(truth, BLANK, weight * aligned)
                np.testing.assert_allclose(points, expected, atol=1e-6)
    assert boxes.combine([truth + 30] * 2, BLANK, True, 0.2, small) is None
    assert boxes.combine([truth + 30] * 2, BLANK, False, 0.2, small) is not None


def test_the_lead_is_a_synthetic_face_as_it_is_drawn():
    lead = decode(mediapipe_enlarged.LEAD.read_bytes())
    np.testing.assert_array_equal(lead, draw(face(7, 2)).image)


def test_without_dlib_the_cascade_is_shorter_and_dlib_alone_is_an_error(monkeypatch):
    monkeypatch.setattr(detectors, "find_spec", lambda name: None)
    with detectors.opened(["mediapipe", "dlib"], fetched_model(), "fitted") as opened:
        assert [detector.name for detector in opened] == ["mediapipe"]
    with (
        pytest.raises(UserError, match="not installed"),
        detectors.opened(["dlib"], fetched_model(), "fitted"),
    ):
        pass


def test_a_model_that_is_not_there_is_named(tmp_path):
    missing = tmp_path / "face_landmarker.task"
    with (
        pytest.raises(UserError, match=str(missing)),
        detectors.opened(["mediapipe"], missing, "fitted"),
    ):
        pass


def test_a_damaged_model_is_named(tmp_path):
    damaged = tmp_path / "face_landmarker.task"
    damaged.write_bytes(b"damaged")
    with (
        pytest.raises(UserError, match=str(damaged)),
        detectors.opened(["mediapipe"], damaged, "fitted"),
    ):
        pass


def test_dlib_loads_its_model_only_when_a_face_needs_it():
    detector = dlib_points.DlibPoints()
    assert np.isnan(detector.find([BLANK], [None])).all()
    assert "predictor" not in vars(detector)


def test_where_one_face_fills_the_place_the_others_are_not_looked_for(
    cascade, aligned, monkeypatch
):
    mesh = cascade[0]
    searched = []
    monkeypatch.setattr(mesh, "meshes", lambda image: searched.append(image.shape) or [])
    assert np.isfinite(mesh.find(aligned[0][:8], [None] * 8)).all()
    assert searched == []
    two = np.hstack([aligned[0][0], aligned[0][1]])
    mesh.find([two], [(0, 0, 356, 218)])  # neither fills this place
    assert len(searched) == 1


def test_the_reason_of_an_abort_while_mediapipe_starts_is_in_the_log(tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from pipeline.core import stage\n"
        "from pipeline.core.landmarks.detectors.mediapipe_mesh import quiet\n"
        "with stage.running(Path('log')), quiet(): os.write(2, b'no EGL'); os.abort()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True
    )
    assert run.returncode == -signal.SIGABRT
    assert run.stderr == b""
    assert (tmp_path / "log").read_text().endswith("no EGL")
