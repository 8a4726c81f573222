"""Damaged images: mutations of synthetic JPEGs and PNGs, as transfers and disks make them."""

import io
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

SIZE = (218, 178)
FORMS = {
    "baseline": ("JPEG", {"quality": 90}),
    "444": ("JPEG", {"quality": 95, "subsampling": 0}),
    "progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "restart": ("JPEG", {"quality": 90, "restart_marker_rows": 1}),
    "optimized": ("JPEG", {"quality": 75, "optimize": True}),
    "png": ("PNG", {}),
}
DAMAGES = ("cut", "cut, end kept", "zeroed", "sector zeroed", "lost", "shuffled", "spliced")
DAMAGES += ("bit flipped", "inserted")


class Mutation(NamedTuple):
    """``scan`` tells whether the damage begins inside the image data, after the headers."""

    form: str
    damage: str
    scan: bool
    original: bytes
    encoded: bytes


def noisy_picture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8: smooth colours and noise, which compress about as photographs do."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + random.normal(0, 12, (*size, 3)), 0, 255).astype(np.uint8)


def encode(image: np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def mutations(count: int, seed: int) -> Iterator[Mutation]:
    """``count`` mutations of random form, place, length and kind; none equals its original."""
    random = np.random.default_rng(seed)
    pictures = [noisy_picture(i) for i in range(4)]
    files = {
        form: [encode(picture, kind, **options) for picture in pictures]
        for form, (kind, options) in FORMS.items()
    }
    while count:
        form, number = str(random.choice(list(FORMS))), int(random.integers(4))
        original, damage = files[form][number], str(random.choice(DAMAGES))
        at = int(random.integers(2, len(original) - 2))
        encoded = damaged(original, files[form][number - 1], damage, at, random)
        if encoded != original:
            data = (
                original.index(b"IDAT") + 4 if form == "png" else original.index(b"\xff\xda") + 14
            )
            yield Mutation(form, damage, at >= data, original, encoded)
            count -= 1


def damaged(
    original: bytes, other: bytes, damage: str, at: int, random: np.random.Generator
) -> bytes:
    length = int(random.integers(1, 400))
    end = at + length
    if damage == "cut":
        return original[:at]
    if damage == "cut, end kept":
        return original[:at] + (original[-12:] if original[0] == 0x89 else original[-2:])
    if damage == "zeroed":
        return original[:at] + bytes(len(original[at:end])) + original[end:]
    if damage == "sector zeroed":
        at = at // 512 * 512
        return original[:at] + bytes(len(original[at : at + 512])) + original[at + 512 :]
    if damage == "lost":
        return original[:at] + original[end:]
    if damage == "shuffled":
        return (
            original[:at]
            + original[end : end + length]
            + original[at:end]
            + original[end + length :]
        )
    if damage == "spliced":
        return original[:at] + other[at:]
    if damage == "bit flipped":
        return (
            original[:at]
            + bytes([original[at] ^ 1 << int(random.integers(8))])
            + original[at + 1 :]
        )
    return original[:at] + random.bytes(length) + original[at:]
