"""How many flipped bytes of a store of masks are noticed, and by what.

    python -m bench.damaged_masks --store results/celeba/masks.zarr --faces 64 --flips 1000

A copy of the first faces is made with shards of 16. Then one byte after another, anywhere in its
files, is changed to another value, the store is opened and every image read, and the byte is put
back. What is read may be refused, or be what was written; never anything else.
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.masks.store import finish, open_masks, write_shard

SHARD = 16
# What a refusal's sentence has in it, and the check that it comes from.
CHECKS = {
    "image": "an image's checksum",
    "index": "a shard's index",
    "is not as it was written": "a description's checksum",
    "no whole store": "no readable zarr.json",
    "version": "the version",
}


def flipped_bytes(
    store: Path, faces: tuple[np.ndarray, np.ndarray], count: int, seed: int
) -> Counter[str]:
    """Flip ``count`` seeded bytes of a store in turn: how many were noticed, by each check.

    ``faces``: the masks (N, 40, H, W) and regions (N, H, W) that it holds.
    """
    random = np.random.default_rng(seed)
    files = sorted(path for path in store.rglob("*") if path.is_file())
    ends = np.cumsum([path.stat().st_size for path in files])
    noticed: Counter[str] = Counter()
    for _ in range(count):
        at = int(random.integers(ends[-1]))
        number = int(np.searchsorted(ends, at, side="right"))
        content = files[number].read_bytes()
        place = at - int(ends[number]) + len(content)
        other = content[place] ^ int(random.integers(1, 256))
        files[number].write_bytes(content[:place] + bytes([other]) + content[place + 1 :])
        noticed[outcome(store, faces)] += 1
        files[number].write_bytes(content)
    return noticed


def outcome(store: Path, faces: tuple[np.ndarray, np.ndarray]) -> str:
    """What notices that a store is damaged, when it is opened and every image read."""
    try:
        masks = open_masks(store)
        same = np.array_equal(masks.region_bits(range(len(masks))), faces[1])
        same &= all(np.array_equal(masks.masks(row), faces[0][row]) for row in range(len(masks)))
    except UserError as error:
        return next(check for words, check in CHECKS.items() if words in str(error))
    return "harmless: all is read as written" if same else "changed in silence"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True, help="masks.zarr")
    parser.add_argument("--faces", type=int, default=64)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=64)
    args = parser.parse_args()
    source = open_masks(args.store)
    rows = range(min(args.faces, len(source)))
    faces = np.stack([source.masks(row) for row in rows]), source.region_bits(rows)
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "masks.zarr"
        for first in rows[::SHARD]:
            some = slice(first, first + SHARD)
            write_shard(
                store, first // SHARD, SHARD, zip(faces[0][some], faces[1][some], strict=True)
            )
        described = source.names[: len(rows)], source.found[: len(rows)], source.labels[: len(rows)]
        finish(store, *described, source.size, SHARD)
        for what, number in flipped_bytes(store, faces, args.flips, args.seed).most_common():
            print(f"{number:6} {what}")


if __name__ == "__main__":
    main()
