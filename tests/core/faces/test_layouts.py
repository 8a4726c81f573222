"""CelebA as people have it: other folders, names, packers and lists, and the same faces."""

import csv
import stat
import unicodedata
import zipfile
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from face_sets import encoded, entry, official_set, picture, run

from pipeline.core.attributes import ATTRIBUTES

ALIGNED = "img_align_celeba"
LISTS = ("list_attr_celeba.txt", "list_eval_partition.txt", "identity_CelebA.txt")


@pytest.fixture
def source(tmp_path):
    """A part of CelebA: its lists in root, its images beside, to be put where a test wants them."""
    made = official_set(tmp_path / "root", 12)
    made.root = tmp_path / "root"
    (made.root / "img_align_celeba.zip").unlink()
    made.entry = entry(source="celeba", root=made.root)
    return made


def write_zip(path, files, method=zipfile.ZIP_STORED):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo()
            info.filename, info.compress_type = name, method  # ZipInfo(name) would mend the name
            archive.writestr(info, content)


def write_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


WRITERS = {
    "zip": lambda root, files: write_zip(root / f"{ALIGNED}.zip", files),
    "folder": lambda root, files: write_folder(root / ALIGNED, files),
}


def stopped(out, settings):
    """The sentence with which acquisition ends."""
    with pytest.raises(SystemExit) as ended:
        run(out, settings)
    assert "\n" not in str(ended.value.code)
    assert str(ended.value.code).startswith("attparse: ")
    return str(ended.value.code)


def every(rename):
    return lambda images: {rename(name): content for name, content in images.items()}


def as_png(images):
    return {
        name.replace(".jpg", ".png"): encoded(picture(i), ".png") for i, name in enumerate(images)
    }


TREES = {
    "in the root": every(lambda name: name),
    "in a folder": every(lambda name: f"{ALIGNED}/{name}"),
    "Kaggle's doubled folder": every(lambda name: f"{ALIGNED}/{ALIGNED}/{name}"),
    "dot and slash": every(lambda name: f"./{ALIGNED}/{name}"),
    "two slashes": every(lambda name: f"{ALIGNED}//{name}"),
    "backslashes": every(lambda name: f"{ALIGNED}\\{name}"),
    "upper case": every(lambda name: f"{ALIGNED}/{name.upper()}"),
    "one of another case": lambda images: {
        f"a/{name.replace('3.jpg', '3.JPG')}": content for name, content in images.items()
    },
    "jpeg": every(lambda name: name.replace(".jpg", ".jpeg")),
    "png": as_png,
    "without zeros": every(lambda name: name.lstrip("0")),
    "two pieces": lambda images: {
        f"part{i % 2}/{name}": content for i, (name, content) in enumerate(images.items())
    },
    "files of systems": lambda images: {
        **every(lambda name: f"{ALIGNED}/{name}")(images),
        **dict.fromkeys([f"{ALIGNED}/Thumbs.db", "desktop.ini", "__MACOSX/a/._000001.jpg"], b"x"),
        f"{ALIGNED}/.DS_Store": b"x",
    },
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("tree", TREES)
def test_a_folder_and_a_zip_of_a_tree_have_the_same_images_by_the_labels_names(
    source, tmp_path, tree, writer
):
    files = TREES[tree](source.images)
    WRITERS[writer](source.root, files)
    got = run(tmp_path / "out", source.entry)
    assert got.rejected == {}
    assert got.faces.names == source.names
    expected = [content for content in files.values() if content != b"x"]
    assert sorted(got.faces.encoded(row) for row in range(12)) == sorted(expected)
    if tree != "png":
        images = source.images.values()
        assert [got.faces.encoded(row) for row in range(12)] == list(images)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_readme_beside_the_images_is_one_rejected_file_and_hides_none(source, tmp_path, writer):
    files = every(lambda name: f"{ALIGNED}/{name}")(source.images)
    WRITERS[writer](source.root, {**files, "README.txt": b"x"})
    got = run(tmp_path / "out", {**source.entry, "max_rejected": 0.1})
    assert got.rejected == {"README.txt": "has no label"}
    assert got.faces.names == source.names


def folder_set(root, names):
    """``labels.csv`` of one label a name, and images for ``WRITERS`` to write."""
    table = pd.DataFrame(np.ones((len(names), 40), int), columns=list(ATTRIBUTES))
    table.insert(0, "image_name", names)
    root.mkdir(exist_ok=True)
    table.to_csv(root / "labels.csv", index=False)
    return entry(source="folder", root=root)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("labels", "files"),
    [
        (["Ann/Ann_1.jpg", "Ann/Ann_2.jpg"], ["Ann/Ann_1.jpg", "Ann/Ann_2.jpg"]),
        (["Ann\\Ann_1.jpg", "Bob\\Bob_2.jpg"], ["Ann/Ann_1.jpg", "Bob/Bob_2.jpg"]),
        (["./Ann/1.jpg", "Bob//1.jpg"], ["Ann/1.jpg", "Bob/1.jpg"]),
        (["a.jpg", "sub/a.jpg"], ["a.jpg", "sub/a.jpg"]),
        (["Zoé.jpg", "Ann.jpg"], [unicodedata.normalize("NFD", "Zoé.jpg"), "Ann.jpg"]),
        ([unicodedata.normalize("NFD", "Zoé.jpg"), "Ann.jpg"], ["Zoé.jpg", "Ann.jpg"]),
    ],
    ids=["one person", "backslashes", "dots", "two depths", "NFD files", "NFD labels"],
)
def test_names_of_a_folder_of_ones_own_match_in_every_spelling(tmp_path, labels, files, packed):
    settings = folder_set(tmp_path / "own", labels)
    images = {name: encoded(picture(i)) for i, name in enumerate(files)}
    if packed:
        write_zip(tmp_path / "own/images.zip", images)
    else:
        write_folder(tmp_path / "own/images", images)
    got = run(tmp_path / "out", settings)
    assert got.rejected == {}
    assert [got.faces.encoded(row) for row in range(2)] == list(images.values())
    assert got.faces.names == [unicodedata.normalize("NFC", name) for name in files]


