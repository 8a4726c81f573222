"""Hair behind and around the face, and a hat upon it."""

import cv2
import numpy as np

from pipeline.core.synthetic.geometry import EAR_LEVEL, MIDDLE, SIDES, Shape, both_sides
from pipeline.core.synthetic.people import Face
from pipeline.core.synthetic.shapes import Area, Canvas, noise, spline

COLOURS = {
    "Black_Hair": (30, 26, 26),
    "Blond_Hair": (216, 180, 112),
    "Brown_Hair": (88, 60, 42),
    "Gray_Hair": (178, 176, 174),
}
UNNAMED = ((108, 44, 34), (158, 88, 54))  # auburn and ginger: none of the four
UNDER_A_BALD_HEAD = (62, 47, 40)  # of brows and beard


def hair_colour(face: Face) -> np.ndarray:
    """(3,) RGB."""
    if face.has("Bald"):
        return np.array(UNDER_A_BALD_HEAD, np.float32)
    shade = face.build.hair_shade
    named = (colour for name, colour in COLOURS.items() if face.has(name))
    return np.array(next(named, UNNAMED[shade > 0]), np.float32) * (1 + 0.10 * shade)


def darkened(colour: np.ndarray, share: float, most: float) -> np.ndarray:
    """A colour times ``share``, or less, so that no channel is above ``most``."""
    return colour * min(share, most / float(colour.max()))


def draw_hair_behind(canvas: Canvas, face: Face, shape: Shape) -> None:
    """The part of long hair that falls behind neck and shoulders."""
    if not face.has_long_hair:
        return
    left, right = (_falling_edge(face, shape, _low(face), 4.0, side) for side in SIDES)
    over = shape.dome(volume(face))
    area = canvas.polygon(np.concatenate([left[::-1], over[::-1], right]), 0.6)
    canvas.paint(area, _texture(face, shape, area) * 0.62, part="hair")


def draw_hair(canvas: Canvas, face: Face, shape: Shape) -> None:
    """What frames the face: the cap down to the temples, long locks, a fringe."""
    if face.has("Bald"):
        return
    dome = shape.dome(volume(face), volume(face) * 0.8)
    hairline = _hairline(face)
    outline = [
        *(_outer_edge(face, shape, -1)[::-1], dome[::-1], _outer_edge(face, shape, 1)),
        *(_inner_edge(face, shape, 1)[::-1], hairline[::-1], _inner_edge(face, shape, -1)),
    ]
    area = canvas.polygon(np.concatenate(outline), 0.6)
    canvas.shade(canvas.line(hairline, 3.5, 1.8), 0.22)
    canvas.paint(area, _texture(face, shape, area), part="hair")
    if face.has("Bangs"):
        _draw_fringe(canvas, face)


def draw_hat(canvas: Canvas, face: Face, shape: Shape) -> None:
    """A cap with a brim across the forehead."""
    if not face.has("Wearing_Hat"):
        return
    rng = face.rng("hat")
    colour, wide = rng.uniform(20, 205, 3), shape.half_head + volume(face) + 1
    right = np.array([(wide, 84), (wide - 1, 60), (wide * 0.68, 34), (0, 26)])
    crown = spline(both_sides(right[::-1]))
    area = canvas.polygon(crown, 0.4)
    round_off = 0.95 - 0.35 * ((area.x - MIDDLE) / 60) ** 2
    round_off = round_off + 0.06 * noise(rng, area.cover.shape, (14, 14))
    canvas.paint(area, colour * round_off[..., None], part="hat")
    right = np.array([(wide + 8, 84), (wide * 0.55, 79), (0, 77)])
    under = np.array([(0, 87), (wide * 0.55, 88), (wide + 8, 87)])
    brim = np.concatenate([both_sides(right[::-1]), both_sides(under)[::-1]])
    canvas.shade(canvas.polygon(np.add(brim, (0, 4)), 2.0), 0.35)
    canvas.paint(canvas.polygon(brim, 0.4), colour * 0.6, part="hat")


def volume(face: Face) -> float:
    """How far the hair stands off the head, in pixels."""
    style = 3.5 * face.has("Wavy_Hair") - 1.5 * face.has("Straight_Hair")
    return 6.5 + 1.8 * face.build.hair_volume + style


def _low(face: Face) -> float:
    """The height at which the hair ends."""
    if face.has_long_hair:
        return 186 + 26 * face.build.hair_length
    return 124 if face.has("Male") else 132


def _wave(face: Face, y: np.ndarray) -> np.ndarray:
    """How far wavy hair swings to the side at heights ``y``."""
    return 3.6 * face.has("Wavy_Hair") * np.sin(np.asarray(y) / 5.5 + 3 * face.scene.waves)


