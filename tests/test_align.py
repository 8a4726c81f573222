"""Alignment: five points of any photograph come to CelebA's places."""

import os
import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from face_sets import encoded, entry, official_set, picture, run
from hypothesis import given
from hypothesis import strategies as st

from pipeline import align as stage
from pipeline.core.geometry import PLACES, align, five_points, places, similarity
from pipeline.core.landmarks import photographs as photographs_of
from pipeline.core.landmarks.photographs import AlignedSource, align_photograph

SIZE = (218, 178)


def moved(points, turn, scale, shift):
    """Points turned about the origin by degrees, scaled and shifted."""
    a = np.radians(turn)
    matrix = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    return points @ matrix.T + shift


def applied(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


@given(
    turn=st.floats(-180, 180),
    scale=st.floats(0.05, 20),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_a_moved_face_comes_back_to_its_place_exactly(turn, scale, shift):
    matrix = similarity(moved(PLACES, turn, scale, shift), PLACES)
    assert applied(matrix, moved(PLACES, turn, scale, shift)) == pytest.approx(PLACES, abs=1e-6)


@given(seed=st.integers(0, 1000), d=st.tuples(*[st.floats(-0.02, 0.02)] * 2))
def test_no_other_similarity_brings_the_points_nearer(seed, d):
    points = PLACES + np.random.default_rng(seed).normal(0, 8, PLACES.shape)
    matrix = similarity(points, PLACES)
    other = matrix + np.array([[d[0], -d[1], 0], [d[1], d[0], 0]])
    best, worse = (((applied(m, points) - PLACES) ** 2).sum() for m in (matrix, other))
    assert best <= worse + 1e-9


@pytest.mark.parametrize("points", [np.full((5, 2), 7.0), np.full((5, 2), np.nan)])
def test_points_on_one_spot_or_unknown_are_refused(points):
    with pytest.raises(ValueError, match="on one spot or unknown"):
        align(np.zeros((50, 50, 3), np.uint8), points)


@pytest.mark.parametrize("scale", [0.8, 1.0, 2.7, 6.0])
def test_what_the_photograph_shows_at_a_point_is_shown_at_its_place(scale):
    points = moved(PLACES, 25, scale, (200 * scale, 50))
    photograph = np.zeros((int(400 * scale), int(500 * scale), 3), np.uint8)
    for x, y in points:
        cv2.circle(
            photograph, (round(x * 16), round(y * 16)), int(48 * scale), (255,) * 3, -1, 16, 4
        )
    aligned, matrix = align(photograph, points, SIZE)
    assert aligned.shape == (*SIZE, 3)
    assert applied(matrix, points) == pytest.approx(PLACES, abs=1e-6)
    count, _, _, centres = cv2.connectedComponentsWithStats(
        (aligned[..., 0] > 127).astype(np.uint8)
    )
    assert count == 6
    found = centres[1:][np.lexsort(np.round(centres[1:]).T)]
    expected = PLACES[np.lexsort(np.round(PLACES).T)]
    assert np.abs(found - expected).max() < 0.3


def test_a_fine_pattern_of_a_large_photograph_becomes_its_mean_and_not_a_moire():
    photograph = (np.indices((1600, 1600)).sum(axis=0) % 2 * 255).astype(np.uint8)
    aligned, _ = align(np.dstack([photograph] * 3), moved(PLACES, 0, 7, (100, 0)), SIZE)
    assert np.abs(aligned.astype(float) - 127.5).max() < 12


def test_what_lies_outside_the_photograph_repeats_its_edge():
    photograph = np.full((218, 178, 3), (10, 200, 60), np.uint8)
    aligned, _ = align(photograph, PLACES + np.array([60, 90]), SIZE)
    assert (aligned == (10, 200, 60)).all()


def test_other_sizes_show_the_same_face_in_the_middle():
    assert places(SIZE) == pytest.approx(PLACES)
    assert places((436, 356)) == pytest.approx(PLACES * 2 + 0.5)
    square = places((178, 178))
    assert square == pytest.approx((PLACES - (88.5, 108.5)) * 178 / 218 + 88.5)


def read_points(path):
    """Names and hand-placed landmarks (N, 68, 2) of the real photographs."""
    table = pd.read_csv(path)
    flat = table[[f"{axis}_{i}" for axis in "xy" for i in range(68)]].to_numpy(float)
    return table["image_name"].tolist(), np.stack([flat[:, :68], flat[:, 68:]], axis=-1)


def test_five_of_68_points_of_aligned_faces_lie_at_celebas_places(real_faces):
    _, points = read_points(real_faces / "landmarks68/aligned/landmarks68.csv")
    middle = np.mean([five_points(p) for p in points], axis=0)
    assert np.abs(middle - PLACES).max() < 1.5


def test_real_photographs_come_to_celebas_geometry_by_their_points(real_faces):
    _, points = read_points(real_faces / "landmarks68/wild/landmarks68.csv")
    five = [five_points(p) for p in points]
    aligned = np.array([applied(similarity(p, PLACES), p) for p in five])
    assert np.abs(aligned.mean(axis=0) - PLACES).max() < 1.5


# The stage.


class Finder:
    """A detector that knows two faces, and takes the one nearest the box as the real ones do."""

    name = "known"
    faces = (np.array([150.0, 150.0]), np.array([400.0, 200.0]))

    def find(self, images, boxes):
        middle = np.reshape(boxes, (2, 2)).mean(axis=0)
        face = min(self.faces, key=lambda place: np.linalg.norm(place - middle))
        points = np.zeros((68, 2)) + face
        points[17:27] += (0, -25)
        points[31:36] += (0, 12)
        points[36:42] += (-19, -15)
        points[42:48] += (19, -15)
        points[48:68] += np.linspace((-17, 25), (17, 25), 20)
        points[[48, 54]] = face + np.array([(-17, 25), (17, 25)])
        points[:17] += np.linspace((-60, -20), (60, 60), 17)
        return points[None]

    def close(self):
        pass


@pytest.mark.parametrize(
    ("box", "face"),
    [((350, 140, 110, 120), 1), ((95, 90, 110, 120), 0), (None, 0)],
)
def test_without_points_the_face_nearest_the_box_is_aligned(box, face):
    photograph = encoded(picture(1, (400, 500)), ".png")
    given = None if box is None else np.array(box, float)
    done = align_photograph(photograph, None, given, SIZE, [Finder()])
    assert done.points == "known"
    eyes = Finder.faces[face] + [(-19, -15), (19, -15)]
    assert np.abs(applied(done.matrix, eyes) - PLACES[:2]).max() < 4


def test_without_a_box_only_the_first_detector_runs_on_a_whole_photograph():
    photograph = encoded(picture(1, (400, 500)), ".png")
    blind, second = Finder(), Finder()
    blind.find = lambda images, boxes: np.full((1, 68, 2), np.nan)
    done = align_photograph(photograph, None, None, SIZE, [blind, second])
    assert done == "has no face that a detector finds"


def test_given_points_are_used_without_a_detector():
    photograph = encoded(picture(1, (400, 500)), ".png")
    done = align_photograph(photograph, PLACES + 30, None, SIZE, [])
    assert done.points == "given"
    assert done.matrix == pytest.approx(np.array([[1, 0, -30], [0, 1, -30]]), abs=1e-6)


def list_file(path, columns, rows):
    lines = [str(len(rows)), columns, *(f"{n} " + " ".join(map(str, v)) for n, v in rows.items())]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def photographs(tmp_path):
    """Three photographs, of which two have points and one lies in a folder; a fourth is broken."""
    folder = tmp_path / "photographs"
    (folder / "sub").mkdir(parents=True)
    names = ["one.jpg", "sub/two.png", "three.jpg"]
    for i, name in enumerate(names):
        (folder / name).write_bytes(encoded(picture(i, (300, 260)), name[-4:]))
    (folder / "broken.jpg").write_bytes(encoded(picture(9, (300, 260)))[:500])
    points = {name: (PLACES + 40).ravel().tolist() for name in names[:2]}
    list_file(tmp_path / "points.txt", "lefteye_x lefteye_y righteye_x", points)
    return folder


def test_the_stage_aligns_a_folder_and_its_table_has_a_row_for_each_photograph(
    photographs, tmp_path
):
    flags = ["--photographs", str(photographs), "--points", str(tmp_path / "points.txt")]
    for out in ("a", "b"):
        outputs = ["--out", str(tmp_path / out), "--table", str(tmp_path / f"{out}.csv")]
        stage.main([*flags, *outputs])
    made = {p.relative_to(tmp_path / "a").as_posix() for p in (tmp_path / "a").rglob("*.jpg")}
    assert made == {"one.jpg", "sub/two.jpg"}
    table = pd.read_csv(tmp_path / "a.csv").set_index("image_name")
    assert table["points"].to_dict() | {} == pytest.approx(
        {"broken.jpg": np.nan, "one.jpg": "given", "sub/two.png": "given", "three.jpg": np.nan},
        nan_ok=True,
    )
    assert table.loc["one.jpg", [f"m_{i}" for i in range(6)]].tolist() == [1, 0, -40, 0, 1, -40]
    assert table["reason"]["three.jpg"] == "has no face that a detector finds"
    assert table["reason"]["broken.jpg"].startswith("cannot be decoded")
    aligned = cv2.imread(str(tmp_path / "a/one.jpg")).astype(int)
    assert np.abs(aligned - picture(0, (300, 260))[40:258, 40:218]).mean() < 3
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    for name in made:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("one.jpg 1 2\n", "does not start with the number of its rows"),
        ("1\nx\none.jpg 1 2 3\n", "line 3: expected a name and 10 numbers"),
        ("2\nx\none.jpg 1 2 3 4 5 6 7 8 9 10\n", "announces 2 images in line 1 and has 1 rows"),
    ],
)
def test_a_list_of_points_in_another_form_ends_in_one_sentence(
    photographs, tmp_path, content, message
):
    (tmp_path / "points.txt").write_text(content)
    with pytest.raises(SystemExit) as ended:
        stage.main(
            [
                *("--photographs", str(photographs), "--points", str(tmp_path / "points.txt")),
                *("--out", str(tmp_path / "out"), "--table", str(tmp_path / "out.csv")),
            ]
        )
    assert message in str(ended.value.code)