def test_an_exact_name_goes_before_similar_ones_and_two_similar_ones_are_rejected(tmp_path):
    settings = folder_set(tmp_path / "own", ["a.jpg", "b.jpg", "c.jpg"])
    names = ["a.jpg", "A.JPG", "b.png", "b.jpeg", "c.jpg"]
    write_folder(tmp_path / "own/images", {n: encoded(picture(i)) for i, n in enumerate(names)})
    got = run(tmp_path / "out", {**settings, "max_rejected": 0.9})
    assert got.faces.names == ["a.jpg", "c.jpg"]
    assert got.faces.encoded(0) == encoded(picture(0))
    assert got.rejected == {
        "A.JPG": "has no label",
        "b.jpg": "could be either of b.jpeg and b.png",
    }


def test_where_every_label_misses_its_image_one_sentence_shows_a_name_of_each(source, tmp_path):
    write_folder(source.root / ALIGNED, every(lambda name: f"face_{name}")(source.images))
    assert (
        "none of the 12 labels has an image in"
        f" {source.root / ALIGNED}: labels are named like '000001.jpg', files like"
        " 'face_000001.jpg'; put the images there" in stopped(tmp_path / "out", source.entry)
    )


@pytest.mark.parametrize("writer", WRITERS)
def test_two_copies_of_the_images_are_named(source, tmp_path, writer):
    copies = {f"{copy}/{name}": c for copy in "ab" for name, c in source.images.items()}
    WRITERS[writer](source.root, copies)
    sentence = stopped(tmp_path / "out", source.entry)
    assert "has images of the same names in a/ and b/; remove one of the two" in sentence


def test_links_in_a_folder_are_followed_once(source, tmp_path):
    write_folder(tmp_path / "store", source.images)
    (source.root / ALIGNED).mkdir()
    (source.root / ALIGNED / "linked").symlink_to(tmp_path / "store")
    (source.root / ALIGNED / "again").symlink_to(source.root / ALIGNED)
    (source.root / ALIGNED / "broken").symlink_to(tmp_path / "nowhere")
    got = run(tmp_path / "out", source.entry)
    assert got.rejected == {}
    assert got.faces.names == source.names


def link(name, target):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info, target


