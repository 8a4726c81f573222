"""Known data sets, by files of their form: none of the real ones was at hand."""

import os

import numpy as np
import pandas as pd
import pytest
from face_sets import encoded, entry, picture, run
from scipy.io import savemat

from pipeline.core.attributes import ATTRIBUTES

SPLITS = ["train"] * 8 + ["valid", "test"]


def write_images(folder, names):
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded(picture(i)))


def refusal(tmp_path, **settings):
    with pytest.raises(SystemExit) as ended:
        run(tmp_path / "out", entry(root=tmp_path / "in", **settings))
    assert "\n" not in str(ended.value.code)
    return str(ended.value.code)


def by_name(got):
    """The labels and the split of each image."""
    faces = got.faces
    rows = zip(faces.names, faces.attributes.tolist(), faces.splits.tolist(), strict=True)
    return {name: (labels, split) for name, labels, split in rows}


RACES = {"attributes": {"race": "all"}, "unfold": {"race": ["White", "Black"]}}


@pytest.fixture
def fairface(tmp_path):
    """FairFace's files: ten rows of train, two of val."""
    for part, count in (("train", 10), ("val", 2)):
        names = [f"{part}/{i + 1}.jpg" for i in range(count)]
        rows = {"file": names, "age": "20-29", "gender": ["Male", "Female"] * (count // 2),
                "race": ["White", "Black"] * (count // 2), "service_test": "True"}  # fmt: skip
        write_images(tmp_path / "in/fairface-img-margin025-trainval", names)
        pd.DataFrame(rows).to_csv(tmp_path / f"in/fairface_label_{part}.csv", index=False)
    return entry(source="fairface", root=tmp_path / "in", **RACES)


def test_fairfaces_words_are_attributes_its_val_is_test_and_a_tenth_of_train_is_valid(
    fairface, tmp_path
):
    got = run(tmp_path / "out", fairface)
    assert got.faces.attribute_set.names == ("race_Black", "race_White")
    found = by_name(got)
    assert len(found) == 12
    assert found["train/1.jpg"] == ([0, 1], "train")
    assert found["train/10.jpg"] == ([1, 0], "valid")
    assert found["val/2.jpg"] == ([1, 0], "test")
    assert got.rejected == {}
    assert "CC BY 4.0" in got.terms


def test_an_entry_that_says_nothing_of_the_words_is_refused_with_what_to_write(fairface, tmp_path):
    sentence = refusal(tmp_path, source="fairface")
    written = "attributes: {race: all} and unfold: {race: [Black, White]}"
    assert written in sentence
    assert "gender (Female, Male)" in sentence


def test_utkfaces_names_are_its_labels_in_fairfaces_words(tmp_path):
    ages = [1, 2, 3, 9, 10, 29, 69, 70, 116, 35]
    names = [
        f"{age}_{i % 2}_{i % 5}_201701091421{i:05d}.jpg.chip.jpg" for i, age in enumerate(ages)
    ]
    write_images(tmp_path / "in/UTKFace", [*names, "61_1_20170109142408075.jpg"])
    words = ["0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"]
    chosen = {"attributes": {"age": "all", "gender": "none"}, "max_rejected": 0.2,
              "unfold": {"age": words, "gender": ["Male", "Female"]}}  # fmt: skip
    got = run(tmp_path / "out", entry(source="utkface", root=tmp_path / "in", **chosen))
    attributes = got.faces.attribute_set.names
    found = {name.split("/")[1]: of for name, of in by_name(got).items()}
    expected = [
        "0-2",
        "0-2",
        "3-9",
        "3-9",
        "10-19",
        "20-29",
        "60-69",
        *["more_than_70"] * 2,
        "30-39",
    ]
    for i, (name, word) in enumerate(zip(names, expected, strict=True)):
        true = {attributes[k] for k in np.flatnonzero(found[name][0])}
        assert true == {f"age_{word}", f"gender_{'Female' if i % 2 else 'Male'}"}
    assert [found[name][1] for name in sorted(names)] == SPLITS
    assert got.rejected == {"UTKFace/61_1_20170109142408075.jpg": "has no label"}
    (tmp_path / "in").rename(tmp_path / "other")
    (tmp_path / "in").mkdir()
    assert "no file named like [age]_[gender]" in refusal(tmp_path, source="utkface", **chosen)


@pytest.mark.parametrize("copy", ["crop_part1/{}.jpg.chip.jpg", "part1/{}.jpg"])
def test_a_face_of_utkface_in_two_folders_is_refused_with_both(tmp_path, copy):
    one, *others = (f"{age}_0_0_20170109142408075" for age in (1, 20, 200))
    names = [f"UTKFace/{name}.jpg.chip.jpg" for name in (one, *others)]
    write_images(tmp_path / "in", [*names, copy.format(others[0])])
    chosen = {"attributes": {"gender": "none"}, "unfold": {"gender": ["Male", "Female"]}}
    sentence = refusal(tmp_path, source="utkface", **chosen)
    assert all(name in sentence for name in (names[1], copy.format(others[0])))


def test_a_name_of_utkface_that_is_no_utf8_is_rejected(tmp_path):
    names = [f"{age}_0_0_2017.jpg" for age in range(20)]
    write_images(tmp_path / "in", [*names, os.fsdecode(b"30_0_0_2017.\xff.jpg")])
    chosen = {"attributes": {"gender": "none"}, "unfold": {"gender": ["Male", "Female"]}}
    got = run(tmp_path / "out", entry(source="utkface", root=tmp_path / "in", **chosen,
                                      max_rejected=0.05))  # fmt: skip
    assert list(got.rejected.values()) == ["has a name that is no UTF-8; rename it"]
    assert len(got.faces) == 20


@pytest.fixture
def celebamask(tmp_path):
    """CelebAMask-HQ's files: three images, one of each of CelebA's splits."""
    write_images(tmp_path / "in/CelebA-HQ-img", [f"{i}.jpg" for i in range(3)])
    labels = np.random.default_rng(1).random((3, 40)) < 0.4
    rows = [
        f"{i}.jpg  " + " ".join("1" if x else "-1" for x in row) for i, row in enumerate(labels)
    ]
    lines = ["3", " ".join(ATTRIBUTES), *rows]
    (tmp_path / "in/CelebAMask-HQ-attribute-anno.txt").write_text("\n".join(lines) + "\n")
    numbers = [162_770, 182_638, 162_771]
    rows = [f"{i}   {number - 1}   {number:06d}.jpg" for i, number in enumerate(numbers)]
    mapping = tmp_path / "in/CelebA-HQ-to-CelebA-mapping.txt"
    mapping.write_text("\n".join(["idx   orig_idx   orig_file", *rows]) + "\n")
    return labels


def test_a_face_of_celebamask_hq_is_in_the_split_that_it_has_in_celeba(celebamask, tmp_path):
    got = run(tmp_path / "out", entry(source="celebamask_hq", root=tmp_path / "in"))
    found = by_name(got)
    assert [found[f"{i}.jpg"][1] for i in range(3)] == ["train", "test", "valid"]
    assert np.array_equal([found[f"{i}.jpg"][0] for i in range(3)], celebamask)
    mapping = tmp_path / "in/CelebA-HQ-to-CelebA-mapping.txt"
    mapping.write_text(mapping.read_text() + "0   7   000008.jpg\n")
    assert f"{mapping} has two rows for 0" in refusal(tmp_path, source="celebamask_hq")
    mapping.unlink()
    assert "has no CelebA-HQ-to-CelebA-mapping.txt" in refusal(tmp_path, source="celebamask_hq")


@pytest.fixture
def lfwa(tmp_path):
    """LFWA's files: twelve people with two photographs each, of whom ten are train."""
    names = [f"P_{i // 2:02d}\\P_{i // 2:02d}_{i % 2 + 1:04d}.jpg" for i in range(24)]
    write_images(tmp_path / "in/lfw", [name.replace("\\", "/") for name in names])
    labels = (np.random.default_rng(2).random((24, 40)) < 0.4).astype(float)
    spaced = np.array([[name.replace("_", " ")] for name in ATTRIBUTES], object)
    cells = np.array([[name] for name in names], object)
    savemat(tmp_path / "in/lfw_att_40.mat", {"name": cells, "AttrName": spaced, "label": labels})
    parts = {"indices_img_train": np.arange(1, 21)[:, None], "indices_img_test": np.arange(21, 25)}
    savemat(tmp_path / "in/indices_train_test.mat", parts)
    return labels


def test_lfwas_labels_splits_and_people_are_those_of_its_matlab_files(lfwa, tmp_path):
    got = run(tmp_path / "out", entry(source="lfwa", root=tmp_path / "in"))
    found = by_name(got)
    names = [f"P_{i // 2:02d}/P_{i // 2:02d}_{i % 2 + 1:04d}.jpg" for i in range(24)]
    assert [found[name][1] for name in names] == ["train"] * 18 + ["valid"] * 2 + ["test"] * 4
    assert np.array_equal([found[name][0] for name in names], lfwa)
    people = dict(zip(got.faces.names, got.faces.identities.tolist(), strict=True))
    assert [people[name] for name in names] == [i // 2 for i in range(24)]
    (tmp_path / "in/indices_train_test.mat").unlink()
    got = run(tmp_path / "again", entry(source="lfwa", root=tmp_path / "in"))
    assert set(got.faces.splits) == {"test"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\x00\x02IM" + bytes(512), "format 7.3, which"),
        (b"hello", "cannot be read as a MATLAB file with name, AttrName, label"),
        (None, "has no lfw_att_40.mat"),
    ],
)
def test_a_file_that_scipy_does_not_read_ends_in_one_sentence(lfwa, tmp_path, content, message):
    path = tmp_path / "in/lfw_att_40.mat"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert message in refusal(tmp_path, source="lfwa")


@pytest.mark.parametrize("source", ["lfwa", "celebamask_hq", "fairface", "utkface"])
def test_a_root_that_is_not_there_ends_in_one_sentence(source, tmp_path):
    sentence = refusal(tmp_path, source=source)
    assert f"root {tmp_path / 'in'} is not there; name the folder that has" in sentence
