"""JPEG files: their header, and decoding that tolerates no damage.

libjpeg repairs damaged scan data and only warns: its decoder is simplejpeg, which makes each
warning an error. What libjpeg does not even warn of, scans that are missing, is checked here.
ITU-T T.81 (1992), annex B.
"""

import re
import struct
from typing import NamedTuple

import numpy as np
import simplejpeg

SIGNATURE = b"\xff\xd8\xff"
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15 without DHT, JPG, DAC
PROGRESSIVE = {0xC2, 0xCA}
SOS, EOI, APP1, EXIF = 0xDA, 0xD9, 0xE1, b"Exif\0\0"
AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # a marker other than RSTn; FF 00 is data


class Frame(NamedTuple):
    """The frame header: size in pixels, bits a sample, and the identifiers of the components."""

    marker: int
    width: int
    height: int
    bits: int
    components: bytes


class Structure(NamedTuple):
    """What the segments of a file say; ``scans`` are (components, first, last, low bit)."""

    header: Frame
    exif: bytes
    scans: list[tuple[bytes, int, int, int]]


def read_structure(encoded: bytes | memoryview) -> Structure:
    """Read the segments of a JPEG up to its end; ``ValueError`` if one is damaged or missing."""
    data, frame, exif, scans = bytes(encoded), None, b"", []
    position = 2
    while True:
        marker, segment = _segment(data, position)
        position += 2
        if marker == EOI:
            break
        position += 2 + len(segment)
        if marker in FRAMES and frame is None:
            frame = _frame(marker, segment)
        elif marker == APP1 and segment.startswith(EXIF) and not exif:
            exif = segment[len(EXIF) :]
        elif marker == SOS:
            scans.append(_scan(segment))
            following = AFTER_SCAN.search(data, position)
            if following is None:
                raise ValueError("its end is missing")
            position = following.start()
    if frame is None or not scans:
        raise ValueError("it has no image data")
    return Structure(frame, exif, scans)


def _segment(data: bytes, position: int) -> tuple[int, bytes]:
    """The marker at a position, and the content of its segment; EOI has none."""
    while data[position : position + 2] == b"\xff\xff":  # fill bytes
        position += 1
    if data[position : position + 1] != b"\xff" or position + 2 > len(data):
        raise ValueError("a segment is damaged or its end is missing")
    marker = data[position + 1]
    if marker == EOI:
        return marker, b""
    length = int.from_bytes(data[position + 2 : position + 4], "big")
    content = data[position + 4 : position + 2 + length]
    if length < 2 or len(content) != length - 2:
        raise ValueError("a segment is damaged or its end is missing")
    return marker, content


def _frame(marker: int, segment: bytes) -> Frame:
    if len(segment) < 6:
        raise ValueError("its frame header is damaged")
    bits, height, width, count = struct.unpack_from(">BHHB", segment)
    return Frame(marker, width, height, bits, segment[6 : 6 + 3 * count : 3])


def _scan(segment: bytes) -> tuple[bytes, int, int, int]:
    count = segment[0] if segment else 0
    if len(segment) != 4 + 2 * count:
        raise ValueError("a scan header is damaged")
    first, last, bits = segment[1 + 2 * count :]
    return segment[1 : 1 + 2 * count : 2], first, last, bits & 15


def require_all_scans(structure: Structure) -> None:
    """``ValueError`` unless each component comes in a scan and, where the scans of a progressive
    JPEG refine one another, each of its 64 coefficients to the last bit.
    """
    frame, scans = structure.header, structure.scans
    if frame.marker in PROGRESSIVE:
        final = [(c, scan) for scan in scans for c in scan[0] if scan[3] == 0]
        sent = {(c, k) for c, (_, first, last, _) in final for k in range(first, last + 1)}
        complete = sent >= {(c, k) for c in frame.components for k in range(64)}
    else:
        complete = {c for components, *_ in scans for c in components} >= set(frame.components)
    if not complete:
        raise ValueError("scans are missing")


def decode_jpeg(encoded: bytes | memoryview, components: int) -> np.ndarray:
    """Decode a JPEG of 1, 3 or 4 components to (H, W, 3) uint8 RGB, not turned; ``ValueError``
    if libjpeg has anything to repair.
    """
    if components != 4:
        return simplejpeg.decode_jpeg(encoded, "RGB", strict=True)
    cmyk = simplejpeg.decode_jpeg(encoded, "CMYK", strict=True).astype(np.uint16)
    black = cmyk[..., 3:]  # Adobe's values are inverted; OpenCV converts them by the same formula
    return (black - ((255 - cmyk[..., :3]) * black >> 8)).astype(np.uint8)
