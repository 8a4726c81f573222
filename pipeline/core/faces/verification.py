"""Verification of encoded images, before any later stage relies on them."""

from pipeline.core.faces.decoding import Header, ImageError, decode, read_header
from pipeline.core.faces.exif import UNCLEAR, UPRIGHT
from pipeline.core.files import is_formula, written


def name_fault(name: str) -> str | None:
    """Why an image cannot be stored under its name, which tables have as it is; None if it can."""
    if is_formula(name):
        return "has a name that a spreadsheet would run as a formula; rename it"
    if written(name) != name:
        return "has a name that is no UTF-8; rename it"
    return None


def find_fault(encoded: bytes, size: tuple[int, int]) -> str | None:
    """Why an image cannot be stored as a face, in words that follow its name; None if it can.

    It must be a JPEG or PNG that ``decode`` accepts, of this ``size`` (height, width) in pixels,
    RGB with eight bits a channel, and upright.
    """
    try:
        header = read_header(encoded)
        if fault := _header_fault(header, size):
            return fault
        decode(encoded, header)
    except ImageError as error:
        return str(error)
    return None


def _header_fault(header: Header, size: tuple[int, int]) -> str | None:
    if (header.height, header.width) != size:
        return f"is {header.width}×{header.height} pixels, expected {size[1]}×{size[0]}"
    if header.mode != "RGB":
        return f"has the mode {header.mode}, expected RGB"
    if header.orientation == UNCLEAR:
        return "has an EXIF orientation that is not a whole number, expected upright"
    if header.orientation != UPRIGHT:
        return f"is turned by its EXIF orientation {header.orientation}, expected upright"
    return None
