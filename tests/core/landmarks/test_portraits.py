"""Finding every face of a photograph; how many of many strips and rows, see bench/collages.py."""

from contextlib import closing

import cv2
import numpy as np
import pytest
from face_detection import fetched_model, mean_face
from hypothesis import given
from hypothesis import strategies as st

from bench.collages import collage, count, measure
from bench.nme import known_faces
from pipeline.core.landmarks.portraits import WINDOWS, Finder, same, windows


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1, 3])
def test_of_people_in_strips_and_rows_95_percent_are_found_and_nobody_twice(real_faces, scale):
    grids = [(1, 2), (5, 1), (1, 8), (4, 6)]
    counts = [
        (rows * columns, counts)
        for _, rows, columns, counts, _ in measure(
            real_faces / "landmarks68/aligned", fetched_model(), grids, [scale]
        )
    ]
    for faces, found in counts:
        assert found.found >= 0.95 * faces
        assert found.twice == 0


@pytest.mark.slow
def test_neither_eyes_nor_ears_of_a_large_face_are_faces(real_faces):
    images, truths = known_faces(real_faces / "landmarks68/aligned", slice(0, 6))
    with closing(Finder(fetched_model())) as finder:
        for image, truth in zip(images, truths, strict=True):
            picture, truth = collage([image], truth[None], 1, 1, scale=5)
            assert count(finder, picture, truth)[:2] == (1, 0)
            assert count(finder, picture, truth).others <= 1  # somebody at the image's edge


def test_nothing_is_found_in_noise():
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    with closing(Finder(fetched_model())) as finder:
        for size in ((80, 60), (800, 600)):
            picture = cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
            assert finder.find(picture, (218, 178)) == []


@given(
    st.integers(50, 2560),
    st.integers(50, 2560),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0.17 * 0.21, 0.4),
)
def test_a_face_of_any_place_and_size_is_whole_in_a_window_in_which_it_is_large_enough(
    height, width, down, right, share
):
    face = share * max(height, width)
    if face < 20 or face > min(height, width):
        return
    top, left = down * (height - face), right * (width - face)
    whole = [
        face / max(window[2] - window[0], window[3] - window[1])
        for window in windows((height, width))
        if window[0] <= left + 1 and window[1] <= top + 1
        if window[2] >= left + face - 1 and window[3] >= top + face - 1
    ]
    assert max(whole) >= 0.17


def test_a_picture_too_small_for_a_face_has_no_windows():
    assert list(windows((5, 19))) == []


def test_windows_lie_in_the_picture_and_cover_it():
    for size in ((218, 178), (178, 1424), (1000, 90), (40, 21)):
        covered = np.zeros(size, int)
        for left, top, right, bottom in windows(size):
            assert 0 <= left < right <= size[1]
            assert 0 <= top < bottom <= size[0]
            covered[top:bottom, left:right] += 1
        assert (covered >= 1).all()
    assert len(list(windows((2000, 2000)))) < 40 / WINDOWS[-1]


def test_a_face_seen_twice_is_one_and_two_people_side_by_side_are_two():
    face = mean_face()
    assert same(face, face + 20)
    assert not same(face, face + np.array([90, 0]))
    assert not same(face, (face - face.mean(axis=0)) * 0.2 + face.mean(axis=0) + np.array([15, 0]))
