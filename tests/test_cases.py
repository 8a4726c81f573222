"""Inputs that were once taken in silence, refused or ended in a traceback: ``tests/cases``.

Each folder has its files, a README and ``entry.json``, the keys of its data set's entry that differ
from the defaults. All pictures are synthetic.
"""

import json
import shutil

import pytest
from conftest import ROOT
from face_sets import entry, run
from test_align import align_all

CASES = ROOT / "tests/cases"
ALL, ALL_BUT_3 = 6, ["000001.jpg", "000002.jpg", "000004.jpg", "000005.jpg", "000006.jpg"]

# The names of the faces that are taken (or their number), and what is said of the rejected ones.
TAKEN = {
    "exif-header-cut": (ALL, {}),
    "exif-junk-rejected": (ALL, {}),
    "folder-nested": (ALL, {}),
    "hf-celeb-id-text": (4, {}),
    "jpeg-damaged-accepted": (
        ["000001.jpg", "000006.jpg"],
        dict.fromkeys(
            ["000002.jpg", "000003.jpg", "000004.jpg", "000005.jpg"], "cannot be decoded as JPEG"
        ),
    ),
    "labels-backslash": ([f"Ann/Ann_000{i}.jpg" for i in range(4)], {}),
    "lists-with-bom": (ALL, {}),
    "png-without-end": (ALL_BUT_3, {"000003.jpg": "cannot be decoded as JPEG or PNG (its end is"}),
    "points-not-checked": (
        ["000001.jpg"],
        {
            "000002.jpg": "has points outside the photograph",
            "000003.jpg": "has points whose left and right are exchanged",
            "000004.jpg": "has points whose x and y are exchanged",
        },
    ),
    "zip-backslash": (ALL, {}),
    "zip-bzip2-damaged": (ALL_BUT_3, {"000003.jpg": "cannot be read from the zip"}),
    "zip-dot-slash": (ALL, {}),
}
REFUSED = {
    "hf-celeb-id-float": "celeb_id (double) has a value that is not a whole number",
    "hf-image-path-only": "has no bytes in its column image, only path",
    "hf-missing-shard": "has no train-00001-of-00003.parquet (2 of 3 files",
    "hf-rows-twice": "are two sets of files of one split",
    "hf-split-file-ignored": "celeba_train-00001.parquet is named by no split",
}


def settings_of(case):
    changed = json.loads((CASES / case / "entry.json").read_text())
    changed |= {"root": CASES / case / changed["root"], "max_rejected": 0.9}
    return entry(**{"size": [218, 178], **changed})


@pytest.mark.parametrize("case", TAKEN)
def test_a_sound_image_is_taken_and_a_damaged_one_rejected_by_name(case, tmp_path):
    expected, reasons = TAKEN[case]
    got = run(tmp_path / "out", settings_of(case))
    names = got.faces.names
    assert names == expected if isinstance(expected, list) else len(names) == expected
    assert got.rejected.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert got.rejected[name].startswith(reason)
    assert all(got.faces.image(row).shape == (*got.faces.size, 3) for row in range(len(names)))


@pytest.mark.parametrize("case", REFUSED)
def test_a_set_that_is_not_whole_ends_in_one_sentence(case, tmp_path):
    with pytest.raises(SystemExit) as ended:
        run(tmp_path / "out", settings_of(case))
    assert REFUSED[case] in str(ended.value.code)
    assert "\n" not in str(ended.value.code)


def test_a_folder_of_photographs_that_is_a_link_is_followed(tmp_path):
    shutil.copytree(CASES / "symlinked-folder", tmp_path / "case")
    photographs = tmp_path / "case/photographs"
    (photographs / "linked").symlink_to("../store")
    (photographs / "again").symlink_to(".")
    points = tmp_path / "case/points.txt"
    table = align_all(photographs, tmp_path / "out", tmp_path / "t.csv", "--points", points)
    assert list(table.index) == ["a.jpg", "linked/c.jpg", "linked/d.jpg"]


def test_every_case_is_here():
    folders = {path.name for path in CASES.iterdir()}
    assert folders == TAKEN.keys() | REFUSED.keys() | {"symlinked-folder"}
