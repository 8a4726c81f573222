import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import data_figures
from pipeline import masks as stage_masks
from pipeline.core.attributes import ATTRIBUTES, CELEBA
from pipeline.core.faces.store import Face, open_faces, write_faces
from pipeline.core.landmarks.table import Landmarks, read_landmarks, write_landmarks
from pipeline.core.masks import true_parts
from pipeline.core.masks.regions import attribute_masks, codes, fill_polygons, region_polygons
from pipeline.core.masks.store import open_masks
from pipeline.core.presentation.figures import sheets

CODES = codes(CELEBA.table)
SIZE = (218, 178)
SHARD = 4
EARRINGS = ATTRIBUTES.index("Wearing_Earrings")


def a_face(random):
    """68 points of a frontal face, each moved a little."""
    across = np.linspace(0, np.pi, 17)
    points = np.empty((68, 2))
    points[:17] = np.stack([89 - 45 * np.cos(across), 110 + 70 * np.sin(across)], axis=1)
    points[17:27] = np.stack([np.linspace(52, 126, 10), np.full(10, 98)], axis=1)
    points[27:36] = [(89, y) for y in (108, 116, 124, 130)] + [(x, 136) for x in range(81, 98, 4)]
    for first, middle in ((36, 69), (42, 108), (48, 89), (60, 89)):
        count, height, radius = {36: (6, 112, 7), 42: (6, 112, 7), 48: (12, 155, 15)}.get(
            first, (8, 155, 9)
        )
        turn = np.pi + np.linspace(0, 2 * np.pi, count, endpoint=False)
        points[first : first + count, 0] = middle + radius * np.cos(turn)
        points[first : first + count, 1] = height + radius / 2 * np.sin(turn)
    return points + random.normal(0, 0.5, points.shape)


def data_set(folder, count, seed=0):
    """Faces and landmarks on disk: face 1 was not found, face 2 turns both ears away."""
    random = np.random.default_rng(seed)
    points = np.stack([a_face(random) for _ in range(count)])
    points[1:2] = np.nan
    points[2:3, [0, 16], 0] = points[2:3, [17, 26], 0]
    labels = random.random((count, len(ATTRIBUTES))) < 0.3
    labels[1:3, EARRINGS] = True
    encoded = cv2.imencode(".png", np.zeros((*SIZE, 3), np.uint8))[1].tobytes()
    names = [f"{i:06d}.png" for i in range(count)]
    faces = (Face(n, "train", 0, k, encoded) for n, k in zip(names, labels, strict=True))
    write_faces(folder / "faces", faces, SIZE)
    detectors = ["drawn" if np.isfinite(p).all() else "" for p in points]
    write_landmarks(folder / "landmarks.csv", Landmarks(names, points, detectors))
    return np.round(points, 3), labels


def arguments(folder, **settings):
    settings = {"shard": SHARD, "repair_labels": False} | settings
    return ["--faces", str(folder / "faces"), "--settings", json.dumps(settings)]


def draw(folder, part, **settings):
    out = folder / "masks" / f"{part}.json"
    words = ["draw", "--landmarks", folder / "landmarks.csv", "--part", part, "--out", out]
    words += ["--shards", out.with_suffix("")]
    stage_masks.main([str(word) for word in words] + arguments(folder, **settings))
    return out


def gather(folder, parts, **settings):
    words = ["gather", "--parts", *parts, "--shards", *[part.with_suffix("") for part in parts]]
    words += ["--store", folder / "masks.zarr", "--summary", folder / "masks.json"]
    stage_masks.main([str(word) for word in words] + arguments(folder, **settings))
    return json.loads((folder / "masks.json").read_text())


def make(folder, parts, **settings):
    names = [f"{k}-of-{parts}" for k in range(1, parts + 1)]
    return gather(folder, [draw(folder, name, **settings) for name in names], **settings)


def contents(folder):
    files = [p for p in (folder / "masks.zarr").rglob("*") if p.is_file()]
    return {str(p.relative_to(folder)): p.read_bytes() for p in [*files, folder / "masks.json"]}


def test_row_i_of_the_store_is_face_i_drawn_from_its_own_points_and_labels(tmp_path):
    points, labels = data_set(tmp_path, 11)
    make(tmp_path, 3)
    faces, store = open_faces(tmp_path / "faces"), open_masks(tmp_path / "masks.zarr")
    assert store.names == faces.names
    assert np.array_equal(store.labels, labels)
    assert store.found.tolist() == [i != 1 for i in range(11)]
    for i in range(11):
        bits = fill_polygons(region_polygons(points[i], SIZE), SIZE)
        assert np.array_equal(store.region_bits([i])[0], bits)
        assert np.array_equal(store.masks(i), attribute_masks(bits, labels[i], CODES))


