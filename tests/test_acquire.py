"""Acquisition: every image accounted for, in its split, or the run ends in one sentence."""

import codecs
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile

import datasets
import numpy as np
import pytest
from conftest import ROOT
from face_sets import (
    SMALL,
    encoded,
    entry,
    official_set,
    picture,
    run,
    splits_in_words,
    zip_images,
)
from PIL import Image

from pipeline.core.attributes import ATTRIBUTES
from pipeline.core.faces.decoding import decode
from pipeline.core.faces.sources import celeba
from pipeline.core.faces.store import faces_sha256
from pipeline.core.files import sha256


@pytest.fixture
def source(tmp_path):
    made = official_set(tmp_path / "root")
    made.root = tmp_path / "root"
    made.entry = entry(source="celeba", root=made.root)
    return made


def test_every_image_comes_with_its_bytes_split_labels_and_identity(source, tmp_path):
    got = run(tmp_path / "out", source.entry)
    assert got.faces.names == source.names
    assert got.faces.splits.tolist() == splits_in_words(source.splits)
    assert (got.faces.attributes == source.labels).all()
    assert got.faces.identities.tolist() == [i // 3 + 1 for i in range(30)]
    assert [got.faces.encoded(row) for row in range(30)] == list(source.images.values())
    assert got.faces.size == SMALL
    assert got.rejected == {}
    assert "non-commercial research" in got.terms


def test_the_manifest_has_name_sha256_size_and_split_of_each_image(source, tmp_path):
    manifest = run(tmp_path / "out", source.entry).manifest
    images = source.images.values()
    assert list(manifest) == ["image_name", "sha256", "bytes", "split"]
    assert manifest["image_name"].tolist() == source.names
    assert manifest["sha256"].tolist() == [hashlib.sha256(i).hexdigest() for i in images]
    assert manifest["bytes"].tolist() == [len(image) for image in images]
    assert manifest["split"].tolist() == splits_in_words(source.splits)


def test_rows_go_by_split_whatever_the_order_of_the_label_file(tmp_path):
    made = official_set(tmp_path / "root", 9, splits=[2, 0, 1, 2, 0, 1, 0, 0, 2])
    got = run(tmp_path / "out", entry(source="celeba", root=tmp_path / "root"))
    order = np.argsort(made.splits, kind="stable")
    assert got.faces.names == [made.names[i] for i in order]
    assert (got.faces.attributes == made.labels[order]).all()


def test_an_unpacked_folder_and_more_threads_give_equal_bytes_and_root_is_only_read(
    source, tmp_path
):
    first = run(tmp_path / "zip", source.entry)
    before = sha256(source.root)
    again = run(tmp_path / "threads", source.entry, "--threads", "3")
    assert sha256(source.root) == before
    with zipfile.ZipFile(source.root / "img_align_celeba.zip") as archive:
        archive.extractall(source.root)
    (source.root / "img_align_celeba.zip").unlink()
    unpacked = run(tmp_path / "folder", source.entry)
    assert first.bytes == again.bytes == unpacked.bytes
    assert first.summary["sha256"] == faces_sha256(tmp_path / "zip/faces")


def test_hugging_face_sees_the_split_and_the_labels_by_name(source, tmp_path):
    run(tmp_path / "out", source.entry)
    row = datasets.load_from_disk(str(tmp_path / "out/faces"))[7]
    assert row["image"].size == SMALL[::-1]
    assert [row[name] for name in ATTRIBUTES] == source.labels[7].tolist()
    assert (row["image_name"], row["split"]) == ("000008.jpg", "train")


# What happens to each kind of image: the table in docs/faces.md.


def grey(image):
    return encoded(image[..., 0])


def large(_):
    file = io.BytesIO()
    Image.new("RGB", (10_000, 10_000)).save(file, "JPEG", quality=1)
    return file.getvalue()


def turned(image, orientation=6):
    file = io.BytesIO()
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(image).save(file, "JPEG", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda image: encoded(image)[:-40], "cannot be decoded as JPEG or PNG"),
        (lambda image: encoded(image)[:200], "cannot be decoded as JPEG or PNG"),
        (lambda image: b"", "cannot be decoded as JPEG or PNG"),
        (lambda image: b"<html>quota</html>", "cannot be decoded as JPEG or PNG"),
        (large, "is 10000×10000 pixels, expected 20×24"),
        (lambda image: encoded(image[:-1]), "is 20×23 pixels, expected 20×24"),
        (grey, "has the mode grey, expected RGB"),
        (lambda image: encoded(np.dstack([image, image[..., 0]]), ".png"), "has the mode RGBA"),
        (turned, "is turned by its EXIF orientation"),
    ],
    ids=["cut_off", "headless", "empty", "html", "large", "small", "grey", "transparent", "turned"],
)
def test_an_image_that_cannot_be_used_is_rejected_with_its_reason_and_the_rest_stays(
    source, tmp_path, make, reason
):
    zip_images(source.root, {**source.images, "000004.jpg": make(picture(3))}.items())
    got = run(tmp_path / "out", {**source.entry, "max_rejected": 0.1})
    assert list(got.rejected) == ["000004.jpg"]
    assert got.rejected["000004.jpg"].startswith(reason)
    assert got.faces.names == [name for name in source.names if name != "000004.jpg"]
    assert got.summary["rejected"] == 1