def test_links_in_a_zip_are_followed_within_it(source, tmp_path):
    images = dict(source.images)
    first = images.pop("000001.jpg")
    with zipfile.ZipFile(source.root / f"{ALIGNED}.zip", "w") as archive:
        for name, content in images.items():
            archive.writestr(f"store/{name}", content)
        archive.writestr("other/first.jpg", first)
        archive.writestr(*link("store/000001.jpg", "../other/first.jpg"))
        archive.writestr(*link("out", "../../etc"))
    got = run(tmp_path / "out", {**source.entry, "max_rejected": 0.3})
    assert got.faces.names == source.names
    assert got.faces.encoded(0) == first
    assert got.rejected["out"] == "is a link out of the archive"


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_entry_of_a_zip_is_rejected_however_it_is_packed(source, tmp_path, method):
    path = source.root / f"{ALIGNED}.zip"
    noise = {n: np.random.default_rng(i).bytes(2000) for i, n in enumerate(source.images)}
    write_zip(path, {**source.images, "999999.jpg": noise["000001.jpg"]}, method)
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("000004.jpg").header_offset + 60
        content = bytearray(path.read_bytes())
        content[at : at + 200] = bytes(200)
    path.write_bytes(content)
    got = run(tmp_path / "out", {**source.entry, "max_rejected": 0.2})
    assert got.rejected["000004.jpg"].startswith("cannot be read from the zip")
    assert len(got.faces) == 11


def test_a_part_of_a_zip_in_volumes_and_a_damaged_directory_end_in_one_sentence(source, tmp_path):
    path = source.root / f"{ALIGNED}.zip"
    write_zip(path, source.images)
    whole = path.read_bytes()
    directory = whole.index(b"PK\1\2")
    volume = whole[: directory + 34] + b"\2\0" + whole[directory + 36 :]  # it lies on disk 2
    damaged = whole[:directory] + b"\xff\xff" + whole[directory + 2 :]
    for content in (volume, damaged, whole[:directory], b"PK\3\4", b""):
        path.write_bytes(content)
        sentence = stopped(tmp_path / "out", source.entry)
        assert f"{path} cannot be opened as a zip" in sentence


def test_an_encrypted_or_unknown_packing_is_rejected_by_name(source, tmp_path):
    path = source.root / f"{ALIGNED}.zip"
    write_zip(path, source.images)
    content = bytearray(path.read_bytes())
    entry_of_last = content.rindex(b"PK\1\2")
    content[entry_of_last + 10] = 9  # Deflate64, as Windows packs large files
    path.write_bytes(content)
    got = run(tmp_path / "out", {**source.entry, "max_rejected": 0.2})
    assert list(got.rejected) == ["000012.jpg"]


# Where the files lie.


def kaggle(source, separator=",", encoding="utf-8"):
    """Kaggle's CSVs in place of the lists, and its doubled folder."""
    columns = {
        "list_attr_celeba": ["image_id", *ATTRIBUTES],
        "list_eval_partition": ["image_id", "partition"],
    }
    for name, header in columns.items():
        lines = (source.root / f"{name}.txt").read_text().splitlines()
        rows = [line.split() for line in lines[2 if name == "list_attr_celeba" else 0 :]]
        with (source.root / f"{name}.csv").open("w", newline="", encoding=encoding) as stream:
            csv.writer(stream, delimiter=separator).writerows([header, *rows])
        (source.root / f"{name}.txt").unlink()
    write_folder(source.root / ALIGNED / ALIGNED, source.images)


def drive(source):
    """``Anno/``, ``Eval/`` and ``Img/``, as the authors' Google Drive has them."""
    for folder, name in zip(("Anno", "Eval", "Anno"), LISTS, strict=True):
        (source.root / folder).mkdir(exist_ok=True)
        (source.root / name).rename(source.root / folder / name)
    write_zip(
        source.root / "Img/img_align_celeba.zip",
        every(lambda name: f"{ALIGNED}/{name}")(source.images),
    )


def torchvision(source):
    """``celeba/`` with everything, the zip beside the folder that was unpacked."""
    (source.root / "celeba").mkdir()
    for name in LISTS:
        (source.root / name).rename(source.root / "celeba" / name)
    write_folder(source.root / "celeba" / ALIGNED, source.images)
    write_zip(source.root / "celeba/img_align_celeba.zip", {"a": b"not read"})


def pieces(source):
    """A download from the Drive in pieces, each unpacked by itself."""
    drive(source)
    for i, folder in enumerate(("Anno", "Eval", "Img")):
        (source.root / f"CelebA-00{i}/CelebA").mkdir(parents=True)
        (source.root / folder).rename(source.root / f"CelebA-00{i}/CelebA/{folder}")


