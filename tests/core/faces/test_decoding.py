"""One decoder: what it accepts has the same pixels everywhere, and damage is no picture."""

import io
import struct
import zlib
from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import SIZE, encode, mutations, noisy_picture
from PIL import Image, ImageOps

from pipeline.core.faces.decoding import ImageError, decode, read_header
from pipeline.core.faces.exif import ORIENTATION, UNCLEAR, orientation
from pipeline.core.faces.store import Face, open_faces, write_faces
from pipeline.core.faces.verification import find_fault


@pytest.mark.parametrize(
    ("count", "seed"), [(600, 1), pytest.param(5000, 0, marks=pytest.mark.slow)]
)
def test_no_mutation_raises_and_accepted_ones_have_the_same_pixels_for_every_reader(
    tmp_path, count, seed
):
    outcomes, accepted = Counter(), []
    for mutation in mutations(count, seed):
        fault = find_fault(mutation.encoded, SIZE)
        if fault is None:
            accepted.append(mutation.encoded)
        jpeg = mutation.form != "png"
        outcomes[jpeg, mutation.scan, fault is not None] += 1
    faces = [Face(str(i), "test", -1, np.zeros(40, bool), e) for i, e in enumerate(accepted)]
    write_faces(tmp_path / "faces", faces, SIZE)
    stored = open_faces(tmp_path / "faces")
    for row, encoded in enumerate(accepted):
        pixels = stored.image(row)
        assert (pixels == decode(encoded)).all()
        assert (pixels == np.asarray(Image.open(io.BytesIO(encoded)))).all()
        opencv = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
        assert (pixels == opencv).all()
    noticed, missed = outcomes[True, True, True], outcomes[True, True, False]
    print(f"inside JPEG scans: {noticed} of {noticed + missed} noticed", outcomes)
    assert noticed / (noticed + missed) > 0.8
    assert outcomes[False, True, False] == 0  # every chunk of a PNG has a check sum


def test_the_scans_of_a_progressive_jpeg_must_all_be_there():
    """Without its last scans it is a blurred picture, of which libjpeg gives no warning."""
    encoded = encode(noisy_picture(0), "JPEG", progressive=True)
    scans = encoded.split(b"\xff\xda")
    for kept in range(1, len(scans)):
        cut = b"\xff\xda".join(scans[:kept]) + b"\xff\xd9"
        assert find_fault(cut, SIZE) is not None
    assert find_fault(encoded, SIZE) is None


