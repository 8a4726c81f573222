"""The names of a drawn face's parts; a part's index is its value in the part map."""

PARTS: tuple[str, ...] = (
    "background",
    "skin",
    "brows",
    "eyes",
    "glasses",
    "ears",
    "earrings",
    "nose",
    "mouth",
    "lips",
    "neck",
    "necklace",
    "cloth",
    "hair",
    "hat",
)
PART = {name: index for index, name in enumerate(PARTS)}
