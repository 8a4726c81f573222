"""The face itself, drawn part by part: skin, wrinkles, nose, eyes, brows, mouth, beard."""

import numpy as np

from pipeline.core.synthetic.geometry import (
    EYE_LEVEL,
    MIDDLE,
    MOUTH_LEVEL,
    SIDES,
    Shape,
    both_sides,
    centred,
)
from pipeline.core.synthetic.hair import darkened, hair_colour
from pipeline.core.synthetic.people import Face
from pipeline.core.synthetic.shapes import Area, Canvas, blend, ellipse, noise, spline
from pipeline.core.synthetic.skin import skin_colour, skin_patch

DARK = np.array([24, 17, 17])
IRISES = np.array([[70, 45, 28], [92, 64, 38], [70, 105, 140], [84, 112, 84], [45, 30, 22]])
PUPIL, GLINT = np.array([8, 8, 10]), np.array([255, 255, 255])
STUBBLE = np.array([58, 54, 58])
LIPSTICKS = np.array([[176, 28, 52], [196, 52, 84], [150, 24, 30]])


def draw_ears(canvas: Canvas, face: Face, shape: Shape) -> None:
    skin = skin_colour(face)
    for side in SIDES:
        x = MIDDLE + side * (shape.half_head + 0.6)
        canvas.paint(canvas.ellipse(x, 119, 5.2, 12.5, 0.4), skin * 0.84, part="ears")
        canvas.paint(canvas.ellipse(x + side * 0.6, 119, 2.2, 7.5, 0.9), skin * 0.60)


def draw_skin(canvas: Canvas, face: Face, shape: Shape) -> None:
    """Head and, under it, the fold of a double chin."""
    skin, chin = skin_colour(face), shape.chin
    if face.has("Double_Chin"):
        fold = spline(both_sides([(0, chin + 12), (17, chin + 6), (26, chin - 9)]))
        canvas.paint(canvas.polygon(fold, 0.8), skin * 0.86, part="skin")
        canvas.paint(canvas.line(fold[fold[:, 1] > chin + 2], 1.7, 1.0), skin * 0.45)
    canvas.shade(canvas.polygon(np.add(spline(shape.points[3:14]), (0, 4)), 2.5), 0.33)
    head = canvas.polygon(shape.outline, 0.35)
    canvas.paint(head, skin_patch(face, shape, head), part="skin")
    if face.has("Double_Chin"):
        crease = spline(both_sides([(0, chin + 0.2), (19, chin - 2.8)]))
        canvas.paint(canvas.line(crease, 1.3, 0.8), skin * 0.55, 0.85)


def draw_wrinkles(canvas: Canvas, face: Face, shape: Shape) -> None:
    """Lines of age, or the fold of a smile."""

    def crease(points: np.ndarray, thickness: float, blur: float, strength: float) -> None:
        canvas.shade(canvas.line(spline(points), thickness, blur), strength)

    if not face.has("Young"):
        for y in (76, 82, 88):
            crease(both_sides([(8, y - 0.3), (24, y + 1.5)]), 0.7, 0.5, 0.5)
    for side in SIDES:
        if not face.has("Young"):
            crease(centred([(11, 142), (19, 148), (21.5, 156)], side), 1.0, 0.7, 0.4)
            for tilt in (-4, 0, 4):
                ends = [(11, EYE_LEVEL + 0.4 * tilt), (16, EYE_LEVEL + tilt)]
                crease(centred(np.add(ends, (shape.eye_x, 0)), side), 0.5, 0.4, 0.45)
        elif face.has("Smiling"):
            crease(centred([(11, 142), (19, 147), (22.5, 156)], side), 1.1, 0.9, 0.24)


def draw_nose(canvas: Canvas, face: Face, shape: Shape) -> None:
    skin, tip, wide = skin_colour(face), shape.nose_tip, shape.nose_width
    base = shape.points[31:36]
    right = [(wide, tip + 0.5), (4, 124), (2.8, EYE_LEVEL - 2)]
    outline = np.concatenate([centred(right[::-1], -1), base, centred(right)])
    canvas.mark(canvas.polygon(spline(outline, closed=True)), "nose")
    wing = [(0.80 * wide, tip - 0.5), (1.02 * wide, tip + 2), (0.82 * wide, tip + 5.4)]
    for side in SIDES:
        nostril = canvas.ellipse(MIDDLE + side * wide * 0.46, tip + 4.9, 0.25 * wide, 1.3, 0.45)
        canvas.paint(nostril, skin * 0.22, 0.9)
        canvas.paint(canvas.line(spline(centred(wing, side)), 0.9, 0.55), skin * 0.48, 0.7)
    canvas.paint(canvas.line(spline(np.add(base[1:4], (0, 0.2))), 0.9, 0.6), skin * 0.5, 0.55)