@settings(max_examples=6)
@given(faces=st.integers(3, 14), shard=st.integers(1, 6), parts=st.integers(1, 5))
def test_the_number_of_parts_changes_no_byte(tmp_path_factory, faces, shard, parts):
    folder = tmp_path_factory.mktemp("set")
    data_set(folder, faces)
    make(folder, 1, shard=shard)
    alone = contents(folder)
    make(folder, parts, shard=shard)
    assert contents(folder) == alone


def test_the_summary_counts_what_could_not_be_drawn(tmp_path):
    data_set(tmp_path, 11)
    summary = make(tmp_path, 2)
    assert summary["images"] == 11
    assert summary["without_landmarks"] == 1
    assert summary["positive_with_empty_mask"] == {"Wearing_Earrings": 1}
    assert summary["regions_absent"] == {"left_ear": 1, "right_ear": 1}
    assert summary["repaired_labels"] == {}
    assert summary["repaired_faces"] == 0


def test_repairing_makes_a_positive_with_an_empty_mask_negative_and_reports_it(tmp_path):
    _, labels = data_set(tmp_path, 11)
    summary = make(tmp_path, 2, repair_labels=True)
    assert summary["repaired_labels"] == {"Wearing_Earrings": 1}
    assert summary["repaired_faces"] == 1
    expected = labels.copy()
    expected[2, EARRINGS] = False  # and face 1, whose landmarks are unknown, keeps its labels
    assert np.array_equal(open_masks(tmp_path / "masks.zarr").labels, expected)


def test_the_store_stays_as_it_is_until_its_parts_are_gathered_again(tmp_path):
    data_set(tmp_path, 11)
    make(tmp_path, 2)
    before = contents(tmp_path)
    data_set(tmp_path, 11, seed=1)
    part = draw(tmp_path, "2-of-2")
    assert contents(tmp_path) == before
    gather(tmp_path, [part.with_name("1-of-2.json"), part])
    assert contents(tmp_path) != before


def test_a_deleted_store_is_made_again_of_the_same_parts(tmp_path):
    data_set(tmp_path, 11)
    parts = [draw(tmp_path, f"{k}-of-2") for k in (1, 2)]
    gather(tmp_path, parts)
    before = contents(tmp_path)
    shutil.rmtree(tmp_path / "masks.zarr")
    gather(tmp_path, parts)
    assert contents(tmp_path) == before


def test_where_there_are_no_hard_links_shards_are_copied(tmp_path, monkeypatch):
    def refuse(*names):
        raise PermissionError

    data_set(tmp_path, 11)
    make(tmp_path, 2)
    before = contents(tmp_path)
    monkeypatch.setattr(stage_masks, "os", SimpleNamespace(link=refuse))
    make(tmp_path, 2)
    assert contents(tmp_path) == before


def test_fewer_faces_leave_nothing_of_the_larger_store(tmp_path):
    (tmp_path / "fresh").mkdir()
    data_set(tmp_path, 14)
    make(tmp_path, 2)
    for folder in (tmp_path, tmp_path / "fresh"):
        data_set(folder, 6)
        make(folder, 2)
    assert contents(tmp_path) == contents(tmp_path / "fresh")


@pytest.mark.parametrize("faces", [SHARD, SHARD + 1])
def test_the_log_has_the_time_that_a_part_took(tmp_path, faces, caplog):
    data_set(tmp_path, faces)
    opened, table = open_faces(tmp_path / "faces"), read_landmarks(tmp_path / "landmarks.csv")
    with caplog.at_level("INFO"):
        stage_masks.draw_part(tmp_path / "part", opened, table, "1-of-1", SHARD)
    assert caplog.text.count(f"masks: {faces} faces in") == 1


@pytest.mark.parametrize("damage", ["missing", "is not as its part wrote it"])
def test_a_shard_that_is_missing_or_changed_is_named(tmp_path, capsys, damage):
    data_set(tmp_path, 11)
    parts = [draw(tmp_path, f"{k}-of-2") for k in (1, 2)]
    shard = tmp_path / "masks/2-of-2/regions/c/1/0/0"
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(SystemExit, match=f"regions/c/1/0/0.*{damage}.*: remove .*masks/2-of-2 and"):
        gather(tmp_path, parts)
    assert not (tmp_path / "masks.json").exists()


def test_parts_that_do_not_hold_every_face_are_refused(tmp_path):
    data_set(tmp_path, 11)
    parts = [draw(tmp_path, f"{k}-of-2") for k in (1, 2)]
    with pytest.raises(SystemExit, match="and there are 11 faces"):
        gather(tmp_path, parts[:1])
    with pytest.raises(SystemExit, match="4 faces a shard, others 8"):
        gather(tmp_path, parts, shard=8)


def test_landmarks_of_other_faces_are_refused(tmp_path):
    data_set(tmp_path, 11)
    points = np.full((2, 68, 2), np.nan)
    write_landmarks(tmp_path / "landmarks.csv", Landmarks(["a", "b"], points, ["", ""]))
    with pytest.raises(SystemExit, match=r"landmarks.csv holds other faces than .*faces"):
        draw(tmp_path, "1-of-1")


