"""What faces/ promises to every later stage."""

import pickle

import cv2
import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.errors import UserError
from pipeline.core.faces.store import DATA, ROWS_PER_BATCH, SPLITS, Face, open_faces, write_faces
from pipeline.core.files import sha256

SIZE = (22, 18)


def some_faces(count: int, seed: int = 0) -> list[Face]:
    random = np.random.default_rng(seed)
    faces = []
    for i in range(count):
        image = random.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        faces.append(
            Face(
                f"{i:06d}.png",
                SPLITS[int(random.integers(3))],
                int(random.integers(-1, 99)),
                random.random(40) < 0.3,
                cv2.imencode(".png", image)[1].tobytes(),
            )
        )
    return faces


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """More than two batches, the last not full, so that batch borders are met."""
    path, faces = tmp_path_factory.mktemp("faces") / "faces", some_faces(2 * ROWS_PER_BATCH + 7)
    write_faces(path, faces, SIZE)
    return path, faces


def test_every_row_comes_back_as_it_was_written(written):
    path, faces = written
    read = open_faces(path)
    assert len(read) == len(faces)
    assert read.size == SIZE
    assert read.names == [face.name for face in faces]
    assert read.splits.tolist() == [face.split for face in faces]
    assert read.identities.tolist() == [face.identity for face in faces]
    assert (read.attributes == np.stack([face.attributes for face in faces])).all()
    assert [read.encoded(row) for row in range(len(read))] == [face.encoded for face in faces]


def test_an_image_is_rgb_whatever_its_file_holds_and_numpy_rows_are_taken(written):
    path, faces = written
    row = np.int64(ROWS_PER_BATCH)
    bgr = cv2.imdecode(np.frombuffer(faces[int(row)].encoded, np.uint8), cv2.IMREAD_COLOR)
    assert (open_faces(path).image(row) == bgr[..., ::-1]).all()


def test_the_rows_of_the_splits_are_ascending_and_hold_every_face_once(written):
    read = open_faces(written[0])
    rows = [read.rows(split) for split in SPLITS]
    assert all((np.diff(r) > 0).all() for r in rows)
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(read)))


def test_hugging_face_opens_the_folder_with_images_and_named_labels(written):
    path, faces = written
    dataset = datasets.load_from_disk(str(path))
    assert dataset.column_names == ["image", "image_name", "split", "celeb_id", *ATTRIBUTES]
    row = dataset[ROWS_PER_BATCH + 1]
    face = faces[ROWS_PER_BATCH + 1]
    assert np.array_equal(np.asarray(row["image"]), open_faces(path).image(ROWS_PER_BATCH + 1))
    assert row["image_name"] == face.name
    assert [row[name] for name in ATTRIBUTES] == face.attributes.tolist()


def test_a_worker_process_gets_the_faces_by_their_path_and_not_their_bytes(written):
    read = open_faces(written[0])
    assert read.names
    copy = pickle.dumps(read)
    assert len(copy) < 1000
    assert pickle.loads(copy).encoded(3) == read.encoded(3)


@given(count=st.integers(0, 5), seed=st.integers(0, 3))
def test_equal_faces_are_equal_bytes_and_others_have_another_fingerprint(
    tmp_path_factory, count, seed
):
    folder = tmp_path_factory.mktemp("equal")
    write_faces(folder / "a", some_faces(count, seed), SIZE)
    write_faces(folder / "b", iter(some_faces(count, seed)), SIZE)
    write_faces(folder / "c", some_faces(count + 1, seed), SIZE)
    assert sha256(folder / "a") == sha256(folder / "b")
    prints = [datasets.load_from_disk(str(folder / name))._fingerprint for name in "abc"]
    assert prints[0] == prints[1] != prints[2]


def test_a_row_beyond_the_last_is_an_index_error(written):
    read = open_faces(written[0])
    for row in (-1, len(read)):
        with pytest.raises(IndexError):
            read.image(row)


def test_an_attempt_that_fails_leaves_the_faces_that_were_there(tmp_path):
    write_faces(tmp_path / "faces", some_faces(3), SIZE)
    before = sha256(tmp_path / "faces")

    def breaking():
        yield from some_faces(2)
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError):
        write_faces(tmp_path / "faces", breaking(), SIZE)
    assert sha256(tmp_path / "faces") == before
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


@pytest.mark.parametrize("damage", ["missing", "empty folder", "cut off", "foreign"])
def test_a_folder_that_holds_no_faces_is_a_user_error(tmp_path, damage):
    path = tmp_path / "faces"
    if damage == "empty folder":
        path.mkdir()
    elif damage == "cut off":
        write_faces(path, some_faces(5), SIZE)
        data = path / DATA
        data.write_bytes(data.read_bytes()[:-2000])
    elif damage == "foreign":
        datasets.Dataset.from_dict({"a": [1]}).save_to_disk(str(path))
    with pytest.raises(UserError, match=r"is not a folder of faces .*rule acquire\.$"):
        open_faces(path)
