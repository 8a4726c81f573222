"""Verification of encoded images, before any later stage relies on them."""

import io

from PIL import Image

ORIENTATION = 274  # the EXIF tag
TURNED = range(2, 9)  # its values that turn or mirror; decoders take any other for 1, upright
LARGEST = 60_000_000  # pixels: more is no photograph, or a trap
Image.MAX_IMAGE_PIXELS = None  # sizes are compared here, before a pixel is decoded


def find_fault(encoded: bytes, size: tuple[int, int] | None = None) -> str | None:
    """What keeps an image from being used, in words that follow its name; None if nothing does.

    It must be a JPEG or a PNG by its bytes (its name says nothing), and whole: every pixel is
    decoded. With ``size`` (height, width) it must be a stored face: of this size in pixels, RGB
    with eight bits, upright. Without, it may be any photograph up to ``LARGEST``.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=["JPEG", "PNG"]) as image:
            fault = _size_fault(image.size, size) or _mode_fault(image.mode, size)
            if fault:
                return fault
            image.load()
            if size and image.getexif().get(ORIENTATION) in TURNED:
                return "is turned by its EXIF orientation, expected upright"
    except (OSError, SyntaxError, ValueError) as error:
        return f"cannot be decoded as JPEG or PNG ({str(error).split(' <')[0]})"
    return None


def _size_fault(found: tuple[int, int], size: tuple[int, int] | None) -> str | None:
    width, height = found
    if size and (height, width) != size:
        return f"is {width}×{height} pixels, expected {size[1]}×{size[0]}"
    if width * height > LARGEST:
        return f"is {width}×{height} pixels, more than {LARGEST:,}"
    return None


def _mode_fault(mode: str, size: tuple[int, int] | None) -> str | None:
    return f"has the mode {mode}, expected RGB" if size and mode != "RGB" else None
