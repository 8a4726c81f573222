import multiprocessing
import pickle
import resource

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.damaged_masks import flipped_bytes
from pipeline.core.attributes import ATTRIBUTES, CELEBA, REGIONS
from pipeline.core.errors import UserError
from pipeline.core.masks import store as mask_store
from pipeline.core.masks.regions import attribute_masks, codes
from pipeline.core.masks.store import finish, open_masks, shard_names, write_shard
from pipeline.core.partition import part_rows

CODES = codes(CELEBA.table)
SIZE = (12, 9)


def drawn(count, seed=0):
    """Masks and regions of random faces; the second one has no landmarks."""
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2 ** len(REGIONS), (count, *SIZE), dtype=np.uint16)
    found = np.arange(count) != 1
    bits[~found] = 0
    labels = random.random((count, len(ATTRIBUTES))) < 0.3
    masks = np.stack([attribute_masks(b, k, CODES) for b, k in zip(bits, labels, strict=True)])
    return masks, bits, found, labels


def write(store, faces, shard):
    masks, bits, found, labels = faces
    for first in range(0, len(masks), shard):
        one = slice(first, first + shard)
        write_shard(store, first // shard, shard, zip(masks[one], bits[one], strict=True))
    names = [f"{i:06d}.jpg" for i in range(len(masks))]
    finish(store, names, found, labels, SIZE, shard)


def contents(store):
    return {
        p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()
    }


@settings(max_examples=15)
@given(count=st.integers(1, 12), shard=st.integers(1, 5))
def test_zarr_alone_reads_what_was_written(tmp_path_factory, count, shard):
    store = tmp_path_factory.mktemp("store") / "masks.zarr"
    faces = drawn(count)
    write(store, faces, shard)
    group = zarr.open_group(store, mode="r")
    for name, array in zip(("masks", "regions", "found", "labels"), faces, strict=True):
        assert np.array_equal(group[name][:], array), name
        assert group[name].dtype == array.dtype
    assert group["masks"].metadata.dimension_names == ("image", "attribute", "y", "x")
    assert list(group["names"][:]) == [f"{i:06d}.jpg" for i in range(count)]


def test_the_store_names_its_attributes_and_regions_and_the_table_between_them(tmp_path):
    write(tmp_path / "masks.zarr", drawn(3), 2)
    about = zarr.open_group(tmp_path / "masks.zarr", mode="r").attrs["attparse_masks"]
    assert about["attributes"] == list(ATTRIBUTES)
    assert about["regions"] == list(REGIONS)
    assert about["attribute_regions"] == {a: list(r) for a, r in CELEBA.to_json().items()}
    assert np.array_equal(open_masks(tmp_path / "masks.zarr").table, CELEBA.table)


def test_any_rows_are_read_in_the_order_asked_for(tmp_path):
    faces = masks, bits, found, labels = drawn(11)
    write(tmp_path / "masks.zarr", faces, 4)
    opened = open_masks(tmp_path / "masks.zarr")
    rows = np.array([10, 0, 1, 7, 7, 3])
    assert np.array_equal(opened.region_bits(rows), bits[rows])
    assert all(np.array_equal(opened.masks(row), masks[row]) for row in range(11))
    assert np.array_equal(opened.found, found)
    assert np.array_equal(opened.labels, labels)
    assert opened.size == SIZE
    with pytest.raises(IndexError, match="row 11 of a store of 11"):
        opened.region_bits([11])


def read_in_worker(opened, rows):
    return opened.region_bits(rows)


@pytest.mark.parametrize("method", ["forkserver", pytest.param("spawn", marks=pytest.mark.slow)])
def test_an_open_store_reads_the_same_in_several_workers_at_once(tmp_path, method):
    faces = drawn(11)
    write(tmp_path / "masks.zarr", faces, 4)
    opened = open_masks(tmp_path / "masks.zarr")
    opened.region_bits([0])  # one shard is already mapped before the workers start
    with multiprocessing.get_context(method).Pool(2) as pool:
        batches = pool.starmap(read_in_worker, [(opened, [10 - i, i]) for i in range(11)])
    assert all(np.array_equal(batch, faces[1][[10 - i, i]]) for i, batch in enumerate(batches))


def read_with_few_files(opened, rows):
    resource.setrlimit(resource.RLIMIT_NOFILE, (mask_store.MAX_OPEN + 100,) * 2)
    return opened.region_bits(rows)


@pytest.mark.slow
def test_a_store_of_more_shards_than_a_process_may_open_files_is_read(tmp_path):
    faces = drawn(mask_store.MAX_OPEN + 200)
    write(tmp_path / "masks.zarr", faces, 1)
    rows = np.random.default_rng(0).permutation(len(faces[1]))
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # the limit holds in there alone
        bits = pool.apply(read_with_few_files, (open_masks(tmp_path / "masks.zarr"), rows))
    assert np.array_equal(bits, faces[1][rows])


def test_a_pickled_store_is_only_its_path(tmp_path):
    write(tmp_path / "masks.zarr", drawn(11), 4)
    opened = open_masks(tmp_path / "masks.zarr")
    assert len(pickle.dumps(opened)) < 500
    assert pickle.loads(pickle.dumps(opened)).names == opened.names


def test_equal_faces_are_equal_bytes_in_any_place(tmp_path):
    for folder in "ab":
        write(tmp_path / folder / "masks.zarr", drawn(7), 3)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_store_does_not_open_before_it_is_finished(tmp_path, monkeypatch):
    store, faces = tmp_path / "masks.zarr", drawn(3)
    write_shard(store, 0, 3, zip(*faces[:2], strict=True))
    with pytest.raises(UserError, match="no whole store of masks"):
        open_masks(store)
    monkeypatch.setattr(mask_store, "_add_attribute", lambda *_: None)  # what comes last
    write(store, faces, 3)
    with pytest.raises(UserError, match="no whole store of masks"):
        open_masks(store)
    with pytest.raises(UserError, match="no whole store of masks"):
        open_masks(tmp_path / "nowhere.zarr")


@pytest.mark.parametrize("content", [b"", b'{"zarr_format": 3, "node'])
@pytest.mark.parametrize("name", ["zarr.json", "names/zarr.json"])
def test_a_store_whose_description_is_cut_off_is_told_in_one_sentence(tmp_path, name, content):
    store = tmp_path / "masks.zarr"
    write(store, drawn(3), 3)
    (store / name).write_bytes(content)
    with pytest.raises(UserError, match=r"no whole store|json is not as it was written"):
        open_masks(store)


def test_a_store_of_another_version_is_named_as_such(tmp_path):
    write(tmp_path / "masks.zarr", drawn(3), 2)
    group = zarr.open_group(tmp_path / "masks.zarr")
    group.attrs["attparse_masks"] = group.attrs["attparse_masks"] | {"version": 1}
    with pytest.raises(UserError, match="version 1, and this program reads version 2"):
        open_masks(tmp_path / "masks.zarr")


@given(rows=st.integers(0, 500), shard=st.integers(1, 40), parts=st.integers(1, 20))
def test_parts_hold_every_face_once_and_share_no_shard(rows, shard, parts):
    spans = [part_rows(f"{k}-of-{parts}", rows, shard) for k in range(1, parts + 1)]
    assert [row for span in spans for row in span] == list(range(rows))
    shards = [{row // shard for row in span} for span in spans]
    assert sum(map(len, shards)) == len(set().union(*shards))


def test_shards_of_both_arrays_lie_where_zarr_looks_for_them():
    assert shard_names(3) == ("masks/c/3/0/0/0", "regions/c/3/0/0")


SHARD_OF_REGIONS = "regions/c/1/0/0"
DAMAGES = {
    "is missing": lambda store, path: path.unlink(),
    "is empty": lambda store, path: path.write_bytes(b""),
    "is cut off": lambda store, path: path.write_bytes(path.read_bytes()[:50]),
    "fails its checksum": lambda store, path: path.write_bytes(path.read_bytes()[:-30]),
    "is not the shard that was written there": lambda store, path: path.write_bytes(
        (store / "regions/c/0/0/0").read_bytes()
    ),
}


@pytest.mark.parametrize("why", DAMAGES)
def test_a_shard_that_is_not_the_one_written_is_named_when_the_store_is_opened(tmp_path, why):
    store = tmp_path / "masks.zarr"
    write(store, drawn(11), 4)
    DAMAGES[why](store, store / SHARD_OF_REGIONS)
    says = (
        f"{SHARD_OF_REGIONS} .*{why}.*: make the masks anew with snakemake .*--forcerun masks_part"
    )
    with pytest.raises(UserError, match=says):
        open_masks(store)


def test_of_200_flipped_bytes_anywhere_in_a_store_none_changes_what_is_read(tmp_path):
    faces = drawn(11)
    write(tmp_path / "masks.zarr", faces, 4)
    noticed = flipped_bytes(tmp_path / "masks.zarr", faces[:2], count=200, seed=0)
    assert sum(noticed.values()) == 200
    assert noticed["changed in silence"] == 0
    assert noticed["an image's checksum"] > 0
    assert noticed["a shard's index"] > 0
    assert noticed["a description's checksum"] > 0


@pytest.mark.parametrize("name", ["labels", "checksums"])
def test_a_description_edited_by_zarr_is_refused(tmp_path, name):
    store = tmp_path / "masks.zarr"
    write(store, drawn(5), 2)
    array = zarr.open_group(store)[name]
    array[0] = array[1]
    with pytest.raises(UserError, match=f"{name}/c/0/0 is not as it was written"):
        open_masks(store)