@pytest.mark.parametrize("undefined", [0, 9])
def test_an_exif_orientation_without_meaning_is_upright(source, tmp_path, undefined):
    image = turned(picture(3), undefined)
    zip_images(source.root, {**source.images, "000004.jpg": image}.items())
    got = run(tmp_path / "out", source.entry)
    assert got.rejected == {}
    assert (got.faces.image(3) == decode(turned(picture(3), 1))).all()


def test_a_png_named_jpg_is_taken_with_its_own_bytes(source, tmp_path):
    png = encoded(picture(3), ".png")
    zip_images(source.root, {**source.images, "000004.jpg": png}.items())
    got = run(tmp_path / "out", source.entry)
    assert got.faces.encoded(3) == png
    assert (got.faces.image(3) == picture(3)[..., ::-1]).all()


def test_a_name_that_leads_out_of_the_zip_is_listed_and_never_read_or_written(source, tmp_path):
    escapes = [("../000004.jpg", encoded(picture(99))), ("../../escaped.jpg", b"x")]
    entries = [(name, image) for name, image in source.images.items() if name != "000004.jpg"]
    zip_images(source.root, entries + escapes)
    got = run(tmp_path / "out", {**source.entry, "max_rejected": 0.2})
    assert got.rejected == {
        "img_align_celeba/../000004.jpg": "its name leads out of the archive",
        "img_align_celeba/../../escaped.jpg": "its name leads out of the archive",
        "000004.jpg": "has a label and no image",
    }
    assert not list(tmp_path.rglob("escaped.jpg"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_images_with_one_name_none_is_taken(source, tmp_path):
    zip_images(source.root, [*source.images.items(), ("000004.jpg", encoded(picture(99)))])
    got = run(tmp_path / "out", {**source.entry, "max_rejected": 0.1})
    assert got.rejected == {"000004.jpg": "is 2 times in the zip"}
    assert "000004.jpg" not in got.faces.names


def test_an_image_without_label_and_a_label_without_image_are_listed(source, tmp_path):
    images = {name: image for name, image in source.images.items() if name != "000004.jpg"}
    zip_images(source.root, {**images, "999999.jpg": images["000001.jpg"]}.items())
    got = run(tmp_path / "out", {**source.entry, "max_rejected": 0.1})
    assert got.rejected == {
        "999999.jpg": "has no label",
        "000004.jpg": "has a label and no image",
    }


def test_an_image_whose_name_is_no_utf8_is_listed_and_named_in_the_log(source, tmp_path, capsys):
    with zipfile.ZipFile(source.root / ZIP) as archive:
        archive.extractall(source.root)
    (source.root / ZIP).unlink()
    name = os.fsdecode(b"caf\xe9.jpg")
    (source.root / "img_align_celeba" / name).write_bytes(encoded(picture(0)))
    got = run(tmp_path / "out", {**source.entry, "max_rejected": 0.1})
    assert got.rejected == {"caf\\xe9.jpg": "has no label"}
    assert "rejected caf\\xe9.jpg: has no label" in (tmp_path / "out/acquire.log").read_text()
    assert "Logging error" not in capsys.readouterr().err
    assert "the last is caf\\xe9.jpg, which" in stopped(
        tmp_path, {**source.entry, "max_rejected": 0}, capsys
    )


@pytest.mark.skipif(
    not sys.prefix.isascii(), reason="such a locale has no letters for OpenCV's own path"
)
def test_names_are_written_as_utf8_whatever_the_locale(source, tmp_path):
    for file in (ATTR, PARTITION, IDENTITY):
        path = source.root / file
        path.write_text(path.read_text().replace("000004", "José"), encoding="utf-8")
    images = {name.replace("000004", "José"): image for name, image in source.images.items()}
    zip_images(source.root, {**images, "Zoé.jpg": b""}.items())
    paths = {"manifest": "manifest.csv", "rejected": "rejected.csv", "terms": "TERMS.txt"}
    paths |= {"out": "faces", "summary": "faces.json", "downloads": "downloads", "log": "log"}
    flags = [word for flag, name in paths.items() for word in (f"--{flag}", str(tmp_path / name))]
    settings = json.dumps({**source.entry, "max_rejected": 0.1})
    command = [sys.executable, "-m", "pipeline.acquire", "--settings", settings, *flags]
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    plain |= {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=tmp_path, env={**os.environ, **plain}, check=True)
    assert "\nJosé.jpg," in (tmp_path / "manifest.csv").read_text(encoding="utf-8")
    assert "\nZoé.jpg,has no label" in (tmp_path / "rejected.csv").read_text(encoding="utf-8")


def test_hidden_files_of_operating_systems_in_archives_are_ignored(source, tmp_path):
    with zipfile.ZipFile(source.root / "img_align_celeba.zip", "a") as archive:
        archive.writestr("__MACOSX/img_align_celeba/._000001.jpg", b"x")
        archive.writestr("img_align_celeba/.DS_Store", b"x")
    got = run(tmp_path / "out", source.entry)
    assert got.rejected == {}
    assert got.faces.names == source.names


def test_a_damaged_entry_of_the_zip_is_rejected(source, tmp_path):
    path = source.root / "img_align_celeba.zip"
    content = path.read_bytes()
    middle = content.index(source.images["000004.jpg"]) + 300
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    got = run(tmp_path / "out", {**source.entry, "max_rejected": 0.1})
    assert got.rejected["000004.jpg"].startswith("cannot be read from the zip")


def test_an_entry_of_the_zip_behind_a_password_is_rejected(source, tmp_path):
    content = bytearray((source.root / ZIP).read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # the last entry message that it is encrypted
    (source.root / ZIP).write_bytes(content)
    got = run(tmp_path / "out", {**source.entry, "max_rejected": 0.1})
    assert "is encrypted, password required" in got.rejected["000030.jpg"]


def test_more_rejected_images_than_allowed_end_the_run_before_anything_is_written(
    source, tmp_path, capsys
):
    bad = {name: image[:100] for name, image in list(source.images.items())[:4]}
    zip_images(source.root, {**source.images, **bad}.items())
    message = stopped(tmp_path, {**source.entry, "max_rejected": 0.1}, capsys)
    assert message.startswith("attparse: 4 of 30 images cannot be used, more than the share")
    assert "000004.jpg, which cannot be decoded" in message
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["acquire.log"]
    assert (tmp_path / "out/acquire.log").read_text().count("rejected 0") == 4


def stopped(tmp_path, settings, capsys):
    """The sentence with which acquisition ends; it must be one line, and its status not 0."""
    with pytest.raises(SystemExit) as ended:
        run(tmp_path / "out", settings)
    assert "\n" not in str(ended.value.code)
    return str(ended.value.code)


# What is wrong with the files as a whole: one sentence, before any image is read.


def edit(name, change):
    def edited(root):
        lines = (root / name).read_text().splitlines()
        (root / name).write_text("\n".join(change(lines)) + "\n")

    return edited


def replaced(name, content):
    return lambda root: (root / name).write_bytes(content)


ATTR, PARTITION, IDENTITY = "list_attr_celeba.txt", "list_eval_partition.txt", "identity_CelebA.txt"
ZIP = "img_align_celeba.zip"
PAGE = b"\n<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (edit(ATTR, lambda x: x[:9] + x[10:]), "announces 30 images in line 1 and has 29 rows"),
        (edit(ATTR, lambda x: ["29", *x[1:9], *x[10:]]), "no row for 000008.jpg, which list_eval"),
        (edit(ATTR, lambda x: [*x[:5], x[5].replace("-1", "0", 1), *x[6:]]), "line 6 (000004.jpg)"),
        (edit(ATTR, lambda x: [*x[:5], x[5][:-3], *x[6:]]), "expected a name and 40 labels"),
        (edit(ATTR, lambda x: [x[0], x[1].replace("Bald", "Bold"), *x[2:]]), "line 2: expected"),
        (edit(ATTR, lambda x: [x[0], " ".join(x[1].split()[::-1]), *x[2:]]), "in its order"),
        (edit(ATTR, lambda x: x[1:]), "does not start with the number of images"),
        (edit(ATTR, lambda x: [*x[:-1], x[-2]]), "two rows for 000029.jpg"),
        (replaced(ATTR, PAGE), "is an HTML page of 73 bytes"),
        (replaced(ATTR, b"\xff\xfe\x00\xd8"), "is not a text file"),
        (edit(PARTITION, lambda x: x[:-1]), "no row for 000030.jpg, which list_attr_celeba.txt"),
        (edit(PARTITION, lambda x: [*x[:-1], "000030.jpg 3"]), "puts 000030.jpg into split 3"),
        (edit(PARTITION, lambda x: [*x[:-1], "000030.jpg test"]), "line 30: expected an image"),
        (edit(PARTITION, lambda x: [*x, x[3]]), "two rows for 000004.jpg"),
        (edit(IDENTITY, lambda x: x[1:]), "identity_CelebA.txt has no row for 000001.jpg"),
        (edit(IDENTITY, lambda x: [*x[:-1], "000030.jpg --1"]), "line 30: expected an image"),
        (edit(IDENTITY, lambda x: [*x[:-1], f"000030.jpg {10**24}"]), "line 30: expected an"),
        (replaced(ZIP, PAGE), "cannot be opened as a zip: it is an HTML page of 73 bytes"),
        (lambda root: (root / ZIP).write_bytes((root / ZIP).read_bytes()[:-500]), "was cut off"),
        (lambda root: (root / ZIP).unlink(), f"has no {ZIP}; put CelebA's official file there"),
        (lambda root: (root / PARTITION).unlink(), f"has no {PARTITION}; put"),
        (lambda root: [p.unlink() for p in root.iterdir()] and root.rmdir(), "is not there; name"),
    ],
)
def test_files_that_are_wrong_as_a_whole_end_in_one_sentence_that_names_them(
    source, tmp_path, capsys, damage, message
):
    damage(source.root)
    sentence = stopped(tmp_path, source.entry, capsys)
    assert message in sentence
    assert str(source.root) in sentence
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["acquire.log"]


def test_a_root_without_read_permission_ends_in_one_sentence(source, tmp_path, capsys, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    message = stopped(tmp_path, source.entry, capsys)
    assert f"{source.root} cannot be read (permission denied)" in message


def test_synthetic_faces_without_their_folder_end_in_one_sentence(tmp_path, capsys):
    assert "--drawn" in stopped(tmp_path, entry(source="synthetic"), capsys)


# Which files are held to the official hashes.


def test_a_web_page_in_place_of_the_official_zip_is_named_as_one(
    source, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(celeba, "ALL_IMAGES", 30)
    (source.root / ZIP).write_bytes(PAGE)
    assert "cannot be opened as a zip: it is an HTML page of 73" in stopped(
        tmp_path, source.entry, capsys
    )


def test_a_set_that_announces_all_of_celeba_must_have_the_official_hashes(
    source, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(celeba, "ALL_IMAGES", 30)
    message = stopped(tmp_path, source.entry, capsys)
    assert "list_attr_celeba.txt has the md5" in message
    assert "expected 75e246fa4810816ffd6ee81facbd244c" in message


def test_the_entry_can_name_other_hashes_or_any(source, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(celeba, "ALL_IMAGES", 30)
    hashes = dict.fromkeys((PARTITION, IDENTITY, ZIP), "any")
    hashes[ATTR] = sha256(source.root / ATTR)
    assert len(run(tmp_path / "out", {**source.entry, "hashes": hashes}).faces) == 30
    hashes[ZIP] = hashlib.md5(b"other").hexdigest()
    assert f"{ZIP} has the md5" in stopped(tmp_path, {**source.entry, "hashes": hashes}, capsys)


def test_a_hash_of_a_part_of_celeba_is_compared_too_when_the_entry_names_it(
    source, tmp_path, capsys
):
    changed = {**source.entry, "hashes": {ATTR: "0" * 64}}
    assert "has the sha256" in stopped(tmp_path, changed, capsys)
    changed = {**source.entry, "hashes": {"list_atr.txt": "any"}}
    assert "'list_atr.txt', which is none of its files" in stopped(tmp_path, changed, capsys)


# Subsets: the split stays official.


def test_limit_takes_the_first_images_of_each_split(source, tmp_path):
    got = run(tmp_path / "out", {**source.entry, "limit": 3})
    assert got.faces.names == [source.names[i] for i in (0, 1, 2, 10, 11, 12, 20, 21, 22)]
    assert got.summary["train"] == got.summary["valid"] == got.summary["test"] == 3


def test_a_filter_takes_the_images_with_these_labels_and_limit_counts_among_them(source, tmp_path):
    male, smiling = (source.labels[:, ATTRIBUTES.index(name)] for name in ("Male", "Smiling"))
    selected = [n for n, m, s in zip(source.names, male, smiling, strict=True) if m and not s]
    settings = {**source.entry, "filter": {"Male": True, "Smiling": False}}
    got = run(tmp_path / "out", settings)
    assert got.faces.names == selected
    assert len(selected) > 3
    few = run(tmp_path / "few", {**settings, "limit": 1})
    assert len(few.faces) == len(set(got.faces.splits))


def test_names_may_be_a_list_or_a_file(source, tmp_path):
    chosen = ["000025.jpg", "000003.jpg"]
    (tmp_path / "names.txt").write_text("\n".join(chosen) + "\n")
    (tmp_path / "windows.txt").write_bytes(codecs.BOM_UTF8 + "\r\n".join(chosen).encode())
    for names in (chosen, str(tmp_path / "names.txt"), str(tmp_path / "windows.txt")):
        got = run(tmp_path / "out", {**source.entry, "names": names})
        assert got.faces.names == ["000003.jpg", "000025.jpg"]
        assert got.faces.splits.tolist() == ["train", "test"]


def test_images_outside_a_subset_are_not_rejected(source, tmp_path):
    zip_images(source.root, {**source.images, "999999.jpg": b"x", "000030.jpg": b"x"}.items())
    assert run(tmp_path / "out", {**source.entry, "limit": 3}).rejected == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ["000001.png"]}, "1 of 1 names in the data set's entry (names) have no label"),
        ({"names": "nowhere.txt"}, "nowhere.txt cannot be read"),
        ({"filter": {"Man": True}}, "filter names 'Man'; expected one of 5_o_Clock_Shadow, "),
        ({"filter": {"Male": True}, "names": ["000002.jpg"]}, "no image is left of 30"),
    ],
)
def test_an_impossible_subset_ends_in_one_sentence(source, tmp_path, capsys, change, message):
    male = source.labels[1, ATTRIBUTES.index("Male")]
    if "Male" in change.get("filter", {}):
        change = {**change, "filter": {"Male": not male}}
    assert message in stopped(tmp_path, {**source.entry, **change}, capsys)


def test_identities_in_two_splits_are_counted_in_a_warning(tmp_path, capsys):
    official_set(tmp_path / "root", 12, splits=[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
    run(tmp_path / "out", entry(source="celeba", root=tmp_path / "root"))
    assert "WARNING: 2 of 4 people are in two splits or more" in capsys.readouterr().err
