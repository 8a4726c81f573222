"""What surrounds a face: background, neck, clothes, jewellery, glasses."""

import cv2
import numpy as np

from pipeline.core.synthetic.geometry import EYE_LEVEL, MIDDLE, SIDES, Shape, both_sides, centred
from pipeline.core.synthetic.people import Face
from pipeline.core.synthetic.shapes import Canvas, ellipse, noise, spline
from pipeline.core.synthetic.skin import skin_colour

FRAMES = np.array([[18, 18, 20], [70, 40, 22], [105, 105, 114]])
GOLD, SPARKLE = np.array([222, 190, 90]), np.array([255, 246, 215])


def draw_background(canvas: Canvas, face: Face, shape: Shape) -> None:
    """A quiet, blurred gradient between two dull colours."""
    rng = face.rng("background")
    gray = rng.uniform(45, 215, (2, 1))
    colours = np.clip(gray + rng.uniform(-28, 28, (2, 3)), 0, 255).astype(np.float32)
    height, width = canvas.parts.shape
    small = (height // 8, width // 8)
    slope = rng.uniform(-1, 1, 2).astype(np.float32)
    y, x = np.mgrid[-0.5 : 0.5 : small[0] * 1j, -0.5 : 0.5 : small[1] * 1j].astype(np.float32)
    mix = np.clip(0.5 + slope[0] * x + slope[1] * y + 0.18 * noise(rng, small, (9, 9)), 0, 1)
    field = colours[0] + mix[..., None] * (colours[1] - colours[0])
    canvas.image[...] = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)


def draw_neck(canvas: Canvas, face: Face, shape: Shape) -> None:
    skin, half = skin_colour(face), shape.half_neck
    right = [(half, 150), (half, 190), (half + 14, 205), (half + 44, 224)]
    neck = canvas.polygon(spline(both_sides(right), closed=True), 0.4)
    lit = 0.70 + 0.22 * np.sqrt(np.clip(1 - ((neck.x - MIDDLE) / (half + 6)) ** 2, 0, 1))
    lit = lit - 0.20 * np.exp(-0.5 * ((neck.y - shape.chin) / 11) ** 2)
    canvas.paint(neck, skin * lit[..., None], part="neck")


def draw_clothes(canvas: Canvas, face: Face, shape: Shape) -> None:
    """A neckline; with a necktie, a white shirt, a jacket and the tie."""
    rng, half, tie = face.rng("cloth"), shape.half_neck, face.has("Wearing_Necktie")
    jacket, silk = rng.uniform(40, 180) + rng.uniform(-38, 38, (2, 3))
    low = 208 if tie else 216 + rng.uniform(0, 6)
    right = [(0, low), (half * 0.8, 197), (half + 12, 201), (92, 214), (92, 224)]
    cloth = canvas.polygon(both_sides(right), 0.4)
    folds = 0.88 + 0.09 * noise(rng, cloth.cover.shape, (30, 14))
    colour = np.array([236, 236, 239]) if tie else jacket
    canvas.paint(cloth, colour * folds[..., None], part="cloth")
    if not tie:
        return
    for side in SIDES:
        lapel = centred([(92, 224), (92, 212), (half + 9, 200), (17, 224)], side)
        canvas.paint(canvas.polygon(lapel, 0.3), jacket * 0.6)
    knot, blade = both_sides([(7.5, 200), (5, 211.5)]), both_sides([(5, 211), (11, 226)])
    canvas.paint(canvas.polygon(blade), silk * 0.85, part="cloth")
    canvas.paint(canvas.polygon(knot), silk, part="cloth")


def draw_necklace(canvas: Canvas, face: Face, shape: Shape) -> None:
    if not face.has("Wearing_Necklace"):
        return
    half = shape.half_neck
    chain = spline(both_sides([(0, 205.5), (half * 0.6, 200), (half, 189)]))
    canvas.shade(canvas.line(np.add(chain, (0, 1.5)), 1.5, 0.8), 0.4)
    canvas.paint(canvas.line(chain, 2.0), GOLD, part="necklace")
    canvas.paint(canvas.line(np.subtract(chain, (0, 0.5)), 0.5), SPARKLE)
    canvas.paint(canvas.ellipse(MIDDLE, 208, 3.2, 3.6), GOLD, part="necklace")
    canvas.paint(canvas.ellipse(MIDDLE - 0.8, 207, 1.0, 1.2), SPARKLE)


def draw_earrings(canvas: Canvas, face: Face, shape: Shape) -> None:
    if not face.has("Wearing_Earrings"):
        return
    stone = face.rng("stone").uniform(60, 240, 3)
    for side in SIDES:
        x = MIDDLE + side * (shape.half_head + 1.5)
        for y, rx, ry, colour in ((135.5, 2.6, 3.6, GOLD), (143, 3.3, 4.4, stone)):
            canvas.paint(canvas.ellipse(x, y, rx, ry), colour, part="earrings")
            canvas.paint(canvas.ellipse(x - 0.8, y - 1.2, 0.9, 1.2), SPARKLE)


def draw_glasses(canvas: Canvas, face: Face, shape: Shape) -> None:
    """Two rims, a bridge and the arms; the glass is clear, with a glint."""
    if not face.has("Eyeglasses"):
        return
    frame = FRAMES[int((face.scene.frame + 1) * 1.499)]
    rx, ry = 14 + 0.7 * face.scene.frame_shape, 11.2 + face.scene.frame_shape
    thick, power = 2.1 + 0.5 * face.scene.frame, 0.75 + 0.25 * face.scene.frame_shape
    y = EYE_LEVEL + 1.2
    for side in SIDES:
        x = MIDDLE + side * (shape.eye_x + 0.3)
        rim = ellipse(x, y, rx, ry, power)
        glass = canvas.polygon(rim)
        glint = (glass.x - glass.y + 40 * face.scene.gaze) % 60 < 8
        canvas.paint(glass.times(0.05 + 0.10 * glint), np.array([255, 255, 255]))
        canvas.mark(glass, "glasses")
        arm = np.array([(x + side * rx, y - 3), (MIDDLE + side * (shape.half_head + 1), y - 2)])
        canvas.paint(canvas.line(arm, thick * 0.9), frame, part="glasses")
        canvas.paint(canvas.line(rim, thick, 0.15, closed=True), frame, part="glasses")
    inner = shape.eye_x + 0.3 - rx
    bridge = spline(both_sides([(0, y - 3.5), (inner, y - 1.5)]))
    canvas.paint(canvas.line(bridge, thick, 0.15), frame, part="glasses")
