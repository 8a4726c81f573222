"""The orientation in EXIF data: read here, so that no decoder's own reading of it counts.

Decoders differ on EXIF data that breaks the standard (tag 0x0112 is one SHORT from 1 to 8): some
turn the image, some do not, some fail. EXIF 2.32, section 4.6.
"""

import struct

import numpy as np

ORIENTATION = 0x0112
UPRIGHT, UNCLEAR = 1, 0  # UNCLEAR: a tag that readers interpret differently
INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}  # TIFF types, as struct formats


def orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, in EXIF data (a TIFF header and its first directory).

    ``UPRIGHT`` without a readable tag or with a value that has no meaning, ``UNCLEAR`` if the tag
    is not a single integer.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return UPRIGHT
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, directory)
        for start in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(order + "HHI", exif, start)
            if tag == ORIENTATION:
                if kind not in INTEGERS or count != 1:
                    return UNCLEAR
                (value,) = struct.unpack_from(order + INTEGERS[kind], exif, start + 8)
                return int(value) if 1 <= value <= 8 else UPRIGHT
    except struct.error:  # the data end before the tag
        pass
    return UPRIGHT


def turned_upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """An image (H, W, 3) as it is meant to be seen; 5 to 8 exchange its sides."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