def _falling_edge(face: Face, shape: Shape, low: float, wider: float, side: int) -> np.ndarray:
    """(N, 2) outer edge of long hair, from ear level down."""
    y = np.linspace(EAR_LEVEL, low, 30)
    spread = np.clip((y - EAR_LEVEL) / 60, 0, 1) * (wider + 3 * (face.scene.waves + 1))
    tips = 7 * np.clip((y - low + 9) / 9, 0, 1) ** 2  # the ends turn inwards
    half = shape.half_head + volume(face) + spread - tips
    return np.stack([MIDDLE + side * half + _wave(face, y + 9 * side), y], axis=1)


def _outer_edge(face: Face, shape: Shape, side: int) -> np.ndarray:
    """(N, 2) edge towards the background, from ear level down."""
    if face.has_long_hair:
        return _falling_edge(face, shape, _low(face) - 4, 1.0, side)
    y = np.linspace(EAR_LEVEL, _low(face), 6)
    half = shape.half_head + np.linspace(0.7 * volume(face), 0.5, 6)
    return np.stack([MIDDLE + side * half + 0.8 * _wave(face, y), y], axis=1)


def _inner_edge(face: Face, shape: Shape, side: int) -> np.ndarray:
    """(N, 2) edge towards the face, from the temple down."""
    if face.has_long_hair:
        y = np.linspace(92, _low(face) - 4, 16)
        half = np.minimum(shape.half_skull(y) - 3.0, shape.half_head - 2.0)
        half = half + 2.0 * np.clip((y - 150) / 50, 0, 1)
    else:
        y = np.linspace(92, _low(face), 8)
        half = shape.half_width(y) - np.linspace(4.5, 1.2, 8)
    swing = (0.6 if face.has_long_hair else 0.2) * np.clip((y - 90) / 30, 0, 1)
    return np.stack([MIDDLE + side * half + swing * _wave(face, y), y], axis=1)


def _hairline(face: Face) -> np.ndarray:
    """(N, 2) edge of the hair on the forehead, from the left temple to the right one."""
    high = 68 + 3 * face.build.hairline
    right: list[tuple[float, float]]
    if face.has("Bangs"):
        right = [(0, 92), (13, 94), (27, 93), (36, 92)]
    elif face.has("Receding_Hairline"):
        right = [(0, 59), (9, 58), (21, 50), (31, 58), (36, 78)]
    else:
        right = [(0, high), (10, high + 0.5), (24, high + 4), (35, 80)]
    return spline(both_sides(right))


def _draw_fringe(canvas: Canvas, face: Face) -> None:
    """Single tufts that end at uneven heights above the eyes."""
    rng, colour = face.rng("fringe"), hair_colour(face)
    for across in np.linspace(-34, 34, 18):
        jitter, end, shade = rng.uniform(-1, 1, 3)
        low = (MIDDLE + across + jitter, 95 + 2.5 * end)
        top = (MIDDLE + 0.7 * across, 64)
        tuft = canvas.line(np.array([top, low]), 1.0, 0.3)
        canvas.paint(tuft, colour * (0.92 + 0.2 * shade), 0.75)


def _texture(face: Face, shape: Shape, area: Area) -> np.ndarray:
    """(h, w, 3) RGB of strands that follow the head down from the crown."""
    size, rng = area.cover.shape, face.rng("strands")
    half = shape.half_skull(area.y, volume(face), volume(face)).astype(np.float32) + 2
    across = (area.x - MIDDLE + _wave(face, area.y).astype(np.float32)) / half
    straight, wavy = face.has("Straight_Hair"), face.has("Wavy_Hair")
    strands = rng.standard_normal((4, 170 if straight else 110), np.float32)
    map_x = np.clip((across / 2 + 0.5) * (strands.shape[1] - 1), 0, strands.shape[1] - 1)
    map_y = np.broadcast_to((area.y - 30) / 190 * 3, size)
    fine = cv2.remap(strands, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    gloss = np.exp(-0.5 * ((area.y - 66 - 12 * across**2) / 9) ** 2)
    factor = 1 + (0.20 if straight or wavy else 0.10) * fine + (0.60 if straight else 0.08) * gloss
    factor -= 0.22 * np.clip(np.abs(across), 0, 1.1) ** 3
    if wavy:
        factor += 0.20 * np.sin(area.y / 5.5 + 3 * face.scene.waves + 0.8)
    elif not straight:
        factor += 0.06 * noise(rng, size, (24, 9))
    return np.clip(hair_colour(face) * factor[..., None], 0, 255)
