"""Geometry of the map; how exact it is on real faces, see test_landmarks.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.fit_mesh_map import Examples, fit_map, held_out
from bench.nme import MIRRORED, area_under_curve, failure_rate, nme
from pipeline.core.landmarks.mesh_map import (
    COEFFICIENTS,
    Fit,
    fitted,
    hand_picked,
    normalised,
    read_fit,
)


def a_mesh(seed: int = 0) -> np.ndarray:
    """(478, 3) the mean face of the fit, a little bent; what it lacks is scattered about."""
    generator = np.random.default_rng(seed)
    fit = read_fit()
    mesh = generator.normal(0, 1, (478, 3))
    mesh[fit.mesh_points] = fit.mean + generator.normal(0, 0.03, fit.mean.shape)
    return 50 * mesh + (89, 120, 0)


@given(
    st.floats(-3, 3),
    st.floats(0.2, 5),
    st.floats(-500, 500),
    st.floats(-500, 500),
    st.integers(0, 9),
)
def test_a_turned_scaled_and_shifted_mesh_gives_turned_scaled_and_shifted_points(
    angle: float, size: float, right: float, down: float, seed: int
):
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    mesh = a_mesh(seed)
    moved = np.concatenate([size * mesh[:, :2] @ turn + (right, down), size * mesh[:, 2:]], axis=1)
    for to_points in (fitted, hand_picked):
        np.testing.assert_allclose(
            to_points(moved), size * to_points(mesh) @ turn + (right, down), atol=1e-6 * size + 1e-6
        )


def test_the_pose_and_the_shape_give_the_mesh_back():
    points = a_mesh()[read_fit().mesh_points]
    pose, shape = normalised(points, read_fit().mean)
    back = pose.centre[0, :2] + pose.size[0] * shape[:, :2] @ pose.rotation
    np.testing.assert_allclose(back, points[:, :2], atol=1e-9)


def test_a_face_unlike_all_that_were_fitted_on_is_corrected_within_bounds():
    fit, mesh = read_fit(), a_mesh()
    mesh[:, 0] *= 40
    pose, _ = normalised(mesh[fit.mesh_points], fit.mean)
    correction = np.abs(fitted(mesh) - hand_picked(mesh)).max() / pose.size.item()
    bound = np.abs(fit.offset) + np.abs(fit.limits[:, None] * fit.coefficients).sum(axis=0)
    assert correction <= np.sqrt(2) * bound.max()


def test_many_meshes_at_once_give_to_the_last_bit_what_each_gives_alone():
    meshes = np.stack([a_mesh(seed) for seed in range(50)])
    for to_points in (fitted, hand_picked):
        alone = [to_points(mesh) for mesh in meshes]
        np.testing.assert_array_equal(to_points(meshes), alone)
        np.testing.assert_array_equal(to_points(meshes[:1])[0], alone[0])


def test_the_file_of_coefficients_is_small_and_says_its_source_and_terms():
    text = COEFFICIENTS.read_text(encoding="utf-8")
    assert len(text) < 200_000
    assert "HELEN" in text
    assert "non-commercial" in text


def test_mirroring_points_twice_changes_nothing_and_swaps_the_eyes():
    assert (MIRRORED[MIRRORED] == np.arange(68)).all()
    assert MIRRORED[36] == 45
    assert MIRRORED[48] == 54
    assert MIRRORED[8] == 8


def test_nme_is_the_distance_over_that_of_the_outer_eye_corners():
    truth = np.zeros((1, 68, 2))
    truth[0, 45] = (3, 4)
    errors = nme(truth + np.array([0, 1]), truth)
    np.testing.assert_allclose(errors, np.full((1, 68), 0.2))
    faces = np.array([0.0, 0.04, 0.12, np.inf])
    assert failure_rate(faces, 0.08) == 0.5
    assert area_under_curve(faces, 0.08) == pytest.approx((1 + 0.5) / 4)


def linear_examples() -> tuple[Examples, np.ndarray]:
    """Upright, mirror-symmetric meshes whose points truly are a linear function of the mesh."""
    generator = np.random.default_rng(3)
    half = generator.normal(0, 1, (239, 3)) * (1, 1, 0.5) - (1.5, 0, 0)
    base = np.concatenate([half, half * (-1, 1, 1)])
    partners = np.concatenate([np.arange(239, 478), np.arange(239)])
    modes = generator.normal(0, 1, (3, 478, 3))
    scores = generator.normal(0, 0.1, (60, 3))
    meshes = 50 * (base + np.einsum("nk,kpc->npc", scores, modes))
    return Examples(meshes, hand_picked(meshes), np.arange(60).astype(str)), partners


def test_a_photograph_is_wholly_in_or_wholly_out_of_what_a_map_is_fitted_on():
    examples, partners = linear_examples()
    faces = examples.take(np.repeat(np.arange(60), 2))
    fitted_on = []

    def fit(part: Examples) -> Fit:
        fitted_on.append(part.photographs)
        return fit_map(part, partners, ridge=1.0)

    held_out(faces, 5, fit)
    for photographs in fitted_on:
        assert (np.unique(photographs, return_counts=True)[1] == 2).all()
    left_out = [set(faces.photographs) - set(photographs) for photographs in fitted_on]
    assert sorted(name for names in left_out for name in names) == sorted(set(faces.photographs))
