"""PNG files: their header, and decoding of what is whole by every check sum.

Decoders differ on damaged files: some fill missing rows, some need no end. So the checks are made
here. W3C Recommendation PNG, third edition (2025).
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
RGB = 2
ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
PIECE = 1 << 20  # bytes that are decompressed at a time


class Header(NamedTuple):
    """IHDR: size in pixels, bits a channel, colour type, and whether it is interlaced."""

    width: int
    height: int
    bits: int
    color_type: int
    interlaced: int


class Structure(NamedTuple):
    header: Header
    exif: bytes
    data: list[memoryview]


def read_structure(encoded: bytes | memoryview) -> Structure:
    """Read the chunks of a PNG up to its end; ``ValueError`` if one is damaged or missing."""
    header, exif, data = None, b"", []
    for kind, content in _chunks(memoryview(encoded)):
        if header is None:
            header = _header(kind, content)
        elif kind == b"eXIf":
            exif = bytes(content)
        elif kind == b"IDAT":
            data.append(content)
        elif kind == b"acTL":
            raise ValueError("it is an animation")
    if header is None:
        raise ValueError("its header is damaged")
    return Structure(header, exif, data)


def _chunks(encoded: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Type and content of each chunk up to IEND."""
    position, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if position + 12 > len(encoded):
            raise ValueError("its end is missing")
        length, kind = struct.unpack_from(">I4s", encoded, position)
        end = position + 8 + length
        if end + 4 > len(encoded):
            raise ValueError("its end is missing")
        if zlib.crc32(encoded[position + 4 : end]) != struct.unpack_from(">I", encoded, end)[0]:
            raise ValueError(f"its chunk {kind.decode('latin-1')!r} has a wrong check sum")
        yield kind, encoded[position + 8 : end]
        position = end + 4


def _header(kind: bytes, content: memoryview) -> Header:
    if kind != b"IHDR" or len(content) != 13:
        raise ValueError("its header is damaged")
    width, height, bits, color_type, _, _, interlaced = struct.unpack(">IIBBBBB", content)
    if color_type not in CHANNELS or not width or not height or interlaced > 1:
        raise ValueError("its header is damaged")
    return Header(width, height, bits, color_type, interlaced)


def require_all_rows(structure: Structure) -> None:
    """``ValueError`` unless the compressed data hold every row, and their check sum is right."""
    decompressor, found = zlib.decompressobj(), 0
    try:
        for chunk in structure.data:
            rest: bytes | memoryview = chunk
            while rest:
                found += len(decompressor.decompress(rest, PIECE))
                rest = decompressor.unconsumed_tail
    except zlib.error as error:
        raise ValueError(f"its image data are damaged: {error}") from None
    if not decompressor.eof or found != _bytes_of_rows(structure.header):
        raise ValueError("its image data are incomplete")


def _bytes_of_rows(header: Header) -> int:
    """The size of the uncompressed image: each row is a filter byte and its packed pixels."""
    width, height, bits, color_type, interlaced = header
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for x, y, step_x, step_y in passes:
        columns, rows = max(0, -((x - width) // step_x)), max(0, -((y - height) // step_y))
        if columns:
            total += rows * (1 + (columns * bits * CHANNELS[color_type] + 7) // 8)
    return total


def decode_png(encoded: bytes | memoryview) -> np.ndarray:
    """Decode a PNG to (H, W, 3) uint8 RGB, not turned; ``ValueError`` if OpenCV cannot."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    if image is None:
        raise ValueError("its image data are damaged")
    return image
