"""predict: any photographs in, a row for each face and a page out."""

import csv
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from face_detection import fetched_model
from PIL import Image
from small_results import call, model

from pipeline import predict
from pipeline.core.evaluation.inference import Inference
from pipeline.core.faces.decoding import decode
from pipeline.core.faces.store import open_faces
from pipeline.core.geometry import PLACES, places, similarity
from pipeline.core.landmarks.photographs import align_photograph, open_detectors
from pipeline.core.landmarks.portraits import Finder, box_of, same, whole
from pipeline.core.networks.weights import load_network, save_weights
from pipeline.core.trained_on import TrainedOn


@pytest.fixture(scope="module")
def finder():
    opened = Finder(fetched_model())
    yield opened
    opened.close()


@pytest.fixture
def face():
    """A synthetic face as (218, 178, 3) RGB."""
    return open_faces(model()["faces"]).image(0)


def predicted(folder, out, *words, **paths):
    call(predict, None, *words, weights=model()["weights"], photographs=folder, out=out, **paths)
    with (out / "faces.csv").open(encoding="utf-8") as stream:
        return {row["photograph"]: row for row in csv.DictReader(stream)}


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95)


def scene(face, size=(700, 900), at=((150, 100, 1.0),)):
    """A photograph with faces at (left, top, scale) on grey."""
    picture = np.full((*size, 3), 128, np.uint8)
    for left, top, scale in at:
        small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        picture[top : top + small.shape[0], left : left + small.shape[1]] = small
    return picture


def numbers(row):
    return np.array([float(row[name]) for name in list(row)[7:]])


@pytest.mark.slow
def test_aligned_faces_get_the_probabilities_that_evaluate_gave_them(tmp_path):
    files = model()
    faces = open_faces(files["faces"])
    rows = faces.rows("test")[:4]
    for row in rows:
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / faces.names[row]).write_bytes(faces.encoded(int(row)))
    rows = predicted(tmp_path / "in", tmp_path / "out")
    evaluated = pd.read_parquet(files["predictions"]).set_index("image_name")
    for name, row in rows.items():
        logits = evaluated.loc[name, [c for c in evaluated if c.endswith("_logit")]].to_numpy(float)
        np.testing.assert_allclose(numbers(row), 1 / (1 + np.exp(-logits)), atol=2e-4)


def test_odd_photographs_get_a_row_each_and_the_run_goes_on(tmp_path, face):
    photographs = tmp_path / "in"
    write(photographs / "one.jpg", scene(face))
    write(photographs / "no_face.png", np.full((300, 400, 3), 90, np.uint8))
    write(photographs / "grey.jpg", cv2.cvtColor(scene(face), cv2.COLOR_RGB2GRAY))
    (photographs / "corrupt.jpg").write_bytes((photographs / "one.jpg").read_bytes()[:2000])
    (photographs / "notes.txt").write_text("not a photograph")
    rows = predicted(photographs, tmp_path / "out", "--align", model=fetched_model())
    assert set(rows) == {"one.jpg", "no_face.png", "grey.jpg", "corrupt.jpg"}
    assert rows["no_face.png"]["fault"] == "no face was found"
    assert "cannot be decoded" in rows["corrupt.jpg"]["fault"]
    for name in ("no_face.png", "corrupt.jpg"):
        assert rows[name]["Male"] == ""
    for name in ("one.jpg", "grey.jpg"):
        assert rows[name]["fault"] == ""
        assert all((numbers(rows[name]) >= 0) & (numbers(rows[name]) <= 1))


@pytest.mark.slow
def test_a_photograph_of_fifty_megapixels_is_predicted_like_a_small_one(tmp_path, face):
    small = scene(face, (600, 800), ((300, 150, 1.0),))
    write(tmp_path / "in/small.png", small)
    large = cv2.resize(small, (8192, 6144), interpolation=cv2.INTER_CUBIC)
    write(tmp_path / "in/large.jpg", large)
    rows = predicted(tmp_path / "in", tmp_path / "out", "--align", model=fetched_model())
    box = {name: np.array([int(row[side]) for side in ("left", "top", "right", "bottom")])
           for name, row in rows.items()}  # fmt: skip
    np.testing.assert_allclose(box["large.jpg"] / 10.24, box["small.png"], atol=4)
    assert abs(numbers(rows["large.jpg"]) - numbers(rows["small.png"])).mean() < 0.05


