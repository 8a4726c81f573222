"""Sources other than the official files, and the same faces from all of them."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT
from face_sets import encoded, entry, official_set, picture, run, splits_in_words

from pipeline.core.attributes import ATTRIBUTES, CELEBA, UNKNOWN, AttributeSet
from pipeline.core.faces.sources import celeba
from pipeline.core.files import sha256

FILE_SPLITS = ("train", "valid", "test")


def parquet_repository(folder, names, splits, labels, people, images, paths=True, rows=100):
    """Write a repository in the form of flwrlabs/celeba: two files a split, groups of rows."""
    folder.mkdir(parents=True)
    for split, word in enumerate(FILE_SPLITS):
        for part, chosen in enumerate(np.array_split(np.flatnonzero(splits == split), 2)):
            table = pa.table(
                {
                    "image": pa.array(
                        [{"bytes": images[i], "path": names[i] if paths else None} for i in chosen],
                        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
                    ),
                    "celeb_id": pa.array(people[chosen], pa.int64()),
                    **{name: labels[chosen, a] for a, name in enumerate(ATTRIBUTES)},
                }
            )
            pq.write_table(table, folder / f"{word}-{part:05d}-of-00002.parquet", rows)


@pytest.fixture
def repository(tmp_path):
    made = official_set(tmp_path / "official")
    made.root = tmp_path / "repository/data"
    made.entry = entry(source="huggingface", root=made.root)
    people = np.arange(30) // 3 + 1
    arguments = (made.names, made.splits, made.labels, people, list(made.images.values()))

    def write(**options):
        parquet_repository(made.root, *arguments, **{"rows": 3, **options})

    made.write = write
    return made


@pytest.mark.slow
def test_zip_folder_and_hugging_face_give_equal_bytes_for_the_real_faces(real_faces, tmp_path):
    root = real_faces / "celeba-real"
    label_files = (celeba.LABELS, celeba.PARTITION, celeba.IDENTITY)
    labels = celeba.read_labels(*(root / name for name in label_files), CELEBA)
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    for name in label_files:
        (unpacked / name).symlink_to(root / name)
    with zipfile.ZipFile(root / celeba.IMAGES) as archive:
        archive.extractall(unpacked)
    images = [(unpacked / celeba.ALIGNED / name).read_bytes() for name in labels.names]
    parquet_repository(
        tmp_path / "hub", labels.names, labels.splits, labels.attributes, labels.identities, images
    )
    whole = {"size": [218, 178]}
    from_zip = run(tmp_path / "a", entry(source="celeba", root=root, **whole))
    from_folder = run(tmp_path / "b", entry(source="celeba", root=unpacked, **whole))
    from_hub = run(tmp_path / "c", entry(source="huggingface", root=tmp_path / "hub", **whole))
    assert from_zip.summary["faces"] == 4170
    assert [from_zip.summary[split] for split in FILE_SPLITS] == [3180, 540, 450]
    assert from_zip.rejected == {}
    for other in (from_folder, from_hub):
        assert other.manifest.equals(from_zip.manifest)
        assert (other.faces.attributes == from_zip.faces.attributes).all()
        assert other.bytes == from_zip.bytes  # of all files, the sha256 of faces/ among them


def test_rows_without_a_path_are_named_by_split_and_row(repository, tmp_path):
    repository.write(paths=False)
    got = run(tmp_path / "out", repository.entry)
    assert got.faces.names[9:12] == ["train-000009", "valid-000000", "valid-000001"]
    assert [got.faces.encoded(row) for row in range(30)] == list(repository.images.values())
    assert (got.faces.attributes == repository.labels).all()


def test_a_subset_of_hugging_face_has_the_images_of_its_rows(repository, tmp_path):
    repository.write()
    chosen = [1, 2, 8, 14, 15, 29]
    names = [repository.names[i] for i in chosen]
    got = run(tmp_path / "out", {**repository.entry, "names": names})
    images = [repository.images[name] for name in names]
    assert [got.faces.encoded(row) for row in range(6)] == images


def test_splits_named_by_folders_are_understood_too(repository, tmp_path):
    repository.write()
    for path in list(repository.root.glob("*.parquet")):
        word = {"train": "train", "valid": "validation", "test": "test"}[path.name.split("-")[0]]
        folder = repository.root / "converted" / word
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / f"000{path.name.split('-')[1][-1]}.parquet")
    got = run(tmp_path / "out", repository.entry)
    assert got.faces.names == repository.names
    assert got.faces.splits.tolist() == splits_in_words(repository.splits)


def rewritten(change):
    def damage(root):
        path = next(root.glob("valid-00000*"))
        table = change(pq.read_table(path))
        pq.write_table(table, path)

    return damage


MALE = ATTRIBUTES.index("Male")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (rewritten(lambda t: t.drop_columns(["Male"])), "has no column Male (1 missing in all)"),
        (rewritten(lambda t: t.drop_columns(["image"])), "has no column image (with bytes"),
        (
            rewritten(lambda t: t.set_column(2 + MALE, "Male", pa.array(range(len(t))))),
            "row 2: the column Male has 2; expected a boolean, or 1 and 0",
        ),
        (lambda root: next(root.glob("valid*")).write_bytes(b"<html>"), "is not a Parquet file or"),
        (lambda root: [p.unlink() for p in root.iterdir()], "has no Parquet file named by its"),
        (lambda root: [p.unlink() for p in root.iterdir()] and root.rmdir(), "is not there"),
    ],
    ids=["no_label", "no_image", "numbers", "html", "empty", "missing"],
)
def test_a_repository_in_another_form_ends_in_one_sentence(repository, tmp_path, damage, message):
    repository.write()
    damage(repository.root)
    with pytest.raises(SystemExit) as ended:
        run(tmp_path / "out", repository.entry)
    assert message in str(ended.value.code)
    assert "\n" not in str(ended.value.code)


def with_column(name, values):
    """A repository of which one file has other values in a column."""

    def change(table):
        made = values(len(table)) if callable(values) else values
        return table.set_column(table.column_names.index(name), name, made)

    return rewritten(change)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (lambda n: pa.array([str(i + 1) for i in range(n)]), 1),
        (lambda n: pa.array([str(i + 1) for i in range(n)], pa.large_string()), 1),
        (lambda n: pa.array([i + 1.0 for i in range(n)], pa.float64()), 1),
        (lambda n: pa.array([i + 1.0 for i in range(n)], pa.float32()), 1),
        (lambda n: pa.array(range(1, n + 1), pa.uint64()), 1),
        (lambda n: pa.array([float("nan")] * n, pa.float64()), -1),
        (lambda n: pa.array([None] * n, pa.int64()), -1),
        (lambda n: pa.array([""] * n), -1),
    ],
)
def test_people_may_be_whole_numbers_of_any_type_or_unknown(repository, tmp_path, values, expected):
    repository.write()
    with_column("celeb_id", values)(repository.root)
    assert run(tmp_path / "out", repository.entry).faces.identities[10] == expected


@pytest.mark.parametrize(
    "values",
    [
        lambda n: pa.array(["Ann"] * n),
        lambda n: pa.array([2.9] * n),
        lambda n: pa.array([float("inf")] * n),
        lambda n: pa.array([2**64 - 1] * n, pa.uint64()),
        lambda n: pa.array([[1]] * n),
        lambda n: pa.array([True] * n),
    ],
    ids=["words", "fractions", "infinite", "too large", "lists", "booleans"],
)
def test_people_that_are_no_whole_numbers_end_in_one_sentence(repository, tmp_path, values):
    repository.write()
    with_column("celeb_id", values)(repository.root)
    with pytest.raises(SystemExit, match=r"valid-00000-of-00002\.parquet: the column celeb_id"):
        run(tmp_path / "out", repository.entry)


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint8(), pa.float32()])
@pytest.mark.parametrize("negative", [0, -1])
def test_labels_may_be_numbers_throughout(repository, tmp_path, kind, negative):
    if negative == -1 and kind == pa.uint8():
        kind = pa.int16()
    repository.write()
    for path in repository.root.iterdir():
        table = pq.read_table(path)
        for name in ATTRIBUTES:
            numbers = np.where(table[name].to_numpy(), 1, negative)
            at = table.column_names.index(name)
            table = table.set_column(at, name, pa.array(numbers).cast(kind))
        pq.write_table(table, path)
    got = run(tmp_path / "out", repository.entry)
    assert (got.faces.attributes == repository.labels).all()


def test_images_may_be_a_plain_column_of_bytes(repository, tmp_path):
    repository.write(paths=False)
    for path in repository.root.iterdir():
        table = pq.read_table(path)
        encoded_images = table["image"].combine_chunks().field("bytes")
        pq.write_table(table.set_column(0, "image", encoded_images), path)
    got = run(tmp_path / "out", repository.entry)
    assert [got.faces.encoded(row) for row in range(30)] == list(repository.images.values())


def shards(root, words):
    for word, name in words.items():
        for path in sorted(root.glob(word)):
            path.rename(path.with_name(name)) if name else path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda root: shards(root, {"train-00001*": None}),
            "has no train-00001-of-00002.parquet (1 of 2 files of this split are missing in all)",
        ),
        (
            lambda root: shards(root, {"valid-00000*": "dev-00000-of-00001.parquet"}),
            "dev-00000-of-00001.parquet is named by no split",
        ),
        (
            lambda root: shards(root, {"valid-00000*": "celeba_valid-00000.parquet"}),
            "celeba_valid-00000.parquet is named by no split",
        ),
        (lambda root: shutil.copytree(root, root / "copy"), "are two sets of files of one split"),
        (
            lambda root: (root / "train.parquet").write_bytes(
                next(root.glob("train*")).read_bytes()
            ),
            "are two sets of files of one split",
        ),
    ],
    ids=["missing shard", "dev", "prefix", "copy", "converted"],
)
def test_files_that_are_missing_unknown_or_there_twice_end_in_one_sentence(
    repository, tmp_path, damage, message
):
    repository.write(paths=False)
    damage(repository.root)
    with pytest.raises(SystemExit) as ended:
        run(tmp_path / "out", repository.entry)
    assert message in str(ended.value.code)


def test_shards_in_several_folders_are_one_set(repository, tmp_path):
    repository.write()
    (repository.root / "piece").mkdir()
    for path in list(repository.root.glob("*-00001-of*")):
        path.rename(repository.root / "piece" / path.name)
    assert sorted(run(tmp_path / "out", repository.entry).faces.names) == repository.names


def test_paths_without_images_end_in_one_sentence(repository, tmp_path):
    repository.write()
    path = next(repository.root.glob("valid-00000*"))
    table = pq.read_table(path)
    paths = [{"path": name} for name in table["image"].combine_chunks().field("path").to_pylist()]
    pq.write_table(table.set_column(0, "image", pa.array(paths)), path)
    with pytest.raises(SystemExit, match="has no bytes in its column image, only path"):
        run(tmp_path / "out", repository.entry)


def test_no_damage_to_a_parquet_file_ends_in_a_traceback(repository, tmp_path):
    """Of 40 places the rows come as they are, or the file is named."""
    repository.write()
    path = next(repository.root.glob("valid-00000*"))
    content, outcomes = path.read_bytes(), set()
    for at in np.linspace(0, len(content) - 40, 40).astype(int):
        path.write_bytes(
            content[:at] + bytes(b ^ 255 for b in content[at : at + 40]) + content[at + 40 :]
        )
        try:
            outcomes.add(len(run(tmp_path / "out", {**repository.entry, "max_rejected": 1}).faces))
        except SystemExit as ended:
            outcomes.add("named" if "parquet" in str(ended.code) else str(ended.code))
    assert "named" in outcomes
    assert not {outcome for outcome in outcomes if isinstance(outcome, str)} - {"named"}


class Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as listing and fetching a data set needs."""

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub = self.server
        hub.requests.append(self.path)
        path = self.path.split("?")[0]
        if hub.gone or self.headers.get("Authorization") != hub.authorization:
            self.answer(b'{"error": "Repository not found"}', 404)
        elif path.startswith("/api/datasets/some/faces/revision/"):
            info = {"id": "some/faces", "sha": "c" * 40, "siblings": hub.files}
            self.answer(json.dumps(info).encode())
        elif name := re.fullmatch(rf"/datasets/some/faces/resolve/{'c' * 40}/(.*)", path):
            self.send_file((hub.folder / name[1]).read_bytes())
        else:
            self.answer(b'{"error": "Repository not found"}', 404)

    def send_file(self, content):
        """The content, cut off in the middle where the hub is set to do so once."""
        hub, headers = self.server, {"X-Repo-Commit": "c" * 40}
        headers["ETag"] = f'"{hashlib.sha256(content).hexdigest()}"'
        if self.command == "GET" and hub.cut_off:
            hub.cut_off, self.close_connection = False, True
            return self.answer(content[: len(content) // 2], 200, len(content), **headers)
        return self.answer(content, **headers)

    def answer(self, body, status=200, length=None, **headers):
        self.send_response(status)
        headers = {"Content-Type": "application/json", **headers}
        for name, value in {**headers, "Content-Length": str(length or len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def hub(repository):
    repository.write()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    server.folder, server.requests, server.gone = repository.root, [], False
    server.authorization, server.cut_off = None, False
    server.files = [
        {
            "rfilename": path.name,
            "size": path.stat().st_size,
            "blobId": "0" * 40,
            "lfs": {"sha256": sha256(path), "size": path.stat().st_size, "pointerSize": 130},
        }
        for path in repository.root.iterdir()
    ]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def acquire_from(hub, out, token=None, **changed):
    """In a process of its own: the hub's address is read when its library is imported."""
    settings = entry(source="huggingface", repository="some/faces", revision="v1", **changed)
    names = {"out": "faces", "manifest": "manifest.csv", "rejected": "rejected.csv"}
    names |= {"terms": "TERMS.txt", "summary": "faces.json", "downloads": "downloads"}
    flags = [word for flag, name in names.items() for word in (f"--{flag}", str(out / name))]
    proxies = [name for name in os.environ if name.lower().endswith("_proxy")]
    environment = {k: v for k, v in os.environ.items() if k not in proxies}
    command = [sys.executable, "-m", "pipeline.acquire", "--settings", json.dumps(settings)]
    return subprocess.run(
        [*command, *flags],
        cwd=ROOT,
        env={
            **environment,
            **{"HF_ENDPOINT": hub.url, "HF_HOME": str(out / "home"), "HF_HUB_DISABLE_XET": "1"},
            **({"HF_TOKEN": token} if token else {}),
        },
        capture_output=True,
        text=True,
    )


def test_a_repository_of_the_hub_is_fetched_at_its_revision_verified_and_fetched_once(
    hub, repository, tmp_path
):
    out = tmp_path / "out"
    done = acquire_from(hub, out)
    assert done.returncode == 0, done.stderr
    assert "non-commercial research" in done.stderr
    manifest = pd.read_csv(out / "manifest.csv")
    assert manifest["image_name"].tolist() == repository.names
    hub.requests.clear()
    assert acquire_from(hub, out).returncode == 0
    assert hub.requests == []


def test_a_wrong_hash_on_the_hub_and_a_missing_repository_end_in_one_sentence(hub, tmp_path):
    hub.files[0]["lfs"]["sha256"] = "0" * 64
    done = acquire_from(hub, tmp_path / "out")
    assert done.returncode == 1
    assert f"{hub.files[0]['rfilename']} could not be fetched" in done.stderr
    assert not list((tmp_path / "out/downloads").rglob(hub.files[0]["rfilename"]))
    hub.gone = True
    done = acquire_from(hub, tmp_path / "other")
    assert "some/faces at the revision v1 cannot be downloaded" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gated_repository_is_downloaded_with_the_token_that_is_set(hub, tmp_path):
    hub.authorization = "Bearer hf_some"
    done = acquire_from(hub, tmp_path / "out")
    assert "for a gated one the token in HF_TOKEN" in done.stderr
    assert acquire_from(hub, tmp_path / "out", token="hf_some").returncode == 0


def test_a_download_from_the_hub_that_was_cut_off_is_completed(hub, tmp_path):
    hub.cut_off = True
    done = acquire_from(hub, tmp_path / "out")
    done = done if done.returncode == 0 else acquire_from(hub, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert not hub.cut_off
    assert len(pd.read_csv(tmp_path / "out/manifest.csv")) == 30


def test_a_hub_that_is_gone_before_all_is_fetched_is_named(hub, tmp_path):
    assert acquire_from(hub, tmp_path / "out").returncode == 0
    next((tmp_path / "out/downloads").rglob("train-00001*.parquet")).unlink()
    hub.gone = True
    done = acquire_from(hub, tmp_path / "out")
    assert done.returncode == 1
    assert "repository some/faces at the revision" in done.stderr
    assert "cannot be downloaded" in done.stderr


def test_a_list_in_celebas_form_may_have_other_attributes(tmp_path):
    official = official_set(tmp_path / "set")
    listed = tmp_path / "set/list_attr_celeba.txt"
    listed.write_text(listed.read_text().replace("Smiling", "Grinning"))
    with pytest.raises(SystemExit, match="line 2: expected CelebA's 40"):
        run(tmp_path / "out", entry(source="celeba", root=tmp_path / "set"))
    settings = entry(source="celeba", root=tmp_path / "set", attributes={"Laughing": "all"})
    with pytest.raises(SystemExit, match=r"line 2: expected the attributes .* Laughing"):
        run(tmp_path / "out", settings)
    settings["attributes"] = {"Grinning": ["mouth"], "Male": "all"}
    got = run(tmp_path / "out", settings)
    columns = [ATTRIBUTES.index("Smiling"), ATTRIBUTES.index("Male")]
    assert np.array_equal(got.faces.attributes, official.labels[:, columns])


def test_parquet_may_have_other_attributes(repository, tmp_path):
    repository.write()
    settings = entry(source="huggingface", root=repository.root, attributes={"Male": "all"})
    got = run(tmp_path / "out", settings)
    assert np.array_equal(got.faces.attributes[:, 0], repository.labels[:, MALE])


# A user's own folder.


@pytest.fixture
def own(tmp_path):
    """``labels.csv`` and images in folders by person, as LFWA has them; all columns in use."""
    root = tmp_path / "own"
    names = [f"Person_{i // 2}/Person_{i // 2}_{i % 2:04d}.jpg" for i in range(8)]
    labels = np.random.default_rng(1).random((8, 40)) < 0.4
    table = pd.DataFrame(np.where(labels, 1, -1), columns=list(ATTRIBUTES))
    table.insert(0, "image_name", names)
    for i, name in enumerate(names):
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "images" / name).write_bytes(encoded(picture(i)))
    return SimpleNamespace(root=root, names=names, labels=labels, table=table)


def take(own, tmp_path, table=None):
    (own.table if table is None else table).to_csv(own.root / "labels.csv", index=False)
    return run(tmp_path / "out", entry(source="folder", root=own.root))


class TestFolder:
    def test_without_split_and_identity_all_is_test_and_unknown(self, own, tmp_path):
        got = take(own, tmp_path)
        assert got.faces.names == own.names
        assert set(got.faces.splits) == {"test"}
        assert set(got.faces.identities) == {-1}
        assert (got.faces.attributes == own.labels).all()
        assert "their terms are those of whoever made them" in got.terms

    def test_labels_may_be_0_and_1_and_columns_in_any_order(self, own, tmp_path):
        table = own.table.replace(-1, 0)[[*reversed(ATTRIBUTES), "image_name"]]
        assert (take(own, tmp_path, table).faces.attributes == own.labels).all()

    def test_split_and_identity_are_taken(self, own, tmp_path):
        table = own.table.assign(split=["test", "train"] * 4, identity=range(8))
        got = take(own, tmp_path, table)
        assert got.faces.splits.tolist() == ["train"] * 4 + ["test"] * 4
        assert got.faces.identities.tolist() == [1, 3, 5, 7, 0, 2, 4, 6]

    def test_a_name_that_leads_out_of_the_folder_is_not_followed(self, own, tmp_path):
        (own.root / "secret.jpg").write_bytes(encoded(picture(0)))
        names = ["../secret.jpg", *own.names[1:]]
        own.table.assign(image_name=names).to_csv(own.root / "labels.csv", index=False)
        got = run(tmp_path / "out", entry(source="folder", root=own.root, max_rejected=0.5))
        assert got.rejected == {
            own.names[0]: "has no label",
            "../secret.jpg": "has a label and no image",
        }

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda t: t.drop(columns="Male"), "has no column Male (1 missing in all)"),
            (lambda t: t.rename(columns={"image_name": "image_id"}), "no column image_name"),
            (lambda t: t.assign(Age=3), "has a column Age that is not known"),
            (lambda t: t.assign(Male=[0, 1] * 4), "line 2, Male: '0' is not a label"),
            (lambda t: t.assign(Male=["yes"] * 8), "Male: 'yes' is not a label"),
            (lambda t: t.assign(split="dev"), "has the split 'dev'"),
            (lambda t: t.assign(identity="Ann"), "line 2, identity: expected a whole number"),
            (lambda t: t.assign(image_name=t["image_name"].iloc[0]), "has two rows for Person_0/"),
            (lambda t: t.assign(x_1=1), "has x_1 and no column y_1; expected all or none"),
        ],
    )
    def test_a_wrong_table_ends_in_one_sentence(self, own, tmp_path, change, message):
        with pytest.raises(SystemExit) as ended:
            take(own, tmp_path, change(own.table))
        assert message in str(ended.value.code)
        assert "labels.csv" in str(ended.value.code)

    def test_a_row_that_was_cut_off_is_no_unknown_label(self, own, tmp_path):
        own.table.to_csv(own.root / "labels.csv", index=False)
        text = (own.root / "labels.csv").read_text()
        (own.root / "labels.csv").write_text(text[: text.rindex(",")] + "\n")
        with pytest.raises(
            SystemExit, match=r"labels.csv, line 9: 40 fields, where line 1 has 41; complete"
        ):
            run(tmp_path / "out", entry(source="folder", root=own.root))

    def test_a_table_without_rows_ends_in_one_sentence(self, own, tmp_path):
        with pytest.raises(SystemExit, match=r"the list of labels of the images in .* is empty"):
            take(own, tmp_path, own.table.head(0))

    def test_own_attributes_are_those_of_the_entry_in_alphabetical_order(self, own, tmp_path):
        table = own.table[["image_name", "Male", "Smiling"]]
        table = table.rename(columns={"Male": "Over_40", "Smiling": "Face_Mask"})
        table.to_csv(own.root / "labels.csv", index=False)
        regions = {"Over_40": "none", "Face_Mask": ["nose", "mouth"]}
        got = run(tmp_path / "out", entry(source="folder", root=own.root, attributes=regions))
        expected = {"Face_Mask": ["nose", "mouth"], "Over_40": []}
        assert got.faces.attribute_set == AttributeSet.of(expected)
        labels = own.labels[:, [ATTRIBUTES.index("Smiling"), ATTRIBUTES.index("Male")]]
        assert np.array_equal(got.faces.attributes, labels)

    def test_an_empty_cell_is_an_unknown_label_and_is_counted(self, own, tmp_path):
        table = own.table.astype({"Male": object})
        table.loc[[1, 4], "Male"] = ""
        got = take(own, tmp_path, table)
        expected = own.labels.astype(np.int8)
        expected[[1, 4], ATTRIBUTES.index("Male")] = UNKNOWN
        assert np.array_equal(got.faces.attributes, expected)
        assert got.summary["unknown_labels"]["Male"] == 2
        assert sum(got.summary["unknown_labels"].values()) == 2
        assert "unknown_labels" not in take(own, tmp_path).summary

    def test_corrections_are_laid_over_the_labels_and_counted(self, own, tmp_path):
        male = ATTRIBUTES.index("Male")
        expected = own.labels.astype(np.int8)
        expected[0, male], expected[3, male] = UNKNOWN, 1 - expected[3, male]
        rows = [(0, ""), (3, expected[3, male]), (5, expected[5, male])]
        lines = [f"{own.names[row]},Male,{value},seen twice" for row, value in rows]
        file = tmp_path / "corrections.csv"
        file.write_text("\n".join(["image_name,attribute,value,note", *lines]))
        own.table.to_csv(own.root / "labels.csv", index=False)
        labels = {"corrections": str(file)}
        got = run(tmp_path / "out", entry(source="folder", root=own.root, labels=labels))
        assert np.array_equal(got.faces.attributes, expected)
        about = got.summary["corrections"]
        assert about == {"sha256": sha256(file), "changed_labels": {"Male": 2}}
        assert "corrections" not in take(own, tmp_path).summary

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("image_name,attribute\n", "has no column value; expected image_name, attribute"),
            ("image_name,attribute,value\nnobody.jpg,Male,1\n", "line 2: 'nobody.jpg' is no image"),
            ("image_name,attribute,value\n{0},Mael,1\n", "line 2: 'Mael' is none of the"),
            ("image_name,attribute,value\n{0},Male,yes\n", "line 2: 'yes' is not a label"),
            ("image_name,attribute,value\n{0},Male,1\n{0},Male,0\n", "line 3: Male of"),
            ("image_name,attribute,value\n{0},Male,1,\n", "line 2: 4 fields, where line 1 has 3"),
            ("image_name;attribute;value\n{0};Mael;1\n", "line 2: 'Mael' is none of the"),
            (None, "cannot be read"),
        ],
    )
    def test_corrections_that_fit_nothing_end_in_one_sentence(self, own, tmp_path, text, message):
        file = tmp_path / "corrections.csv"
        if text is not None:
            file.write_text(text.format(own.names[0]))
        own.table.to_csv(own.root / "labels.csv", index=False)
        labels = {"corrections": str(file)}
        with pytest.raises(SystemExit) as ended:
            run(tmp_path / "out", entry(source="folder", root=own.root, labels=labels))
        assert message in str(ended.value.code)
        assert "\n" not in str(ended.value.code)

    @pytest.mark.parametrize("names", [["Over_40", "Face_Mask"], ["Smiling", "Male"]])
    def test_other_attributes_than_celebas_need_an_entry_which_the_error_shows(
        self, own, tmp_path, names
    ):
        table = own.table[["image_name", "Male", "Smiling"]]
        table.columns = ["image_name", *names]
        with pytest.raises(SystemExit) as ended:
            take(own, tmp_path, table)
        written = f"attributes: {{{names[0]}: all, {names[1]}: all}}"
        assert written in str(ended.value.code)
        assert "\n" not in str(ended.value.code)
        attributes = yaml.safe_load(written)["attributes"]
        settings = entry(source="folder", root=own.root, attributes=attributes)
        assert run(tmp_path / "out", settings).faces.attribute_set.names == tuple(sorted(names))

    @pytest.mark.parametrize("lines", [[2], [3], [2, 5], [2, 3, 4, 5, 6, 7, 8, 9]])
    def test_a_row_with_more_fields_than_columns_ends_in_a_sentence_that_names_its_line(
        self, own, tmp_path, lines
    ):
        text = own.table.to_csv(index=False).splitlines()
        for line in lines:
            text[line - 1] += ","
        (own.root / "labels.csv").write_text("\n".join(text))
        with pytest.raises(SystemExit) as ended:
            run(tmp_path / "out", entry(source="folder", root=own.root))
        assert f"line {lines[0]}" in str(ended.value.code)
        assert "fields" in str(ended.value.code)
        assert "\n" not in str(ended.value.code)