def test_a_killed_part_leaves_nothing_and_run_again_gives_the_same_bytes(tmp_path):
    data_set(tmp_path, 60)
    make(tmp_path, 1)
    before = contents(tmp_path)
    shutil.rmtree(tmp_path / "masks/1-of-1")
    words = ["draw", "--landmarks", tmp_path / "landmarks.csv", "--part", "1-of-1"]
    words += ["--out", tmp_path / "masks/1-of-1.json", "--shards", tmp_path / "masks/1-of-1"]
    words += arguments(tmp_path)
    root = Path(stage_masks.__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.masks", *map(str, words)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not list(tmp_path.glob("masks/.*/masks/c/1/0/0/0")):
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert not (tmp_path / "masks/1-of-1").exists()
    make(tmp_path, 1)
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_pictures_are_made_of_any_store(tmp_path):
    data_set(tmp_path, 5)
    make(tmp_path, 1)
    store, faces = ["--store", str(tmp_path / "masks.zarr")], ["--faces", str(tmp_path / "faces")]
    for name, words in {
        "face": ["face_masks", "--name", "000003.png", *faces],
        "mean": ["mean_masks"],
        "sheet": ["sheet_masks", "--attribute", "Wearing_Earrings", "--images", "3", *faces],
    }.items():
        out = tmp_path / f"{name}.png"
        data_figures.main([*words, *store, "--out", str(out)])
        picture = cv2.imread(str(out))
        assert picture.std() > 5, f"{name} is all one colour"
    with pytest.raises(SystemExit, match="Smilling is none of the data set's"):
        data_figures.main(
            [
                "sheet_masks",
                "--attribute",
                "Smilling",
                *faces,
                *store,
                "--out",
                str(tmp_path / "no.png"),
            ]
        )


@pytest.mark.parametrize("picture", ["face_masks", "sheet_masks"])
def test_masks_of_other_people_are_laid_over_nobody(tmp_path, picture):
    for folder, count in (("mine", 5), ("others", 6)):
        data_set(tmp_path / folder, count)
        make(tmp_path / folder, 1)
    words = ["--store", tmp_path / "others/masks.zarr", "--faces", tmp_path / "mine/faces"]
    words += ["--out", tmp_path / "picture.png"]
    with pytest.raises(SystemExit, match="other faces than"):
        data_figures.main([picture, *map(str, words)])
    assert not (tmp_path / "picture.png").exists()


def test_the_mean_mask_is_over_the_positives_that_have_landmarks(tmp_path):
    data_set(tmp_path, 5)
    make(tmp_path, 1)
    store = open_masks(tmp_path / "masks.zarr")
    means, count = sheets.mean_masks(store, range(5))
    rows = [row for row in range(5) if store.found[row] and store.labels[row, EARRINGS]]
    expected = np.mean([store.masks(row)[EARRINGS] for row in rows], axis=0)
    assert count[EARRINGS] == len(rows)
    assert np.allclose(means[EARRINGS], expected)


def test_a_region_is_compared_with_its_part_by_hand():
    region, part = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    region[:2], part[1:, :2] = True, True  # 8 and 6 pixels, 2 in common
    assert true_parts.compare(region, part) == pytest.approx((2 / 12, 2 / 8, 2 / 6))


def test_regions_drawn_as_their_own_parts_match_them_wholly(tmp_path):
    data_set(tmp_path, 5)
    make(tmp_path, 1)
    store = open_masks(tmp_path / "masks.zarr")
    drawn = tmp_path / "drawn"
    (drawn / "parts").mkdir(parents=True)
    parts = ["background", "skin", "brows", "eyes", "ears", "earrings", "nose", "mouth", "lips"]
    parts += ["neck", "necklace", "hair", "hat"]
    (drawn / "parts.json").write_text(json.dumps(dict(enumerate(parts))))
    for row in range(5):
        mouth = (store.region_bits([row])[0] >> store.regions.index("mouth") & 1).astype(np.uint8)
        cv2.imwrite(str(drawn / "parts" / f"{row:06d}.png"), mouth * parts.index("lips"))
    words = ["true_parts", "--store", tmp_path / "masks.zarr", "--drawn", drawn]
    words += ["--out", tmp_path / "truth.csv"]
    data_figures.main([str(word) for word in words])
    table = pd.read_csv(tmp_path / "truth.csv").set_index("regions")
    assert table.loc["mouth", "faces"] == 4
    assert table.loc["mouth", "iou"] == 1
    assert table.loc["neck", "faces"] == 0
    (drawn / "parts.json").unlink()
    with pytest.raises(SystemExit, match="only synthetic faces have known parts"):
        data_figures.main([str(word) for word in words])
