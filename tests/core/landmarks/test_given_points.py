"""Points that come with photographs: those that do not fit are named before a face is warped."""

import io

import numpy as np
import pandas as pd
import pytest
from face_sets import encoded, picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.core.errors import UserError
from pipeline.core.faces.exif import turned_upright
from pipeline.core.geometry import PLACES, five_points
from pipeline.core.landmarks.given_points import (
    fit,
    misfit_of_box,
    misfit_of_points,
    require_convention,
    turned_points,
)
from pipeline.core.landmarks.photographs import AlignedSource, align_photograph

SIZE = (300, 260)
POINTS = PLACES + 40
EXCHANGED_SIDES = [1, 0, 2, 4, 3]


def turned(points, degrees):
    matrix = np.exp(1j * np.radians(degrees))
    middle = points.mean(axis=0)
    z = (points - middle) @ np.array([1, 1j]) * matrix
    return np.stack([z.real, z.imag], axis=1) + middle


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (POINTS, None),
        (turned(POINTS, 40), None),
        (turned(POINTS, 90), None),
        (POINTS + 5000, "outside the photograph"),
        (POINTS + np.array([120, 0]), "outside the photograph"),
        (POINTS - np.array([150, 0]), "outside the photograph"),
        (POINTS[EXCHANGED_SIDES], "whose left and right are exchanged"),
        (POINTS[:, ::-1], "whose x and y are exchanged"),
        (np.zeros((5, 2)) + 100, "do not lie as those of a face"),
        (PLACES * 0.05 + 100, "too small to be aligned"),
    ],
)
def test_points_that_cannot_be_those_of_the_face_are_named(points, reason):
    found = misfit_of_points(points, SIZE, orientation=1)
    assert found is None if reason is None else reason in found


@given(
    orientation=st.integers(1, 8),
    x=st.integers(0, 12),
    y=st.integers(0, 16),
    seed=st.integers(0, 9),
)
def test_turned_points_show_the_pixels_of_the_stored_ones(orientation, x, y, seed):
    stored = np.random.default_rng(seed).integers(0, 256, (17, 13, 3), dtype=np.uint8)
    upright = turned_upright(stored, orientation)
    points = np.array([[x, y]] * 5)
    (left, top), *_ = turned_points(points, orientation, upright.shape[:2])
    assert (upright[top, left] == stored[y, x]).all()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_points_of_the_stored_pixels_are_named_and_those_of_the_turned_ones_taken(orientation):
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    stored_size = SIZE[::-1] if orientation >= 5 else SIZE
    stored = turned_points(POINTS, inverse, stored_size)
    assert np.allclose(turned_points(stored, orientation, SIZE), POINTS)
    assert misfit_of_points(POINTS, SIZE, orientation) is None
    assert "before EXIF orientation" in misfit_of_points(stored, SIZE, orientation)


def photograph(orientation=1):
    file, exif = io.BytesIO(), Image.Exif()
    exif[274] = orientation
    Image.fromarray(picture(0, SIZE)).save(file, "JPEG", exif=exif)
    return file.getvalue()


class CentreFinder:
    """A detector that finds a face in the middle of any box."""

    name = "known"

    def find(self, images, boxes):
        left, top, right, bottom = boxes[0]
        points = np.tile([(left + right) / 2, (top + bottom) / 2], (68, 1))
        points[36:42] += (-19, -20)
        points[42:48] += (19, -20)
        points[48:68] += np.linspace((-17, 20), (17, 20), 20)
        points[[48, 54]] = points[[48, 67]]
        return points[None]


@pytest.mark.parametrize("points", [POINTS + 5000, POINTS[EXCHANGED_SIDES], POINTS[:, ::-1]])
def test_unfit_points_reject_a_photograph_or_lead_to_the_detector(points):
    arguments = (photograph(), points, None, (218, 178), [CentreFinder()])
    assert align_photograph(*arguments).startswith("has points")
    assert align_photograph(*arguments, detect_unfit=True).points == "known"


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((10, 10, 0, 0), "without an area"),
        ((10, 10, -5, 20), "without an area"),
        ((260, 10, 20, 20), "outside the photograph"),
        ((-30, 10, 20, 20), "outside the photograph"),
        ((-5, -5, 200, 200), None),
    ],
)
def test_boxes_that_cannot_hold_a_face_are_named(box, reason):
    found = misfit_of_box(np.array(box, float), SIZE)
    assert found is None if reason is None else reason in found
    if reason:
        arguments = (photograph(), None, np.array(box, float), (218, 178), [CentreFinder()])
        assert reason in align_photograph(*arguments)
        assert align_photograph(*arguments, detect_unfit=True).points == "known"


@pytest.mark.parametrize(
    ("exchange", "message"),
    [
        (lambda p: p[:, EXCHANGED_SIDES], "5 of 6 photographs have points whose left and right"),
        (lambda p: p[..., ::-1], "5 of 6 photographs have points whose x and y are exchanged"),
    ],
)
def test_a_set_in_which_most_are_exchanged_ends_in_one_sentence(exchange, message):
    points = np.stack([POINTS] * 7)
    points[0] = np.nan
    points[2:] = exchange(points[2:])
    with pytest.raises(UserError, match=message):
        require_convention(points)
    require_convention(np.stack([POINTS] * 7))
    require_convention(np.empty((0, 5, 2)))
    labels = type("Labels", (), {"points": points, "boxes": None})
    source = type("Source", (), {"labels": labels, "unmatched": [], "terms": ""})
    with pytest.raises(UserError, match=message):
        AlignedSource(source, (218, 178), [])


def test_the_points_of_real_faces_fit_far_better_than_exchanged_ones(real_faces):
    for folder in ("aligned", "wild"):
        table = pd.read_csv(real_faces / "landmarks68" / folder / "landmarks68.csv")
        flat = table[[f"{axis}_{i}" for axis in "xy" for i in range(68)]].to_numpy(float)
        points = np.stack([five_points(p) for p in np.stack([flat[:, :68], flat[:, 68:]], axis=-1)])
        assert fit(points)[1].min() > 0.9
        assert fit(points[:, EXCHANGED_SIDES])[1].max() < 0.3
        assert fit(points[..., ::-1])[1].max() < 0.3


def test_a_photograph_turned_by_its_exif_is_aligned_by_points_of_the_turned_pixels():
    stored = photograph(orientation=6)
    upright = Image.open(io.BytesIO(stored)).transpose(Image.Transpose.ROTATE_270)
    of_upright = encoded(np.asarray(upright)[..., ::-1], ".png")
    points = PLACES * 0.8 + 50
    by_exif, by_pixels = (
        align_photograph(e, points, None, (218, 178), []) for e in (stored, of_upright)
    )
    assert by_exif.encoded == by_pixels.encoded
