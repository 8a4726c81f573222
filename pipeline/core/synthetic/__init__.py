"""Faces drawn with NumPy and OpenCV: picture, labels, landmarks and parts, all known exactly.

``people`` decides who is drawn, ``geometry`` makes the 68 points, ``skin``, ``features``,
``hair`` and ``dress`` paint on the canvas of ``shapes``, ``camera`` takes the picture. All that
draws belongs here; it uses the single modules alone.
"""

from pipeline.core.geometry import HEIGHT, WIDTH
from pipeline.core.synthetic import dress, features, hair
from pipeline.core.synthetic.camera import Drawing, take_picture
from pipeline.core.synthetic.geometry import Shape
from pipeline.core.synthetic.people import Face
from pipeline.core.synthetic.shapes import Canvas

# From the back to the front: what comes later covers what came before.
STEPS = (
    dress.draw_background,
    hair.draw_hair_behind,
    dress.draw_neck,
    dress.draw_clothes,
    dress.draw_necklace,
    features.draw_ears,
    features.draw_skin,
    features.draw_wrinkles,
    features.draw_nose,
    features.draw_eyes,
    features.draw_brows,
    features.draw_mouth,
    features.draw_beard,
    hair.draw_hair,
    hair.draw_hat,
    dress.draw_earrings,
    dress.draw_glasses,
)


def draw(face: Face) -> Drawing:
    """Draw one face; equal faces give equal pixels."""
    canvas, shape = Canvas(HEIGHT, WIDTH), Shape(face)
    for step in STEPS:
        step(canvas, face, shape)
    return take_picture(canvas, face, shape.points)
