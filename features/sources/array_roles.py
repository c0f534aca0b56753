"""What the names of arrays mean: images, labels or splits, of which split of the data."""

from collections.abc import Iterable
from typing import NamedTuple

from features.records import Split

IMAGES, LABELS, SPLIT = "images", "labels", "split"

# The first of several names is taken.
_NAMES = {
    IMAGES: ("images", "image", "imgs", "img", "x", "data", "pixels"),
    LABELS: ("labels", "label", "y", "targets", "target", "class", "fine_labels"),
    SPLIT: ("split", "splits"),
}
_SPLITS = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "val": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "validation": Split.VALIDATION,
    "dev": Split.VALIDATION,
    "test": Split.TEST,
    "testing": Split.TEST,
}
CLASS_NAMES = ("class_names", "label_names", "classes", "target_names")
EXPECTED = "images (or image, x, data), x_train or train_images"


class Role(NamedTuple):
    """What an array holds, and of which split: `x_train` holds images of TRAIN."""

    content: str
    split: Split


# By the names in lower case, more usual ones first: `x_train`, `train_x`, `trainX`.
ROLES = {name: Role(content, Split.NONE) for content, names in _NAMES.items() for name in names} | {
    name: Role(content, split)
    for content in (IMAGES, LABELS)
    for core in _NAMES[content]
    for affix, split in _SPLITS.items()
    for separator in ("_", "")
    for name in (f"{affix}{separator}{core}", f"{core}{separator}{affix}")
}


def role_of(name: str) -> Role | None:
    """Return the role of an array by its name, in upper or lower case; None if it has none."""
    return ROLES.get(name.lower())


def assign(names: Iterable[str]) -> dict[Role, str]:
    """Return the array that plays each role; of several the one with the more usual name."""
    order = {name: number for number, name in enumerate(ROLES)}
    roles: dict[Role, str] = {}
    for name in sorted(names, key=lambda name: (order.get(name.lower(), 0), name)):
        role = role_of(name)
        if role is not None:
            roles.setdefault(role, name)
    return roles