def align_all(photographs, out, table, *more):
    """The rows of the table, by image name."""
    words = ["--photographs", photographs, "--out", out, "--table", table, *more]
    stage.main([str(word) for word in words])
    return pd.read_csv(table, keep_default_na=False).set_index("image_name")


def test_two_photographs_that_would_become_one_file_are_reported(photographs, tmp_path):
    (photographs / "one.png").write_bytes((photographs / "sub/two.png").read_bytes())
    for sidecar in ("one.mov", "one.xmp", "three.json"):
        (photographs / sidecar).write_bytes(b"no image")
    points = {name: (PLACES + 40).ravel().tolist() for name in ("one.jpg", "one.png")}
    list_file(tmp_path / "points.txt", "lefteye_x lefteye_y righteye_x", points)
    more = "--points", tmp_path / "points.txt"
    reasons = align_all(photographs, tmp_path / "out", tmp_path / "out.csv", *more)["reason"]
    assert reasons["one.jpg"] == ""
    assert reasons["one.png"].startswith("would become the same JPEG as another")
    assert not {"one.mov", "three.json"} & set(reasons.index)


@pytest.mark.parametrize(
    ("out", "table", "message"),
    [
        ("photographs", "t.csv", "exists and is not empty"),
        (".", "../t.csv", "exists and is not empty"),
        ("photographs/one.jpg", "t.csv", "exists and is not empty"),
        ("aligned", "aligned/t.csv", "name a file beside it"),
        ("aligned", "aligned", "name a file beside it"),
        ("aligned", "photographs", "name a file beside it"),
    ],
)
def test_no_existing_file_is_overwritten(photographs, tmp_path, monkeypatch, out, table, message):
    before = {path: path.read_bytes() for path in photographs.rglob("*.*")}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        align_all("photographs", out, table)
    assert {path: path.read_bytes() for path in photographs.rglob("*.*")} == before
    assert not (tmp_path / "aligned").exists()


