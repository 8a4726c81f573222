"""The stage: a row for every face, the same bytes however the work is cut."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from face_detection import ALL, fetched_model, mean_face
from PIL import Image

from bench.fit_mesh_map import fit_map, held_out, load, mirror_partners
from bench.landmarks import jittered_boxes
from bench.nme import INNER, known_faces, nme
from pipeline import data_figures, landmarks, synthesize
from pipeline.core.errors import UserError
from pipeline.core.faces.store import Face, open_faces, write_faces
from pipeline.core.landmarks import detectors
from pipeline.core.landmarks.table import COLUMNS, Landmarks, read_landmarks, write_landmarks
from pipeline.core.presentation.figures import sheets

SETTINGS = json.dumps({"detectors": ALL, "map": "fitted"})
# The detector that finds each of some hard faces; the others of the fixture need the first alone.
HARD = {"015536.jpg": "mediapipe_enlarged", "093057.jpg": "dlib", "077942.jpg": ""}


def face(name: str, encoded: bytes, split: str) -> Face:
    return Face(name, split, -1, np.zeros(40, bool), encoded)


@pytest.fixture(scope="module")
def faces(real_faces, tmp_path_factory) -> Path:
    """Fourteen real faces, among them one that no detector finds."""
    folder = tmp_path_factory.mktemp("real") / "faces"
    with zipfile.ZipFile(real_faces / "celeba-real/img_align_celeba.zip") as archive:
        files = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        hard = [name for name in files if Path(name).name in HARD]
        chosen = hard + files[:: len(files) // (14 - len(hard))][: 14 - len(hard)]
        made = [
            face(Path(name).name, archive.read(name), "train" if i < 10 else "test")
            for i, name in enumerate(chosen)
        ]
    write_faces(folder, made, (218, 178))
    return folder


def find(faces: Path, part: str, out: Path) -> Path:
    arguments = ["find", "--faces", str(faces), "--model", str(fetched_model()), "--part", part]
    landmarks.main([*arguments, "--out", str(out), "--settings", SETTINGS])
    return out


def gather(faces: Path, parts: list[Path], folder: Path) -> Path:
    out = folder / "landmarks.csv"
    arguments = ["gather", "--faces", str(faces), "--parts", *map(str, parts)]
    arguments += ["--out", str(out), "--written", str(folder / "written")]
    arguments += ["--done", str(folder / "done")]
    landmarks.main([*arguments, "--settings", SETTINGS])
    summarise(faces, folder)
    return out


def summarise(faces: Path, folder: Path) -> None:
    words = ["summarise", "--faces", faces, "--landmarks", folder / "landmarks.csv"]
    landmarks.main([str(word) for word in [*words, "--out", folder / "landmarks.json"]])


@pytest.fixture(scope="module")
def gathered(faces, tmp_path_factory) -> Path:
    """The folder with the table and the summary, made in one part."""
    folder = tmp_path_factory.mktemp("gathered")
    gather(faces, [find(faces, "1-of-1", folder / "1-of-1.csv")], folder)
    return folder


@pytest.mark.parametrize("count", [2, 7])
def test_any_number_of_parts_gives_the_same_bytes(count, faces, gathered, tmp_path):
    parts = [f"{number}-of-{count}" for number in range(1, count + 1)]
    tables = [find(faces, part, tmp_path / f"{part}.csv") for part in parts]
    table = gather(faces, tables, tmp_path)
    assert table.read_bytes() == (gathered / "landmarks.csv").read_bytes()
    assert (tmp_path / "landmarks.json").read_bytes() == (gathered / "landmarks.json").read_bytes()


def test_row_i_is_face_i_and_a_face_that_none_finds_has_an_empty_row(faces, gathered):
    table, opened = read_landmarks(gathered / "landmarks.csv"), open_faces(faces)
    assert table.names == opened.names
    assert table.detectors == [HARD.get(name, "mediapipe") for name in table.names]
    assert table.found.tolist() == [name != "077942.jpg" for name in table.names]


def test_the_summary_counts_by_detector_and_names_by_split_the_faces_without_points(gathered):
    summary = json.loads((gathered / "landmarks.json").read_text())
    assert (summary["images"], summary["found"]) == (14, 13)
    assert summary["detectors"] == {"dlib": 1, "mediapipe": 11, "mediapipe_enlarged": 1}
    assert summary["without_landmarks"] == {"train": ["077942.jpg"], "valid": [], "test": []}


@pytest.fixture
def made_up(tmp_path) -> tuple[Path, Path]:
    """Ten grey faces, and the only part of their landmarks, which are made up."""
    grey = cv2.imencode(".png", np.full((20, 20, 3), 128, np.uint8))[1].tobytes()
    names = [f"{i:06d}.png" for i in range(10)]
    faces = (Face(name, "train", -1, np.zeros(40, bool), grey) for name in names)
    write_faces(tmp_path / "faces", faces, (20, 20))
    points = np.random.default_rng(1).uniform(0, 20, (10, 68, 2))
    write_landmarks(tmp_path / "1-of-1.csv", Landmarks(names, points, ["dlib"] * 10))
    return tmp_path / "faces", tmp_path / "1-of-1.csv"


def test_points_corrected_by_hand_are_summarised_and_never_overwritten(made_up, capsys):
    faces, part = made_up
    table = gather(faces, [part], part.parent)
    before = json.loads(table.with_suffix(".json").read_text())
    corrected = read_landmarks(table)
    corrected.points[3] += 1
    write_landmarks(table, corrected)
    summarise(faces, table.parent)
    after = json.loads(table.with_suffix(".json").read_text())
    assert {key for key in before if before[key] != after[key]} == {"sha256"}
    edited = table.read_bytes()
    gather(faces, [part], table.parent)
    warning = capsys.readouterr().err
    assert "by hand and is kept, although landmarks were found anew" in warning
    assert f"remove it and run `snakemake --cores 1 {table}`" in warning
    assert table.read_bytes() == edited
    table.unlink()
    gather(faces, [part], table.parent)
    assert json.loads(table.with_suffix(".json").read_text()) == before


def test_a_table_that_was_written_before_may_be_replaced(made_up):
    """Whichever of two tables a kill has left in place."""
    faces, part = made_up
    table = gather(faces, [part], part.parent)
    first = table.read_bytes()
    other = read_landmarks(part)
    other.points[3] += 1
    write_landmarks(part, other)
    gather(faces, [part], table.parent)
    second = table.read_bytes()
    table.write_bytes(first)
    gather(faces, [part], table.parent)
    assert table.read_bytes() == second


def test_parts_of_other_faces_or_in_another_order_are_refused(faces, tmp_path, capsys):
    names = open_faces(faces).names
    points, found = np.zeros((14, 68, 2)), ["dlib"] * 14
    write_landmarks(tmp_path / "a.csv", Landmarks(names[:7], points[:7], found[:7]))
    write_landmarks(tmp_path / "b.csv", Landmarks(names[7:], points[7:], found[7:]))
    with pytest.raises(SystemExit) as end:
        gather(faces, [tmp_path / "b.csv", tmp_path / "a.csv"], tmp_path)
    sentence = str(end.value.code)
    assert "of other faces or in another order" in sentence
    assert f"remove {tmp_path / 'b.csv'} {tmp_path / 'a.csv'} and run the same" in sentence
    assert not (tmp_path / "landmarks.csv").exists()


@pytest.mark.slow
def test_sheets_show_each_kind_of_face_and_are_equal_for_equal_tables(faces, gathered, tmp_path):
    table = str(gathered / "landmarks.csv")
    for folder in ("one", "two"):
        arguments = ["landmarks", "--faces", str(faces), "--landmarks", table, "--count", "4"]
        data_figures.main([*arguments, "--out", str(tmp_path / folder)])
    sheets = sorted(path.name for path in (tmp_path / "one").iterdir())
    expected = {"random.png", "least_plausible.png", "without_landmarks.png", "mediapipe.png"}
    assert expected <= set(sheets)
    for name in sheets:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_least_plausible_face_is_the_one_unlike_the_others():
    generator = np.random.default_rng(2)
    points = mean_face() + generator.normal(0, 1, (9, 68, 2))
    points[4] += 40
    points[7] = np.nan
    table = Landmarks([str(i) for i in range(9)], points, ["dlib"] * 7 + ["", "dlib"])
    chosen = sheets.choose_faces(table, count=2, seed=0)
    assert chosen["least_plausible"][0] == 4
    assert chosen["without_landmarks"].tolist() == [7]


@pytest.mark.parametrize("size", [(218, 178), (109, 89), (300, 300)])
def test_dots_lie_on_the_points_at_any_size(size):
    shown = sheets.with_points(np.zeros((*size, 3), np.uint8), np.array([(10, 20), (np.nan, 3)]))
    assert len(shown) == 436
    scale = 436 / size[0]
    y, x = np.argwhere(shown[..., 1] > 128).mean(axis=0)
    assert (x, y) == pytest.approx((10.5 * scale - 0.5, 20.5 * scale - 0.5), abs=0.6)


@pytest.mark.slow
def test_all_200_aligned_faces_are_found_and_the_map_is_exact_on_faces_it_was_not_fitted_on(
    real_faces,
):
    examples = load(real_faces / "landmarks68/aligned", fetched_model(), boxes=False)
    assert len(examples.meshes) == 200
    partners = mirror_partners(examples.meshes)
    assert (partners[partners] == np.arange(478)).all()
    errors = held_out(examples, 10, lambda part: fit_map(part, partners, ridge=1.0))
    assert errors.mean() <= 0.035
    assert errors[:, INNER].mean() <= 0.028


def test_in_whole_photographs_the_annotated_face_is_found_from_a_rough_box(real_faces):
    images, truths = known_faces(real_faces / "landmarks68/wild", slice(0, 30))
    with detectors.opened(ALL, fetched_model(), "fitted") as cascade:
        points, _ = detectors.find(images, cascade, jittered_boxes(truths, 0.1))
    errors = nme(points, truths).mean(axis=1)
    assert np.mean(errors) <= 0.06
    assert np.max(errors) <= 0.15  # another person's face would be off by more than a whole face


def test_points_of_any_photographs_are_those_of_the_picture_as_it_is_shown(real_faces, tmp_path):
    images, truths = known_faces(real_faces / "landmarks68/wild", slice(0, 1))
    shown = Image.fromarray(images[0])
    (tmp_path / "in/of a friend").mkdir(parents=True)
    shown.save(tmp_path / "in/a.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # stored on its side: to be turned a quarter clockwise
    stored = shown.transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "in/of a friend/b.jpg", quality=95, exif=turned)
    Image.new("RGB", (300, 300), "grey").save(tmp_path / "in/c.png")
    (tmp_path / "in/d.jpg").write_bytes(b"hello")
    (tmp_path / "in/e.txt").write_text("not a photograph")
    words = ["--photographs", tmp_path / "in", "--model", fetched_model()]
    landmarks.main(list(map(str, ["points", *words, "--out", tmp_path / "points.csv"])))
    table = pd.read_csv(tmp_path / "points.csv").set_index("photograph")
    assert table.index.tolist() == ["a.png", "c.png", "d.jpg", "of a friend/b.jpg"]
    assert list(table.columns) == [
        "face",
        "left",
        "top",
        "right",
        "bottom",
        "fault",
        *COLUMNS[1:-1],
    ]
    faults = table["fault"].fillna("").to_dict()
    assert faults.pop("d.jpg").startswith("cannot be decoded as JPEG or PNG")
    assert faults == {"a.png": "", "c.png": "no face was found", "of a friend/b.jpg": ""}
    found = table.loc[["a.png", "of a friend/b.jpg"]]
    flat = found[COLUMNS[1:-1]].to_numpy()
    points = np.stack([flat[:, :68], flat[:, 68:]], axis=-1)
    assert nme(points, np.repeat(truths, 2, axis=0)).mean(axis=1).max() < 0.05
    box = found[["left", "top", "right", "bottom"]].to_numpy()
    np.testing.assert_allclose(box[:, :2], points.min(axis=1), atol=0.51)
    np.testing.assert_allclose(box[:, 2:], points.max(axis=1), atol=0.51)
    assert table.drop(index=found.index)[["face", *COLUMNS[1:-1]]].isna().all(axis=None)


def test_all_synthetic_faces_are_found_near_where_they_were_drawn(tmp_path):
    settings = json.dumps({"images": 12, "seed": 7})
    synthesize.main(["--out", str(tmp_path / "drawn"), "--threads", "1", "--settings", settings])
    truth = read_landmarks(tmp_path / "drawn/landmarks.csv")
    images = [
        cv2.imread(str(tmp_path / "drawn/img_align_celeba" / name), cv2.IMREAD_COLOR_RGB)
        for name in truth.names
    ]
    with detectors.opened(ALL, fetched_model(), "fitted") as cascade:
        found, _ = detectors.find(images, cascade)
    assert nme(found, truth.points).mean() < 0.12


def test_a_cascade_that_is_shorter_than_configured_warns_once(faces, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(detectors, "find_spec", lambda name: None)
    parts = [find(faces, part, tmp_path / f"{part}.csv") for part in ("1-of-2", "2-of-2")]
    gather(faces, parts, tmp_path)
    assert capsys.readouterr().err.count("dlib is not installed") == 1


@pytest.mark.slow
def test_a_part_killed_in_the_middle_leaves_nothing_and_made_again_has_the_same_bytes(
    faces, tmp_path
):
    whole = find(faces, "1-of-1", tmp_path / "whole.csv")
    out, log = tmp_path / "killed.csv", tmp_path / "killed.log"
    arguments = ["find", "--faces", str(faces), "--model", str(fetched_model())]
    arguments += ["--part", "1-of-1", "--out", str(out), "--settings", SETTINGS]
    slow = (
        "import sys, time; from pipeline import landmarks\n"
        "from pipeline.core.landmarks import detectors\n"
        "real, landmarks.BLOCK = detectors.find, 2\n"
        "def find(*args):\n print('found', flush=True); time.sleep(0.2); return real(*args)\n"
        "detectors.find = find; landmarks.main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", slow, *arguments, "--log", str(log)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert [running.stdout.readline() for _ in range(3)] == ["found\n"] * 3
        running.kill()
    assert not out.exists()
    assert find(faces, "1-of-1", out).read_bytes() == whole.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"whole.csv", "killed.csv", "killed.log"}


@pytest.mark.slow
def test_a_picture_of_a_group_that_has_become_empty_goes(faces, gathered, tmp_path):
    nobody = Landmarks(open_faces(faces).names, np.full((14, 68, 2), np.nan), [""] * 14)
    write_landmarks(tmp_path / "nobody.csv", nobody)
    for table in (gathered / "landmarks.csv", tmp_path / "nobody.csv"):
        arguments = ["landmarks", "--faces", str(faces), "--landmarks", str(table)]
        data_figures.main([*arguments, "--out", str(tmp_path / "sheets")])
    left = {path.name for path in (tmp_path / "sheets").iterdir()}
    assert left == {"random.png", "without_landmarks.png"}


def test_the_time_in_the_log_is_that_of_all_faces(made_up, monkeypatch, caplog):
    def find(images, cascade):
        assert "faces in" not in caplog.text
        return np.full((len(images), 68, 2), np.nan), [""] * len(images)

    monkeypatch.setattr(detectors, "find", find)
    monkeypatch.setattr(landmarks, "BLOCK", 4)
    with caplog.at_level("INFO"):
        landmarks.find_part(open_faces(made_up[0]), range(10), [])
    assert caplog.text.count("landmarks: 10 faces in") == 1
    assert caplog.text.count("no landmarks on") == 10


@pytest.mark.parametrize("part", ["17-of-16", "0-of-2", "2", "a-of-b"])
def test_a_part_that_there_is_not_ends_in_one_sentence(part, faces, tmp_path):
    with pytest.raises(SystemExit, match=f"no part '{part}'"):
        find(faces, part, tmp_path / "part.csv")


@pytest.mark.parametrize("content", [None, "", "image_name,x_0\na.jpg,abc\n", "\0\1\2"])
def test_a_table_that_is_none_is_named(content, tmp_path):
    path = tmp_path / "landmarks.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=re.escape(str(path))):
        read_landmarks(path)
