"""What the names of arrays mean: images, labels or splits, of which split of the data."""

from collections.abc import Iterable
from typing import NamedTuple

from features.records import Split

IMAGES, LABELS, SPLIT = "images", "labels", "split"

# The first of several names is taken.
_NAMES = {
    IMAGES: ("images", "image", "imgs", "x", "data"),
    LABELS: ("labels", "label", "y", "targets", "target"),
    SPLIT: ("split", "splits"),
}
_SPLITS = {
    "train": Split.TRAIN,
    "val": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "validation": Split.VALIDATION,
    "test": Split.TEST,
}
CLASS_NAMES = ("class_names", "label_names", "classes", "target_names")
EXPECTED = "images (or image, x, data), x_train or train_images"


class Role(NamedTuple):
    """What an array holds, and of which split: `x_train` holds images of TRAIN."""

    content: str
    split: Split


# By the names in lower case.
ROLES = {name: Role(content, Split.NONE) for content, names in _NAMES.items() for name in names} | {
    name: Role(content, split)
    for content in (IMAGES, LABELS)
    for core in _NAMES[content]
    for affix, split in _SPLITS.items()
    for name in (f"{affix}_{core}", f"{core}_{affix}")
}


def role_of(name: str) -> Role | None:
    """Return the role of an array by its name, in upper or lower case; None if it has none."""
    return ROLES.get(name.lower())


def assign(names: Iterable[str]) -> dict[Role, str]:
    """Return the array that plays each role; of several the one with the more usual name."""

    def usual(name: str) -> int:
        word = name.lower()
        affixes = [f"{affix}_" for affix in _SPLITS], [f"_{affix}" for affix in _SPLITS]
        for prefix in affixes[0]:
            word = word.removeprefix(prefix)
        for suffix in affixes[1]:
            word = word.removesuffix(suffix)
        content = _content(word)
        return _NAMES[content].index(word) if content else 0

    roles: dict[Role, str] = {}
    for name in sorted(names, key=lambda name: (usual(name), name)):
        role = role_of(name)
        if role is not None:
            roles.setdefault(role, name)
    return roles


def _content(word: str) -> str | None:
    return next((content for content, words in _NAMES.items() if word in words), None)