def as_stored(encoded):
    """The pixels as OpenCV reads them, not turned."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "L"), ("JPEG", "CMYK"), *(("PNG", m) for m in ("L", "LA", "P", "1", "RGBA", "I;16"))],
)
def test_photographs_of_other_modes_are_read_as_rgb_and_not_stored_as_faces(kind, mode):
    file = io.BytesIO()
    image = Image.fromarray(noisy_picture(0))
    image.convert("I" if mode == "I;16" else mode).convert(mode).save(file, kind)
    encoded = file.getvalue()
    assert (decode(encoded) == as_stored(encoded)).all()
    assert "has the mode" in find_fault(encoded, SIZE)


def exif(value, kind=3, count=1, order="<"):
    """EXIF data with an orientation of a TIFF type: 3 is SHORT, as the standard has it."""
    header = {"<": b"II*\0", ">": b"MM\0*"}[order]
    field = struct.pack(order + {1: "B3x", 3: "H2x", 4: "I"}.get(kind, "I"), value)
    entry = struct.pack(order + "HHI", ORIENTATION, kind, count) + field
    return header + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


@pytest.mark.parametrize("value", range(10))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_eight_orientations_are_turned_as_pillow_turns_them_and_others_are_upright(kind, value):
    picture = noisy_picture(0, (17, 11))
    encoded = encode(picture, kind, exif=b"Exif\0\0" + exif(value))
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded)))
    assert np.array_equal(decode(encoded), np.asarray(turned))
    fault = find_fault(encoded, (17, 11))
    assert (fault is None) == (value in (0, 1, 9))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 3, 4])
def test_an_orientation_of_any_integer_type_counts(kind, order):
    assert orientation(exif(6, kind, order=order)) == 6


@pytest.mark.parametrize(
    ("kind", "count"), [(2, 1), (5, 1), (7, 4), (11, 1), (12, 1), (3, 2), (99, 1)]
)
def test_a_face_whose_orientation_readers_interpret_differently_is_rejected(kind, count):
    data = exif(6, kind, count)
    assert orientation(data) == UNCLEAR
    encoded = encode(noisy_picture(0), "JPEG", exif=b"Exif\0\0" + data)
    assert "EXIF orientation that is not a whole number" in find_fault(encoded, SIZE)
    assert decode(encoded).shape == (*SIZE, 3)


@given(data=st.binary(max_size=60) | st.binary(max_size=60).map(lambda d: b"II*\0" + d))
def test_no_exif_data_end_in_an_exception(data):
    assert 0 <= orientation(data) <= 8


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("data", [b"", b"junk", b"II*\0", b"II*\0\x08\0\0\0", exif(1)[:-10]])
def test_exif_data_that_cannot_be_read_leave_the_image_as_it_is(kind, data):
    encoded = encode(noisy_picture(0), kind)
    if kind == "JPEG":
        app1 = b"\xff\xe1" + struct.pack(">H", len(data) + 8) + b"Exif\0\0" + data
        changed = encoded[:2] + app1 + encoded[2:]
    else:
        changed = encoded[:33] + chunk(b"eXIf", data) + encoded[33:]
    assert find_fault(changed, SIZE) is None
    assert (decode(changed) == decode(encoded)).all()


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(rows, size=SIZE, color_type=2, interlaced=0, extra=b""):
    """A PNG of compressed ``rows``, every check sum of its chunks right."""
    header = struct.pack(">IIBBBBB", size[1], size[0], 8, color_type, 0, 0, interlaced)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_png_whose_rows_are_incomplete_or_damaged_is_rejected_though_its_chunks_are_whole():
    rows = b"".join(b"\0" + row.tobytes() for row in noisy_picture(0))
    whole = zlib.compress(rows)
    assert find_fault(png(whole), SIZE) is None
    for data in (zlib.compress(rows[:-535]), whole[:-1], whole[:-4] + b"wxyz", whole[:500]):
        assert "its image data are" in find_fault(png(data), SIZE)
    assert "its image data are" in find_fault(png(zlib.compress(b"\7" + rows[1:])), SIZE)
    assert find_fault(png(whole, extra=chunk(b"acTL", bytes(8))), SIZE).endswith(
        "(it is an animation)"
    )


@given(height=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 9))
def test_an_interlaced_png_of_any_size_is_read(height, width, seed):
    """Adam7: the pixels of seven passes, one after the other."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    passes = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]
    rows = b"".join(
        b"\0" + row.tobytes()
        for x, y, step_x, step_y in passes
        for row in image[y::step_y, x::step_x]
        if row.size
    )
    encoded = png(zlib.compress(rows), (height, width), interlaced=1)
    assert (decode(encoded) == image).all()


def test_what_is_too_large_or_neither_jpeg_nor_png_is_refused_before_it_is_decoded():
    huge = png(b"", size=(10_000, 10_000))
    with pytest.raises(ImageError, match="is 10000×10000 pixels, more than 60,000,000"):
        decode(huge)
    gif = io.BytesIO()
    Image.new("RGB", (3, 3)).save(gif, "GIF")
    for encoded in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"<html>", gif.getvalue()):
        with pytest.raises(ImageError, match="cannot be decoded as JPEG or PNG"):
            decode(encoded)


def test_real_faces_have_the_pixels_that_opencv_and_pillow_read(real_faces):
    from pipeline.core.faces.sources.trees import open_tree

    archive = open_tree(real_faces / "celeba-real/img_align_celeba.zip")
    for name in sorted(archive.names)[:300]:
        encoded = archive.read(name)
        assert read_header(encoded).mode == "RGB"
        pixels = decode(encoded)
        assert (pixels == as_stored(encoded)).all()
        assert (pixels == np.asarray(Image.open(io.BytesIO(encoded)))).all()