def draw_eyes(canvas: Canvas, face: Face, shape: Shape) -> None:
    skin, makeup = skin_colour(face), face.has("Heavy_Makeup")
    for side in SIDES:
        upper, lower, centre = shape.eye(side)
        _eyeball(canvas, face, canvas.polygon(np.concatenate([upper, lower[::-1]])), centre)
        lid = 1.9 if makeup else 0.9 if face.has("Male") else 1.15
        canvas.paint(canvas.line(upper, lid), DARK, 0.95)
        canvas.paint(canvas.line(lower, 0.6, 0.35), skin * 0.45, 1.0 if makeup else 0.7)
        crease = np.subtract(upper, (0, 1.7 if face.has("Narrow_Eyes") else 2.4))
        canvas.paint(canvas.line(crease, 0.8, 0.5), skin * 0.45, 0.6)
        x, y = shape.points[39 if side < 0 else 42]
        canvas.paint(canvas.ellipse(x + side * 0.8, y, 1.0, 0.8), [205, 130, 125], 0.7)
        if not face.has("Male"):
            _lashes(canvas, upper, side, 1.2 if makeup else 0.0)


def _eyeball(canvas: Canvas, face: Face, eye: Area, centre: np.ndarray) -> None:
    """White, iris, pupil and glint, cut to the opening of the lids."""
    iris = IRISES[int((face.build.iris + 1) * 2.499)]
    x, y = float(centre[0]) + 0.8 * face.scene.gaze, float(centre[1]) - 0.6
    white = np.full((*eye.cover.shape, 3), (238, 234, 230), np.float32)
    white *= (1 - 0.35 * np.exp(-(((eye.y - y + 3.6) / 2.0) ** 2)))[..., None]
    discs = [(4.4, 0, iris * 0.45), (3.7, 0, iris), (1.8, 0, PUPIL), (0.8, 1.2, GLINT)]
    for radius, aside, colour in discs:
        distance = np.hypot(eye.x - x - aside, eye.y - y + aside)
        blend(white, colour, np.clip((radius - distance) / 0.6 + 0.5, 0, 1))
    canvas.paint(eye, white, part="eyes")


def _lashes(canvas: Canvas, upper: np.ndarray, side: int, longer: float) -> None:
    for share in np.linspace(0, 0.65, 7):
        x, y = upper[int(share * (len(upper) - 1))]
        tip = x + side * (3.6 - 2.4 * share), y - 2.2 - longer
        canvas.paint(canvas.line(np.array([(x, y), tip]), 0.5, 0.15), DARK, 0.9)


def draw_brows(canvas: Canvas, face: Face, shape: Shape) -> None:
    """Each brow hangs from its five landmarks, thinner towards its outer end."""
    colour = darkened(hair_colour(face), 0.55, 105)
    bushy = face.has("Bushy_Eyebrows")
    thickness = (6.6 if bushy else 2.7) * (1.12 if face.has("Male") else 0.9)
    for side in SIDES:
        upper = shape.brow(side)
        inward = np.linspace(0, 1, len(upper))
        drop = thickness * np.clip(0.15 + 1.6 * inward, 0, 1) * np.clip(8.5 - 8 * inward, 0.5, 1)
        lower = upper + np.stack([np.zeros_like(drop), drop], axis=1)
        brow = canvas.polygon(np.concatenate([upper, lower[::-1]]), 0.6 if bushy else 0.45)
        hairs = brow.times(0.86 + 0.22 * noise(face.rng(f"brow{side}"), brow.cover.shape, (5, 2)))
        canvas.paint(hairs, colour, 0.97 if bushy else 0.85, part="brows")


