"""The attributes of a data set, and the regions of the face in which each one shows.

An entry of ``datasets`` names them; without that they are CelebA's 40, in the order and under the
spellings of its label file, with AttParseNet's regions.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

# A label is 1, 0, or this where nobody knows it: it is left out wherever labels are used. Arrays of
# labels are int8; where all are known they may be bool.
UNKNOWN = -1

# Bit r of a region image stands for the r-th of them; ``masks.regions`` has their polygons.
REGIONS: tuple[str, ...] = (
    "chin",
    "left_cheek",
    "right_cheek",
    "upper_lip",
    "mouth",
    "left_eye",
    "right_eye",
    "nose",
    "left_eyebrow",
    "right_eyebrow",
    "top_of_head",
    "left_ear",
    "right_ear",
    "neck",
)


Groups = Mapping[str, tuple[str, ...]]


def value_name(column: str, value: str) -> str:
    """The name of the attribute that a face has whose ``column`` has this value."""
    return column + "_" + re.sub(r"[^\w-]+", "_", value)


def groups_within(groups: Groups, names: Sequence[str]) -> Groups:
    """The groups that are wholly among ``names``; of part of one, none need be true."""
    return {column: of for column, of in groups.items() if set(of) <= set(names)}


@dataclass(frozen=True)
class AttributeSet:
    """A ``names``, and for each the ``regions`` that it shows in: none where it has no mask.

    ``exclusive`` has the names of which a face has exactly one, by the column that they stand for.
    The labels of such a group are one 1 among 0, or all unknown.
    """

    names: tuple[str, ...]
    regions: tuple[tuple[str, ...], ...]
    exclusive: Groups = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        entry: Mapping[str, str | Iterable[str]] | None,
        unfold: Mapping[str, Sequence[str]] | None = None,
    ) -> "AttributeSet":
        """From ``{name: regions}``, where ``all`` and ``none`` stand for lists; None is CelebA's.

        In place of a name that ``unfold`` has there is one for each of its values, with its
        regions; they exclude each other. In alphabetical order, as CelebA's are: settings reach a
        stage with sorted keys.
        """
        if entry is None:
            return CELEBA
        words: dict[str, tuple[str, ...]] = {"all": REGIONS, "none": ()}
        groups = {
            column: tuple(sorted(value_name(column, value) for value in values))
            for column, values in sorted((unfold or {}).items())
        }
        listed = {
            name: words[of] if isinstance(of, str) else tuple(of)
            for column, of in entry.items()
            for name in groups.get(column, (column,))
        }
        names = tuple(sorted(listed))
        return cls(names, tuple(listed[name] for name in names), groups)

    @cached_property
    def table(self) -> np.ndarray:
        """(A, 14) bool: which regions an attribute shows in."""
        shown = [[region in regions for region in REGIONS] for regions in self.regions]
        return np.array(shown, bool).reshape(len(self.names), len(REGIONS))

    def columns(self, names: Iterable[str]) -> list[int]:
        """Where some of the attributes stand among all; one that is not there is a ValueError."""
        return [self.names.index(name) for name in names]

    def only(self, names: Sequence[str]) -> "AttributeSet":
        """Some of the attributes, in the order of ``names``; ValueError as for ``columns``."""
        regions = tuple(self.regions[k] for k in self.columns(names))
        return AttributeSet(tuple(names), regions, groups_within(self.exclusive, names))

    def to_json(self) -> dict[str, list[str]]:
        """``{name: regions}``, from which ``of`` makes an equal set but for ``exclusive``."""
        return {name: list(of) for name, of in zip(self.names, self.regions, strict=True)}


_CHEEKS = ("left_cheek", "right_cheek")
_EYES = ("left_eye", "right_eye")
_EYEBROWS = ("left_eyebrow", "right_eyebrow")
_EARS = ("left_ear", "right_ear")
_LOWER_FACE = ("chin", *_CHEEKS, "upper_lip", "neck")

_CELEBA_REGIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Attractive", "Blurry", "Male", "Young"), REGIONS),
    **dict.fromkeys(("Bald", "Bangs", "Receding_Hairline", "Wearing_Hat"), ("top_of_head",)),
    **dict.fromkeys(("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"), ("top_of_head",)),
    **dict.fromkeys(("Straight_Hair", "Wavy_Hair"), ("top_of_head",)),
    **dict.fromkeys(("Arched_Eyebrows", "Bushy_Eyebrows"), _EYEBROWS),
    **dict.fromkeys(("Bags_Under_Eyes", "High_Cheekbones", "Rosy_Cheeks", "Sideburns"), _CHEEKS),
    **dict.fromkeys(("Big_Lips", "Mouth_Slightly_Open"), ("mouth",)),
    **dict.fromkeys(("Smiling", "Wearing_Lipstick"), ("mouth",)),
    **dict.fromkeys(("Big_Nose", "Pointy_Nose"), ("nose",)),
    "Narrow_Eyes": _EYES,
    "Mustache": ("upper_lip",),
    "Goatee": ("chin",),
    "Wearing_Earrings": _EARS,
    **dict.fromkeys(("Double_Chin", "Wearing_Necklace", "Wearing_Necktie"), ("neck",)),
    "5_o_Clock_Shadow": _LOWER_FACE,
    "No_Beard": ("chin", *_CHEEKS, "neck"),
    "Oval_Face": ("chin", *_CHEEKS),
    "Pale_Skin": (*_LOWER_FACE, "mouth", "nose"),
    "Chubby": (*_LOWER_FACE, "mouth", "nose", *_EYEBROWS),
    "Eyeglasses": (*_CHEEKS, *_EYES, *_EYEBROWS, *_EARS),
    "Heavy_Makeup": (*_CHEEKS, "mouth", *_EYES, *_EYEBROWS),
}

CELEBA = AttributeSet.of(_CELEBA_REGIONS)
ATTRIBUTES = CELEBA.names
