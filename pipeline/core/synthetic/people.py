"""Who is drawn: the 40 labels, what a person keeps from picture to picture, what a picture adds.

All random numbers of a face are drawn here, always equally many, so that a face with one label
changed is otherwise the same face. ``Face.rng`` gives the textures (strands, stubble, cloth)
their own.
"""

from dataclasses import dataclass, fields

import numpy as np

from pipeline.core.attributes import ATTRIBUTES

FACES_A_PERSON = 3

Rates = dict[str, tuple[float, float]]

# Share of women and of men with the label, near CelebA's (list_attr_celeba.txt, all images).
OF_A_PERSON: Rates = {
    "Young": (0.85, 0.67),
    "Bald": (0.0, 0.05),
    "Big_Lips": (0.30, 0.16),
    "Big_Nose": (0.12, 0.40),
    "Pointy_Nose": (0.41, 0.22),
    "Bushy_Eyebrows": (0.07, 0.24),
    "Arched_Eyebrows": (0.42, 0.05),
    "Chubby": (0.03, 0.10),
    "Narrow_Eyes": (0.10, 0.13),
    "Oval_Face": (0.34, 0.22),
    "Pale_Skin": (0.06, 0.02),
    "Receding_Hairline": (0.05, 0.14),
}
OF_A_PICTURE: Rates = {
    "Bangs": (0.20, 0.09),
    "Blurry": (0.05, 0.05),
    "Eyeglasses": (0.03, 0.12),
    "Heavy_Makeup": (0.66, 0.0),
    "Mouth_Slightly_Open": (0.53, 0.42),
    "No_Beard": (1.0, 0.60),
    "Smiling": (0.53, 0.41),
    "Wearing_Earrings": (0.31, 0.02),
    "Wearing_Hat": (0.03, 0.08),
    "Wearing_Necklace": (0.20, 0.01),
    "Wearing_Necktie": (0.0, 0.17),
}
HAIR_COLOURS = ("Black_Hair", "Brown_Hair", "Blond_Hair", "Gray_Hair")
BEARDS: Rates = {
    "5_o_Clock_Shadow": (0.0, 0.58),
    "Goatee": (0.0, 0.38),
    "Mustache": (0.0, 0.25),
    "Sideburns": (0.0, 0.33),
}


@dataclass(frozen=True)
class Build:
    """What a person keeps, each a number in [-1, 1]."""

    tone: float
    width: float
    chin: float
    skull: float
    eye_distance: float
    eye_size: float
    nose: float
    lips: float
    iris: float
    hair_shade: float
    hair_length: float
    hair_volume: float
    hairline: float


@dataclass(frozen=True)
class Scene:
    """What one picture adds, each a number in [-1, 1]."""

    turn: float
    tilt: float
    size: float
    shift_x: float
    shift_y: float
    light_x: float
    light_y: float
    exposure: float
    grain: float
    softness: float
    gaze: float
    smile: float
    opening: float
    eyelids: float
    crookedness: float
    waves: float
    makeup: float
    frame: float
    frame_shape: float


@dataclass(frozen=True)
class Face:
    """One face to draw: its ``labels`` by name, its numbers, and the key of its textures."""

    labels: dict[str, bool]
    build: Build
    scene: Scene
    key: tuple[int, int]

    def has(self, label: str) -> bool:
        return self.labels[label]

    def rng(self, texture: str) -> np.random.Generator:
        """Random numbers for one texture; the same whatever else is drawn."""
        return np.random.default_rng([*self.key, *texture.encode()])

    @property
    def has_long_hair(self) -> bool:
        return not self.has("Male") and not self.has("Bald") and self.build.hair_length > -0.75


def face(seed: int, index: int) -> Face:
    """Face ``index`` (from 0) of a seed: a function of the two and of nothing else."""
    person = np.random.default_rng([seed, 1, index // FACES_A_PERSON])
    picture = np.random.default_rng([seed, 2, index])
    build = Build(*person.uniform(-1, 1, len(fields(Build))).tolist())
    scene = Scene(*picture.uniform(-1, 1, len(fields(Scene))).tolist())
    return Face(_labels(person, picture), build, scene, (seed, index))


def _labels(person: np.random.Generator, picture: np.random.Generator) -> dict[str, bool]:
    """All 40 labels, consistent with one another."""
    male = person.random() < 0.42
    has = dict.fromkeys(ATTRIBUTES, False) | {"Male": male}
    has |= _random_labels(person, OF_A_PERSON, male) | _random_labels(picture, OF_A_PICTURE, male)
    beards = _random_labels(picture, BEARDS, male)
    colour, double_chin = person.random(2).tolist()
    style, cheekbones, bags, rosy, lipstick, attractive = picture.random(6).tolist()

    if has["Bald"]:
        has |= {"Bangs": False, "Receding_Hairline": False, "Wearing_Hat": False}
    else:
        has |= _hair_colour(colour, male, has["Young"])
        straight, wavy = (0.24, 0.13) if male else (0.20, 0.47)
        has["Straight_Hair"] = style < straight
        has["Wavy_Hair"] = straight <= style < straight + wavy
        has["Bangs"] &= not has["Receding_Hairline"]
        has["Wearing_Hat"] &= not has["Receding_Hairline"]
    if not has["No_Beard"]:
        has |= beards
        has["5_o_Clock_Shadow"] |= not any(beards.values())
    has["Oval_Face"] &= not has["Chubby"]
    has["Pointy_Nose"] &= not has["Big_Nose"]
    has["Double_Chin"] = double_chin < (0.5 if has["Chubby"] else 0.02)
    has["High_Cheekbones"] = cheekbones < (0.72 if has["Smiling"] else 0.20)
    has["Bags_Under_Eyes"] = bags < (0.16 if has["Young"] else 0.38)
    has["Rosy_Cheeks"] = not male and rosy < (0.15 if has["Heavy_Makeup"] else 0.03)
    has["Wearing_Lipstick"] = not male and (has["Heavy_Makeup"] or lipstick < 0.42)
    likely = attractive < (0.50 if male else 0.82)
    has["Attractive"] = has["Young"] and not has["Chubby"] and likely
    return has


def _random_labels(rng: np.random.Generator, rates: Rates, male: bool) -> dict[str, bool]:
    numbers = rng.random(len(rates)).tolist()
    return {name: x < rates[name][male] for name, x in zip(rates, numbers, strict=True)}


def _hair_colour(number: float, male: bool, young: bool) -> dict[str, bool]:
    """One of the four named colours, or none of them (red)."""
    gray = 0.01 if young else 0.22
    others = (0.32, 0.20, 0.03) if male else (0.25, 0.29, 0.24)
    borders = np.cumsum([*((1 - gray) * share for share in others), gray])
    chosen = int(np.searchsorted(borders, number, side="right"))
    return {name: chosen == i for i, name in enumerate(HAIR_COLOURS)}
