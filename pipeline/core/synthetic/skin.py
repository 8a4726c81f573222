"""The skin of a face: a relief lit from one side, and the tints upon it.

Both are smooth, so they are computed at the picture's size and enlarged to the canvas.
"""

from functools import partial

import cv2
import numpy as np

from pipeline.core.synthetic.geometry import EAR_LEVEL, EYE_LEVEL, MIDDLE, MOUTH_LEVEL, SIDES, Shape
from pipeline.core.synthetic.people import Face
from pipeline.core.synthetic.shapes import Area, blend, noise

TONES = np.array(  # RGB, light to dark
    [[246, 218, 202], [226, 182, 152], [178, 126, 92], [122, 80, 56], [84, 54, 40]], np.float32
)
PALE = np.array([247, 232, 226], np.float32)
EYE_SHADOWS = np.array([[96, 66, 120], [60, 80, 110], [110, 70, 50], [60, 50, 55]], np.float32)


def skin_colour(face: Face) -> np.ndarray:
    """(3,) RGB of evenly lit skin; most faces are light, as in CelebA."""
    if face.has("Pale_Skin"):
        return PALE
    place = (face.build.tone + 1) / 2
    if face.has("Blond_Hair"):  # fair hair goes with fair skin
        place *= 0.7
    darkness = 0.45 + 1.1 * place if place < 0.72 else 1.3 + 7.0 * (place - 0.72)
    steps = np.arange(len(TONES))
    return np.array([np.interp(darkness, steps, TONES[:, i]) for i in range(3)], np.float32)


def skin_patch(face: Face, shape: Shape, area: Area) -> np.ndarray:
    """(h, w, 3) RGB of the lit skin over an area of the canvas."""
    height, width = area.cover.shape
    x, y = area.x[:, ::2], area.y[::2]  # one of the canvas' two pixels a side
    lit, shine = _light(face, _relief(face, shape, x, y))
    colour = _tints(face, shape, x, y) * lit[..., None] + shine[..., None]
    patch = cv2.resize(colour, (width, height), interpolation=cv2.INTER_LINEAR)
    rng = face.rng("skin")
    pores = 1 + 0.010 * noise(rng, (height, width), (2, 2))
    pores += 0.014 * noise(rng, (height, width), (12, 12))
    return patch * pores[..., None]


