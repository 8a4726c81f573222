"""Inputs of a stranger: archives, images and lists that were made to do harm, or are noise."""

import resource
import zipfile
import zlib
from pathlib import Path

import face_sets
import numpy as np
import pytest
from conftest import schema
from faults.counts import count, times
from mutations import mutations

from pipeline.core.configuration import complete
from pipeline.core.errors import UserError
from pipeline.core.faces.decoding import ImageError, decode
from pipeline.core.faces.sources.trees import ZipTree

EVIL = ["../evil.jpg", "/evil.jpg", "a/../../evil.jpg", "..\\evil.jpg", "C:\\evil.jpg"]


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_an_archive_writes_nothing_outside_and_reads_nothing_outside(tmp_path):
    source = tmp_path / "in/source"
    faces = face_sets.official_set(source, count=12)
    link = zipfile.ZipInfo("img_align_celeba/link.jpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(source / "img_align_celeba.zip", "a") as archive:
        for name in EVIL:
            archive.writestr(zipfile.ZipInfo(name), faces.images["000001.jpg"])
        archive.writestr(link, "/etc/hostname")
    result = face_sets.run(
        tmp_path / "out", face_sets.entry(source="celeba", root=source, max_rejected=0.5)
    )
    assert len(result.faces) == 12
    reasons = list(result.rejected.values())
    assert reasons.count("its name leads out of the archive") == len(EVIL)
    assert reasons.count("is a link out of the archive") == 1
    assert not list(tmp_path.rglob("evil*"))
    count("hostile", "names and links of archives", len(EVIL) + 1, len(EVIL) + 1)


def png_bomb(width: int, height: int, rows: int) -> bytes:
    """A PNG whose data unpack to ``rows`` rows of zeros, whatever its header says."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + check

    packer, data = zlib.compressobj(1), []
    for _ in range(rows):
        data.append(packer.compress(bytes(1 + 3 * width)))
    data.append(packer.flush())
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, content)
        for kind, content in ((b"IHDR", header), (b"IDAT", b"".join(data)), (b"IEND", b""))
    )


@pytest.mark.parametrize("bomb", ["zip entry", "size of the header", "rows of the data"])
def test_a_bomb_is_refused_without_filling_the_memory(bomb, tmp_path):
    before = peak_megabytes()
    if bomb == "zip entry":
        with (
            zipfile.ZipFile(
                tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1
            ) as archive,
            archive.open("bomb.jpg", "w") as entry,
        ):
            for _ in range(300):
                entry.write(bytes(2**20))
        assert "more than an image has" in ZipTree(tmp_path / "bomb.zip").read("bomb.jpg")
    else:
        of_header = bomb == "size of the header"
        encoded = png_bomb(*((60_000, 60_000, 1) if of_header else (1000, 10, 50_000)))
        with pytest.raises(ImageError):
            decode(encoded)
    assert peak_megabytes() - before < 100
    count("hostile", "bombs", 1, 1)


def test_a_configuration_that_refers_to_itself_many_times_over_is_refused():
    """Nine lists of nine references each are 400 million entries in a kilobyte of YAML."""
    levels: list[object] = ["x"]
    for _ in range(9):
        levels = [levels] * 9
    config = {"dataset": "d", "datasets": {"d": {"source": "synthetic"}}, "models": {"m": levels}}
    with pytest.raises(UserError, match="entries"):
        complete(config, schema())
    count("hostile", "YAML bombs", 1, 1)


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """Text with some of its bytes changed, its lines and fields lost, repeated or exchanged."""
    for _ in range(int(random.integers(1, 5))):
        kind, at = int(random.integers(6)), int(random.integers(len(content) + 1))
        lines = content.splitlines(keepends=True) or [b""]
        line = int(random.integers(len(lines)))
        if kind == 0:
            content = content[:at] + random.bytes(int(random.integers(1, 9))) + content[at + 1 :]
        elif kind == 1:
            content = content[:at]
        elif kind == 2:
            content = b"".join(lines[:line] + lines[line + 1 :])
        elif kind == 3:
            content = b"".join([*lines[:line], lines[line], *lines[line:]])
        else:
            odd = [b"nan", b"inf", b"-1e999", b"2", b"=1+1", b"$(touch evil)", b'"', b"\0", b"\xff"]
            words = lines[line].split()
            words[int(random.integers(len(words) or 1)) : 1] = [odd[int(random.integers(len(odd)))]]
            lines[line] = b" ".join(words) + b"\n"
            content = b"".join(lines)
    return content


DOORS = {  # the list, and the data set that reads it
    "labels": ("list_attr_celeba.txt", {}),
    "splits": ("list_eval_partition.txt", {}),
    "identities": ("identity_CelebA.txt", {}),
    "landmarks": ("list_landmarks_celeba.txt", {"aligned": False}),
    "boxes": ("list_bbox_celeba.txt", {"aligned": False}),
    "labels.csv": ("labels.csv", {"source": "folder"}),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_list_of_noise_is_read_or_refused_in_one_sentence(door, tmp_path, capsys, monkeypatch):
    name, settings = DOORS[door]
    random, tried = np.random.default_rng(sum(map(ord, door))), times(15, 1000)
    list_file = set_with(tmp_path / "source", name)
    entry = face_sets.entry(**{"source": "celeba", "max_rejected": 1, **settings})
    entry["root"], original = str(tmp_path / "source"), list_file.read_bytes()
    monkeypatch.chdir(tmp_path)
    for _ in range(tried):
        list_file.write_bytes(mutated(original, random))
        try:
            face_sets.run(tmp_path / "out", entry)
        except SystemExit as end:
            sentence = str(end.code)
            assert sentence.startswith("attparse: "), sentence
            assert "\n" not in sentence, sentence
        capsys.readouterr()
    assert not (tmp_path / "evil").exists()
    count("hostile", f"noise in {door}", tried, tried)


def set_with(root: Path, name: str) -> Path:
    """A small data set that is read through the list ``name``; the list."""
    made = face_sets.official_set(root, count=6)
    numbers = {
        "list_landmarks_celeba.txt": (
            "lefteye_x lefteye_y",
            "69 111 108 111 88 136 72 152 105 152",
        ),
        "list_bbox_celeba.txt": ("image_id x_1 y_1 width height", "30 30 100 120"),
    }
    if name in numbers:
        (root / "img_align_celeba.zip").unlink()
        write_images(root / "img_celeba", made.names, size=(300, 260))
        head, row = numbers[name]
        rows = "".join(f"{image} {row}\n" for image in made.names)
        (root / name).write_text(f"6\n{head}\n{rows}")
    elif name == "labels.csv":
        write_folder(root, made.names)
    return root / name


def write_images(folder: Path, names: list[str], size: tuple[int, int] = face_sets.SMALL) -> None:
    folder.mkdir(parents=True)
    for i, name in enumerate(names):
        (folder / name).write_bytes(face_sets.encoded(face_sets.picture(i, size)))


def write_folder(root: Path, names: list[str]) -> None:
    """A user's own folder of these images."""
    write_images(root / "images", names)
    table = face_sets.pd.DataFrame({"image_name": names, "split": "test"})
    table[list(face_sets.ATTRIBUTES)] = 1
    table.iloc[0, 2:] = 0
    table.to_csv(root / "labels.csv", index=False)


def test_noise_in_images_is_an_image_error_or_an_image():
    tried = times(60, 5000)
    for mutation in mutations(tried, seed=19):
        try:
            assert decode(mutation.encoded).dtype == np.uint8
        except ImageError:
            continue
    count("hostile", "noise in images", tried, tried)


NAMES = ["$(touch evil).jpg", "a;touch evil;.jpg", "`touch evil`.jpg", '\'"".jpg', "a\nb.jpg"]


def test_a_name_is_a_name_and_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "in", NAMES)
    settings = face_sets.entry(source="folder", root=tmp_path / "in")
    try:
        assert set(face_sets.run(tmp_path / "out", settings).faces.names) == set(NAMES)
    except SystemExit as end:
        raise AssertionError(end.code) from None
    assert not list(tmp_path.rglob("evil"))
    count("hostile", "names that a shell would run", len(NAMES), len(NAMES))


FORMULAS = [
    '=HYPERLINK("https:%%example.org",A1).jpg', "=cmd|'%C calc'!A0.jpg", "+SUM(A1:A9).jpg",
    "-2+3+cmd|'a'!A0.jpg", "@SUM(1+1)*cmd|'a'!A0.jpg", "\t=WEBSERVICE(A1).jpg", " =A1(2).jpg",
]  # fmt: skip
NO_FORMULAS = ["-1.jpg", "@me.jpg", "=).jpg", "+49 30 1.jpg", "a=(1).jpg", "-dQw4w9-1.jpg"]


def test_no_name_that_a_spreadsheet_would_run_reaches_a_table(tmp_path):
    """Such an image is rejected; names that only begin like one are names."""
    names = [*FORMULAS, *NO_FORMULAS]
    write_folder(tmp_path / "in", names)
    settings = face_sets.entry(source="folder", root=tmp_path / "in", max_rejected=0.9)
    result = face_sets.run(tmp_path / "out", settings)
    assert set(result.faces.names) == set(NO_FORMULAS)
    assert set(result.rejected) == {f"'{name}" for name in FORMULAS}
    count("hostile", "formulas in tables", len(FORMULAS), len(FORMULAS))