def test_a_photograph_that_its_exif_turns_is_predicted_like_the_upright_one(tmp_path, face):
    upright = Image.fromarray(scene(face))
    (tmp_path / "in").mkdir()
    upright.save(tmp_path / "in/upright.png")
    exif = Image.Exif()
    exif[274] = 6  # to be shown a quarter turn to the right of how it is stored
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "in/turned.jpg", quality=98, exif=exif)
    rows = predicted(tmp_path / "in", tmp_path / "out", "--align", model=fetched_model())
    for side in ("left", "top", "right", "bottom"):
        assert int(rows["turned.jpg"][side]) == pytest.approx(int(rows["upright.png"][side]), abs=3)
    assert abs(numbers(rows["turned.jpg"]) - numbers(rows["upright.png"])).max() < 0.1


def test_every_face_is_found_or_the_largest_alone(tmp_path, finder, face):
    places = ((60, 60, 1.0), (420, 80, 1.4), (90, 420, 0.7))
    photograph = scene(face, (700, 900), places)
    found = finder.find(photograph, (218, 178))
    assert len(found) == 3
    for left, top, scale in sorted(places, key=lambda place: -place[2]):
        box = found.pop(0).box
        middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        assert np.hypot(middle[0] - left - 89 * scale, middle[1] - top - 135 * scale) < 30 * scale
    write(tmp_path / "in/three.jpg", photograph)
    call(predict, None, "--align", weights=model()["weights"], photographs=tmp_path / "in",
         out=tmp_path / "out", model=fetched_model(), faces="largest")  # fmt: skip
    rows = pd.read_csv(tmp_path / "out/faces.csv")
    assert len(rows) == 1
    assert rows["left"][0] > 420


def test_a_found_face_comes_to_the_geometry_that_it_was_drawn_in(finder, face):
    portrait = finder.find(scene(face, at=((200, 150, 1.5),)), (218, 178))[0]
    difference = abs(portrait.image.astype(int) - face)
    assert difference[80:180, 50:130].mean() < 25


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("synthetic", "learnt its attributes from drawings alone"),
        ("celeba", "how the labels of mine would describe a picture"),
        (None, "unknown faces: these weights do not say which"),
    ],
)
def test_page_and_terminal_say_what_the_network_was_trained_on(
    tmp_path, face, source, says, capsys
):
    network, settings = load_network(model()["weights"])
    trained_on = source and TrainedOn("mine", source, {"train": 1234, "valid": 5})
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, network, settings, trained_on)
    write(tmp_path / "in/face.png", face)
    call(predict, None, weights=weights, photographs=tmp_path / "in", out=tmp_path / "out")
    for text in ((tmp_path / "out/index.html").read_text(), capsys.readouterr().err):
        assert says in " ".join(text.split())
        assert bool(source) == ("1,234 faces of the split train of mine" in text)


def test_names_are_shown_as_text_and_never_as_markup(tmp_path, face):
    nasty = '<script>alert("1")<script>&amp;.png'
    (tmp_path / "<b>in").mkdir()
    write(tmp_path / "<b>in" / nasty, face)
    rows = predicted(tmp_path / "<b>in", tmp_path / "out")
    assert set(rows) == {nasty}
    page = (tmp_path / "out/index.html").read_text()
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(&#34;1&#34;)" in page
    assert "<b>" not in page


def test_likely_attributes_follow_the_thresholds_that_are_given(tmp_path, face):
    write(tmp_path / "in/face.png", face)
    rows = predicted(tmp_path / "in", tmp_path / "out", metrics=model()["metrics"])
    page = (tmp_path / "out/index.html").read_text()
    likely = (numbers(rows["face.png"]) > 0.5).sum()
    assert page.count("<button type") == likely


@pytest.mark.parametrize(
    ("content", "message"), [(None, "evaluates other weights"), ("{}", "model")]
)
def test_the_thresholds_of_another_model_are_refused(tmp_path, face, content, message):
    write(tmp_path / "in/face.png", face)
    metrics = model("cnn_rnn")["metrics"]
    if content:
        metrics = tmp_path / "metrics.json"
        metrics.write_text(content)
    with pytest.raises(SystemExit, match=message):
        predicted(tmp_path / "in", tmp_path / "out", metrics=metrics)


def test_a_name_that_is_no_utf8_has_its_row_and_its_place_on_the_page(tmp_path, face):
    folder = tmp_path / os.fsdecode(b"\xe9t\xe9")
    write(folder / "face.png", face)
    (folder / "face.png").rename(folder / os.fsdecode(b"caf\xe9.png"))
    assert set(predicted(folder, tmp_path / "out")) == {"caf\\xe9.png"}
    assert "caf\\xe9.png" in (tmp_path / "out/index.html").read_text(encoding="utf-8")


def test_an_output_that_is_a_file_is_refused(tmp_path, face):
    write(tmp_path / "in/face.png", face)
    with pytest.raises(SystemExit, match="is a file: name a folder"):
        predicted(tmp_path / "in", tmp_path / "in/face.png")


@pytest.mark.slow
def test_weights_and_photographs_suffice_anywhere(tmp_path, face):
    """A folder that holds nothing else, in a process of its own."""
    shutil.copy(model()["weights"], tmp_path)
    shutil.copy(fetched_model(), tmp_path)
    write(tmp_path / "party/one.jpg", scene(face))
    words = ["--photographs", "party", "--align", "--model", fetched_model().name, "--out", "out"]
    command = [sys.executable, "-m", "pipeline.predict", "--weights", "weights.safetensors", *words]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
    assert (pd.read_csv(tmp_path / "out/faces.csv")["photograph"] == "one.jpg").all()


@pytest.mark.parametrize(("folder", "words"), [("none", "is no folder"), ("empty", "no image")])
def test_a_folder_without_photographs_is_refused_in_one_sentence(tmp_path, folder, words):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=words):
        predicted(tmp_path / folder, tmp_path / "out")


