"""The one decoder of images: what it accepts has the same pixels for every stage that reads it."""

from typing import NamedTuple

import numpy as np

from pipeline.core.faces import jpeg, png
from pipeline.core.faces.exif import UPRIGHT, orientation, turned_upright

JPEG_MODES = {1: "grey", 3: "RGB", 4: "CMYK"}  # by number of components
PNG_MODES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with transparency", 6: "RGBA"}
LARGEST = 60_000_000  # pixels; a larger image is not a photograph, or is made to fill the memory


class ImageError(ValueError):
    """An image cannot be used; the message is the reason, a phrase that follows its name."""


class Header(NamedTuple):
    """What the header of an image says: ``width`` and ``height`` as stored, before it is turned;
    ``mode`` is RGB for eight bits a channel and no transparency; ``orientation`` as in ``exif``.
    """

    width: int
    height: int
    mode: str
    orientation: int
    structure: jpeg.Structure | png.Structure


def read_header(encoded: bytes | memoryview) -> Header:
    """The header of a JPEG or PNG, known by its bytes; ``ImageError`` if it cannot be used."""
    structure: jpeg.Structure | png.Structure
    try:
        if bytes(encoded[:3]) == jpeg.SIGNATURE:
            structure = jpeg.read_structure(encoded)
            mode = JPEG_MODES.get(len(structure.header.components), "unknown")
        elif bytes(encoded[:8]) == png.SIGNATURE:
            structure = png.read_structure(encoded)
            mode = PNG_MODES[structure.header.color_type]
        else:
            raise ValueError("it is neither")
    except ValueError as error:
        raise _undecodable(error) from None
    header = structure.header
    if header.bits != 8 and mode != "palette":
        mode = f"{mode} with {header.bits} bits"
    return Header(header.width, header.height, mode, orientation(structure.exif), structure)


def decode(encoded: bytes | memoryview, header: Header | None = None) -> np.ndarray:
    """Decode a JPEG or PNG to (H, W, 3) uint8 RGB, turned upright by its EXIF orientation.

    ``header`` is its own, where that was read before. ``ImageError`` if any part of the image is
    missing or damaged, even where a decoder could repair it.
    """
    header = header or read_header(encoded)
    if header.width * header.height > LARGEST:
        raise ImageError(f"is {header.width}×{header.height} pixels, more than {LARGEST:,}")
    try:
        if isinstance(header.structure, jpeg.Structure):
            jpeg.require_all_scans(header.structure)
            image = jpeg.decode_jpeg(encoded, len(header.structure.header.components))
        else:
            png.require_all_rows(header.structure)
            image = png.decode_png(encoded)
    except ValueError as error:
        raise _undecodable(error) from None
    return turned_upright(image, header.orientation) if header.orientation > UPRIGHT else image


def _undecodable(error: ValueError) -> ImageError:
    reason = " ".join(str(error).split())
    return ImageError(f"cannot be decoded as JPEG or PNG ({reason})")