def draw_mouth(canvas: Canvas, face: Face, shape: Shape) -> None:
    skin, lips = skin_colour(face), shape.points[48:68]
    upper, lower = spline(lips[:7]), spline(lips[[6, 7, 8, 9, 10, 11, 0]])
    inner_upper, inner_lower = spline(lips[12:17]), spline(lips[[16, 17, 18, 19, 12]])
    if face.has("Wearing_Lipstick"):
        colour = LIPSTICKS[int((face.scene.makeup + 1) * 1.499)].astype(float)
    else:
        colour = skin * [0.86, 0.60, 0.57]
    bottom = lips[9, 1]
    under = spline(both_sides([(0, bottom + 2.8), (9, bottom + 2.0)]))
    canvas.paint(canvas.line(under, 1.5, 1.2), skin * 0.6, 0.45)
    mouth = np.concatenate([upper, lower])
    canvas.paint(canvas.polygon(mouth, 0.35), colour * 0.80, part="lips")
    low = np.concatenate([inner_lower, lower[::-1]])
    canvas.paint(canvas.polygon(low, 0.35), colour, part="lips")
    half, full = lips[6, 0] - MIDDLE, bottom - lips[18, 1]
    gloss = ellipse(MIDDLE, bottom - 0.55 * full, half * 0.36, full * 0.2)
    canvas.paint(canvas.polygon(gloss, 0.8), np.minimum(colour * 1.25 + 25, 255), 0.7)
    if shape.gap:
        _teeth(canvas, shape, np.concatenate([inner_upper, inner_lower]))
    canvas.paint(canvas.line(inner_upper, 0.9), colour * 0.28, 0.5 if shape.gap else 0.9)
    for corner in lips[[0, 6]]:
        canvas.paint(canvas.ellipse(corner[0], corner[1], 1.2, 1.0, 0.6), skin * 0.4, 0.7)


def _teeth(canvas: Canvas, shape: Shape, opening: np.ndarray) -> None:
    mouth = canvas.polygon(opening, 0.2)
    canvas.paint(mouth, [58, 18, 20], part="mouth")
    top = float(shape.points[62, 1])
    below = np.clip(0.5 + (top + 0.78 * shape.gap - mouth.y) / 0.8, 0, 1)
    lines = 1 - 0.22 * (np.abs((mouth.x - MIDDLE + 1.55) % 3.1 - 1.55) < 0.3)
    white = np.array([240, 236, 228]) * lines[..., None]
    canvas.paint(mouth.times(below), white)


def draw_beard(canvas: Canvas, face: Face, shape: Shape) -> None:
    """Shadow, goatee, moustache and sideburns: soft shapes of short hairs."""
    has, chin, lips = face.has, shape.chin, shape.points[48:60]
    colour = darkened(hair_colour(face), 0.7, 120)

    def hairs(outline: np.ndarray, blur: float, strength: float, shade: np.ndarray) -> None:
        area = canvas.polygon(outline, blur)
        texture = 0.9 + 0.25 * noise(face.rng("beard"), area.cover.shape, (3, 1.2))
        canvas.paint(area.times(texture), shade, strength)

    if has("5_o_Clock_Shadow"):
        jaw = spline(shape.points[3:14]) * (0.96, 1) + (0.04 * MIDDLE, -1.5)
        above = both_sides([(0, 145), (13, 143), (32, 148)])[::-1]
        hairs(np.concatenate([jaw, spline(above)]), 2.0, 0.52, STUBBLE)
    if has("Sideburns"):
        for side in SIDES:
            edge = np.array([(1, 100), (-5, 102), (-6.5, 125), (-7, 143), (-2, 145), (1, 125)])
            edge[:, 0] += shape.half_width(edge[:, 1])
            hairs(centred(edge, side), 1.1, 0.92, colour)
    if has("Goatee"):
        low = lips[9, 1]
        right = [(7, low + 3), (13, low - 2), (15.5, MOUTH_LEVEL + 3), (18, chin - 16)]
        right = [(0, low + 3.5), *right, (14, chin - 5), (0, chin - 0.5)]
        half = centred(right), centred(right[-2:0:-1], -1)
        hairs(spline(np.concatenate(half), closed=True), 0.9, 0.97, colour)
    if has("Mustache"):
        top = shape.points[33, 1] + 1.2
        above = both_sides([(0, top + 1.4), (10, top + 1), (19, MOUTH_LEVEL - 0.5)])[::-1]
        outline = np.concatenate([np.add(lips[1:6], (0, 0.8)), above])
        hairs(spline(outline, closed=True), 0.6, 0.97, colour)