@pytest.mark.slow
def test_every_annotated_face_of_the_wild_photographs_has_a_row(real_faces, tmp_path):
    """60 photographs, often of several people; the truth is hand-placed."""
    wild = real_faces / "landmarks68/wild"
    call(predict, None, "--align", weights=model()["weights"], photographs=wild,
         out=tmp_path, model=fetched_model())  # fmt: skip
    rows = pd.read_csv(tmp_path / "faces.csv")
    assert rows["Male"].between(0, 1).all()
    boxes = rows[["left", "top", "right", "bottom"]].to_numpy().reshape(-1, 2, 2)
    for truth in pd.read_csv(wild / "landmarks68.csv").to_dict("records"):
        points = np.array([(truth[f"x_{i}"], truth[f"y_{i}"]) for i in range(68)])
        found = boxes[rows["photograph"] == Path(truth["image_name"]).name]
        assert any(same(points, box) for box in found), truth["image_name"]


@pytest.mark.parametrize("size", [(224, 224), (128, 96)])
def test_the_network_sees_a_face_as_training_on_photographs_showed_it(
    tmp_path, monkeypatch, face, size
):
    """``acquire`` stores photographs that are not aligned as ``align_photograph`` makes them."""
    photograph = scene(face, at=((200, 150, 1.5),))
    write(tmp_path / "in/one.png", photograph)
    with open_detectors(fetched_model()) as detectors:
        encoded = (tmp_path / "in/one.png").read_bytes()
        trained = decode(align_photograph(encoded, None, None, size, detectors).encoded)
    network, settings = load_network(model()["weights"])
    weights, seen, predict_batch = tmp_path / "weights.safetensors", [], Inference.predict
    save_weights(weights, network, replace(settings, faces_size=size))

    def watched(self, images, **options):
        seen.append(images[0])
        return predict_batch(self, images, **options)

    monkeypatch.setattr(Inference, "predict", watched)
    write(tmp_path / "aligned/one.png", trained)
    for words, folder, most in ((["--align"], "in", 4), ([], "aligned", 0)):
        call(predict, None, *words, weights=weights, photographs=tmp_path / folder,
             out=tmp_path / "out", model=fetched_model())  # fmt: skip
        assert seen[-1].shape == trained.shape
        assert abs(seen[-1].astype(int) - trained).mean() <= most


@pytest.mark.parametrize("size", [(436, 356), (109, 89), (218, 300), (400, 178)])
def test_an_aligned_photograph_of_another_size_keeps_its_proportions_and_its_places(size, face):
    matrix = similarity(PLACES, places(size))
    other = cv2.warpAffine(face, matrix, size[::-1], borderMode=cv2.BORDER_REPLICATE)
    (portrait,) = whole(other, (218, 178))
    assert portrait.box is None
    assert abs(portrait.image.astype(int) - face)[30:190, 30:150].mean() < 4


def test_the_box_of_points_is_in_whole_pixels_of_the_photograph():
    assert box_of(np.array([(1.4, 2.6), (10.5, 3.0), (4, 20.2)])) == (1, 3, 10, 20)
