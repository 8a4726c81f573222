"""A shard: one file with the compressed images of many faces, in Zarr's format.

That is Zarr v3's "sharding_indexed": the chunks, one an image, then the index (place and length of
each chunk, ``ABSENT`` for one that is all false), then the index's CRC-32C. A shard is written and
read here and not through zarr: so faces are written one by one in little memory, a shard appears
whole by one rename, and a single face is read many times faster.
"""

import mmap
from pathlib import Path
from typing import BinaryIO

import google_crc32c
import numpy as np
from numcodecs import zstd  # type: ignore[import-untyped]

from pipeline.core.errors import UserError

LEVEL = 1  # of zstd; higher ones save up to a tenth at a third of the speed
ABSENT = 2**64 - 1
ANEW = "make the masks anew with snakemake --cores 2 --forcerun masks_part -- masks"


def crc32c(content: bytes) -> int:
    return int(google_crc32c.value(content))


def damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} {why}: {ANEW} (and --configfile, if there was one).")


class ShardWriter:
    """Writes one shard of up to ``faces`` images into an open file; ``close`` adds the index."""

    def __init__(self, file: BinaryIO, faces: int) -> None:
        self.file = file
        self.index = np.full((faces, 2), ABSENT, "<u8")
        self.count = 0

    def append(self, image: np.ndarray) -> None:
        if image.any():
            place = self.file.tell()
            length = self.file.write(zstd.compress(np.ascontiguousarray(image), LEVEL))
            self.index[self.count] = place, length
        self.count += 1

    def close(self) -> None:
        index = self.index.tobytes()
        self.file.write(index + crc32c(index).to_bytes(4, "little"))


class Shard:
    """A shard of ``faces`` images for reading, memory-mapped; its index is checked.

    ``index`` (faces, 2) uint64: place and length of each chunk; ``checksum``: CRC-32C of the index.
    """

    def __init__(self, path: Path, faces: int) -> None:
        self.path, size = path, 16 * faces
        try:
            with path.open("rb") as file:
                self.content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise damaged(path, "is missing") from None
        except ValueError:  # what mmap says of no bytes
            raise damaged(path, "is empty") from None
        if len(self.content) < size + 4:
            raise damaged(path, "is cut off")
        index = self.content[-size - 4 : -4]
        self.checksum = crc32c(index)
        if self.content[-4:] != self.checksum.to_bytes(4, "little"):
            raise damaged(path, "is damaged (its index fails its checksum)")
        self.index = np.frombuffer(index, "<u8").reshape(faces, 2)

    def chunk(self, place: int) -> bytes:
        """The compressed image at a place in the shard; no bytes for one that is all false."""
        start, length = self.index[place].tolist()
        return b"" if length == ABSENT else self.content[start : start + length]

    def read(self, place: int, checksum: int, image: np.ndarray) -> None:
        """Decompress an image into ``image``, of zeros; its chunk must have this CRC-32C."""
        chunk = self.chunk(place)
        if crc32c(chunk) != checksum:
            raise damaged(self.path, f"is damaged (its image {place} fails its checksum)")
        if chunk:
            zstd.decompress(chunk, image)