def test_a_folder_without_a_photograph_ends_in_one_sentence(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/points.txt").write_text("no photograph")
    with pytest.raises(SystemExit, match="in holds no image: put JPEGs or PNGs there"):
        align_all(tmp_path / "in", tmp_path / "out", tmp_path / "out.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_name_that_is_no_utf8_has_its_row(tmp_path):
    (tmp_path / "in").mkdir()
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / "in" / name).write_bytes(encoded(picture(1, (300, 260))))
    table = align_all(tmp_path / "in", tmp_path / "out", tmp_path / "out.csv")
    assert list(table.index) == ["caf\\xe9.jpg"]


def test_celeba_in_the_wild_is_aligned_by_its_points_with_its_labels_and_splits(tmp_path):
    made = official_set(tmp_path / "root", 9)
    (tmp_path / "root/img_align_celeba.zip").unlink()
    wild = tmp_path / "root/img_celeba"
    wild.mkdir()
    for i, name in enumerate(made.names):
        (wild / name).write_bytes(encoded(picture(i, (300, 260))))
    points = {name: (PLACES + 40).ravel().tolist() for name in made.names[1:]}
    list_file(tmp_path / "root/list_landmarks_celeba.txt", "lefteye_x lefteye_y", points)
    settings = entry(
        source="celeba", root=tmp_path / "root", aligned=False, size=list(SIZE), max_rejected=0.2
    )
    got = run(tmp_path / "out", settings)
    assert got.faces.names == made.names[1:]
    assert (got.faces.attributes == made.labels[1:]).all()
    assert got.rejected == {made.names[0]: "has no face that a detector finds"}
    assert got.faces.size == SIZE
    expected = picture(1, (300, 260))[40:258, 40:218, ::-1]
    assert np.abs(got.faces.image(0).astype(int) - expected).mean() < 3


def source_of(photographs, points):
    labels = SimpleNamespace(points=points, boxes=None)
    return SimpleNamespace(
        labels=labels,
        unmatched=[],
        terms="",
        images=lambda rows: (photographs[row] for row in rows),
    )


def test_photographs_with_points_are_aligned_by_all_threads_at_once_in_their_order(monkeypatch):
    together = threading.Barrier(3, timeout=20)

    def aligned(*arguments):
        together.wait()
        return align_photograph(*arguments)

    files = [encoded(picture(i, (300, 260))) for i in range(9)]
    source = source_of(files, np.stack([PLACES + 40] * 9))
    rows = np.array([8, *range(8)])
    one = list(AlignedSource(source, SIZE, []).images(rows))
    monkeypatch.setattr(photographs_of, "align_photograph", aligned)
    assert list(AlignedSource(source, SIZE, [], threads=3).images(rows)) == one
    assert len(set(one)) == 9


def test_a_detector_runs_only_in_the_thread_that_opened_it():
    threads = []

    class Noting(Finder):
        def find(self, images, boxes):
            threads.append(threading.current_thread())
            return super().find(images, boxes)

    points = np.stack([PLACES + 40] * 6)
    points[2:4] = np.nan
    source = source_of([encoded(picture(i, (400, 500))) for i in range(6)], points)
    assert len(list(AlignedSource(source, SIZE, [Noting()], threads=3).images(np.arange(6)))) == 6
    assert threads == [threading.main_thread()] * 2


def test_celeba_in_the_wild_without_its_photographs_ends_in_one_sentence(tmp_path):
    official_set(tmp_path / "root", 9)
    with pytest.raises(SystemExit, match=r"has no img_celeba .* unpack img_celeba\.7z there"):
        run(tmp_path / "out", entry(source="celeba", root=tmp_path / "root", aligned=False))