def _bump(x: np.ndarray, y: np.ndarray, cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
    """(h, w) Gaussian hill of height 1."""
    return np.exp(-0.5 * ((y - cy) / sy) ** 2) * np.exp(-0.5 * ((x - cx) / sx) ** 2)


def _relief(face: Face, shape: Shape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(h, w) height of the face in pixels."""
    has = face.has
    least = np.where(y < EAR_LEVEL, 26, 1e-3)  # the crown is round, not pointed
    half = np.maximum(shape.half_width(y[:, 0])[:, None], least).astype(np.float32)
    across = (x - MIDDLE) / (half * 1.06)
    height = 46 * np.sqrt(np.clip(1 - across**2, 0, 1))
    height += 10 * np.sqrt(np.clip(1 - ((y - 118) / 78) ** 2, 0, 1))
    height += _nose(face, shape, x, y)
    cheek = 5.5 if has("High_Cheekbones") else 2.6 if has("Smiling") else 1.2
    for side in SIDES:
        eye = MIDDLE + side * shape.eye_x
        height += 2.4 * _bump(x, y, eye, EYE_LEVEL - 13, 12, 3.5)
        height -= 4.2 * _bump(x, y, eye, EYE_LEVEL - 1, 11, 6)
        height += 2.8 * _bump(x, y, eye, EYE_LEVEL, 6.5, 4.5)
        height += cheek * _bump(x, y, MIDDLE + side * 27, 132, 8.5, 6)
        if has("High_Cheekbones"):
            height -= 4.5 * _bump(x, y, MIDDLE + side * 28, 150, 7, 8)
        if has("Bags_Under_Eyes"):
            height += 2.4 * _bump(x, y, eye, EYE_LEVEL + 8.0, 8, 2.4)
            height -= 1.6 * _bump(x, y, eye, EYE_LEVEL + 12, 9, 1.8)
        if has("Chubby"):
            height += 3.5 * _bump(x, y, MIDDLE + side * 27, 157, 11, 12)
    height += 2.2 * _bump(x, y, MIDDLE, MOUTH_LEVEL - 5, 9, 2.8)
    height += 3.0 * _bump(x, y, MIDDLE, MOUTH_LEVEL + 6, 8, 3.4)
    height -= 2.2 * _bump(x, y, MIDDLE, MOUTH_LEVEL + 12, 10, 2.5)
    height += 3.4 * _bump(x, y, MIDDLE, shape.chin - 10, 10, 6)
    height -= 1.0 * _bump(x, y, MIDDLE, 147, 2.2, 3.5)
    return cv2.GaussianBlur(height.astype(np.float32), (0, 0), 1.1)


def _nose(face: Face, shape: Shape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    tip, wide = shape.nose_tip + 3, shape.nose_width / 8.8
    along = np.clip((y - 103) / (tip - 103), 0, 1)
    end = np.where(y < tip, 1, np.exp(-0.5 * ((y - tip) / 3.2) ** 2)) * (y > 96)
    ridge = np.exp(-0.5 * ((x - MIDDLE) / ((3.0 + 2.6 * along) * wide)) ** 2)
    height = ridge * (1.4 + 7.6 * along) * end * (1.25 if face.has("Pointy_Nose") else 1)
    height += 3.2 * _bump(x, y, MIDDLE, tip, 4.6 * wide, 4.0)
    for side in SIDES:
        height += 3.2 * _bump(x, y, MIDDLE + side * 6.4 * wide, tip + 1.5, 3.2 * wide, 2.9)
    return height


def _light(face: Face, height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Diffuse light (a factor) and shine (0-255) of a relief, both (h, w)."""
    down, right = np.gradient(height)
    light_x, light_y = 0.45 * face.scene.light_x, -0.38 + 0.17 * face.scene.light_y
    facing = (-right * light_x - down * light_y + 1) / np.sqrt(right**2 + down**2 + 1)
    facing = np.clip(facing / np.sqrt(light_x**2 + light_y**2 + 1), 0, 1)
    shine = facing**26 * (30 if face.has("Heavy_Makeup") else 22)
    return 0.44 + 0.64 * facing, shine


def _tints(face: Face, shape: Shape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(h, w, 3) colour of the skin before light falls on it."""
    has, skin = face.has, skin_colour(face)
    colour = np.broadcast_to(skin, (len(y), x.shape[1], 3)).astype(np.float32)
    tint = partial(blend, colour)
    shadow = EYE_SHADOWS[int((face.scene.makeup + 1) * 1.999)]
    for side in SIDES:
        eye, cheek = MIDDLE + side * shape.eye_x, MIDDLE + side * 27
        tint(skin * [1.02, 0.80, 0.78], 0.22 * _bump(x, y, cheek, 140, 11, 9))
        tint(skin * [0.93, 0.80, 0.78], 0.30 * _bump(x, y, eye, EYE_LEVEL, 11, 7))
        if has("High_Cheekbones"):
            tint(np.minimum(skin * 1.16 + 10, 255), 0.5 * _bump(x, y, cheek, 130, 7, 3.6))
            tint(skin * [0.70, 0.58, 0.55], 0.5 * _bump(x, y, cheek + side * 2, 149, 6.5, 5))
        if has("Rosy_Cheeks"):
            tint(np.array([226, 84, 96]), 0.62 * _bump(x, y, cheek, 138, 10, 8))
        if has("Bags_Under_Eyes"):
            tint(skin * [0.60, 0.50, 0.55], 0.70 * _bump(x, y, eye, EYE_LEVEL + 7.8, 8.5, 2.5))
        if has("Heavy_Makeup"):
            tint(shadow, 0.78 * _bump(x, y, eye, EYE_LEVEL - 5.2, 10.5, 3.8))
            tint(np.array([214, 110, 110]), 0.25 * _bump(x, y, cheek + side, 140, 11, 6))
    tint(skin * [1.0, 0.82, 0.80], 0.22 * _bump(x, y, MIDDLE, shape.nose_tip + 4, 8, 5))
    if not has("Attractive"):
        tint(skin * [0.96, 0.70, 0.66], 0.35 * _bump(x, y, MIDDLE, shape.nose_tip + 2, 10, 7))
        for spot in face.rng("blemishes").uniform(-1, 1, (13, 4)):
            at = MIDDLE + 30 * spot[0], 125 + 45 * spot[1]
            size = 1.0 + 0.35 * spot[2]
            tint(skin * [0.70, 0.50, 0.46], (0.48 + 0.2 * spot[3]) * _bump(x, y, *at, size, size))
    return colour