@pytest.mark.parametrize("layout", [kaggle, drive, torchvision, pieces])
def test_the_layouts_that_people_have_give_the_faces_of_the_official_one(source, tmp_path, layout):
    write_zip(source.root / f"{ALIGNED}.zip", source.images)
    official = run(tmp_path / "official", source.entry)
    (source.root / f"{ALIGNED}.zip").unlink()
    if layout is kaggle:  # Kaggle has no list of identities
        (source.root / "identity_CelebA.txt").rename(tmp_path / "identity_CelebA.txt")
    layout(source)
    if layout is kaggle:
        (tmp_path / "identity_CelebA.txt").rename(source.root / "identity_CelebA.txt")
    got = run(tmp_path / "out", source.entry)
    assert got.bytes == official.bytes
    assert f"found {source.root}" in (tmp_path / "out/acquire.log").read_text()


@pytest.mark.slow
def test_kaggles_and_the_drives_layout_of_the_real_faces_give_the_official_hash(
    real_faces, tmp_path
):
    root, made = real_faces / "celeba-real", SimpleNamespace(root=tmp_path / "root")
    with zipfile.ZipFile(root / "img_align_celeba.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        made.images = {name.split("/")[-1]: archive.read(name) for name in names}
    settings = {"source": "celeba", "size": [218, 178], "limit": 100}
    official = run(tmp_path / "official", entry(root=root, **settings)).summary
    for layout in (kaggle, drive):
        made.root = tmp_path / layout.__name__
        made.root.mkdir()
        for name in LISTS:
            (made.root / name).write_bytes((root / name).read_bytes())
        layout(made)
        assert run(tmp_path / "out", entry(root=made.root, **settings)).summary == official


def test_two_candidates_for_a_file_are_an_error_that_names_both(source, tmp_path):
    write_folder(source.root / ALIGNED, source.images)
    (source.root / "Anno").mkdir()
    (source.root / "Anno" / LISTS[0]).write_bytes((source.root / LISTS[0]).read_bytes())
    sentence = stopped(tmp_path / "out", source.entry)
    assert f"has both {source.root / 'Anno' / LISTS[0]} and {source.root / LISTS[0]}" in sentence


def test_an_archive_that_is_not_read_is_named_where_its_files_are_missing(source, tmp_path):
    (source.root / "Img").mkdir()
    (source.root / "Img/img_align_celeba_png.7z.001").write_bytes(b"7z")
    sentence = stopped(tmp_path / "out", source.entry)
    assert "has no img_align_celeba.zip" in sentence
    assert f"first unpack {source.root}/Img/img_align_celeba_png.7z.001" in sentence


def test_the_pngs_of_the_authors_are_taken_where_there_are_no_jpegs(source, tmp_path):
    images = as_png(source.images)
    write_folder(source.root / "Img/img_align_celeba_png", images)
    got = run(tmp_path / "out", source.entry)
    assert got.faces.names == source.names
    assert [got.faces.encoded(row) for row in range(12)] == list(images.values())


def test_root_may_begin_with_the_home_folder(source, tmp_path, monkeypatch):
    write_folder(source.root / ALIGNED, source.images)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(run(tmp_path / "out", {**source.entry, "root": "~/root"}).faces) == 12


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [" ", "\t"])
def test_lists_with_a_byte_order_mark_and_with_tabs_are_read(
    source, tmp_path, name, encoding, separator
):
    write_folder(source.root / ALIGNED, source.images)
    text = (source.root / name).read_text().replace(" ", separator)
    (source.root / name).write_text(text.replace("\n", "\r\n"), encoding=encoding, newline="")
    assert run(tmp_path / "out", source.entry).faces.names == source.names


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csvs_with_semicolons_and_tabs_are_read(source, tmp_path, separator, encoding):
    kaggle(source, separator, encoding)
    got = run(tmp_path / "out", source.entry)
    assert got.faces.names == source.names
    assert (got.faces.attributes == source.labels).all()
    settings = folder_set(tmp_path / "own", ["a.jpg", "b.jpg"])
    table = pd.read_csv(tmp_path / "own/labels.csv")
    table.to_csv(tmp_path / "own/labels.csv", index=False, sep=separator, encoding=encoding)
    write_folder(tmp_path / "own/images", {n: encoded(picture(1)) for n in ("a.jpg", "b.jpg")})
    assert len(run(tmp_path / "out2", settings).faces) == 2
