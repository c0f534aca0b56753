"""What names say: which files are images, and the label and part that the folders above give."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from features.records import UNLABELLED, Split

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif",
)  # fmt: skip

SPLIT_NAMES = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "validation": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "val": Split.VALIDATION,
    "test": Split.TEST,
    "testing": Split.TEST,
}

_LEFT_BY_SYSTEMS = {"__macosx", "thumbs.db"}
_INTEGER = re.compile(r"-?[0-9]{1,18}")


class Layout(NamedTuple):
    """Labels (int32, (N,), -1 unlabelled), splits (uint8, (N,)) and the names of the labels."""

    labels: np.ndarray
    splits: np.ndarray
    class_names: tuple[str, ...]


def is_image(name: str) -> bool:
    """Tell by its suffix whether a file is taken as an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder name is one that nobody put there as data."""
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def layout(paths: Sequence[str]) -> Layout:
    """Return labels and splits of images by the folders they lie in.

    The first folder is the class; deeper ones belong to it, and images beside the class folders
    are unlabelled. Where the first folders are parts (train, validation, test and the like, in
    any case), the class is the folder below them. They are taken as parts if all of them are
    named so, or at least two different ones: a single class named "train" is not a part.

    Args:
        paths: paths relative to the source, with `/` as separator.
    """
    in_parts = _are_parts({path.partition("/")[0] for path in paths if "/" in path})
    names, splits = [], np.zeros(len(paths), np.uint8)
    for index, path in enumerate(paths):
        folder, slash, below = path.partition("/")
        if in_parts and slash:
            splits[index] = SPLIT_NAMES.get(folder.lower(), Split.NONE)
            folder, slash, below = below.partition("/")
        names.append(folder if slash else "")
    labels, class_names = number_labels(names)
    return Layout(labels, splits, class_names)


def _are_parts(folders: Iterable[str]) -> bool:
    found = {SPLIT_NAMES.get(folder.lower()) for folder in folders}
    return bool(found) and (None not in found or len(found) > 2)


def unwrap(paths: Sequence[str]) -> list[str]:
    """Return the paths without the one top folder that holds them all, if there is one.

    A top folder named like a part of the data is no wrapper.
    """
    tops = {path.partition("/")[0] for path in paths}
    if len(tops) == 1 and tops.pop().lower() not in SPLIT_NAMES:
        below = [path.partition("/")[2] for path in paths]
        return below if all(below) else list(paths)
    return list(paths)


def number_labels(names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number class names in sorted order, as numbers where all of them are integers.

    Args:
        names: the class of each image, empty where it has none.

    Returns:
        Labels (int32, (N,), -1 where the name is empty) and the distinct names in their order.
    """
    found = set(names) - {""}
    if all(_INTEGER.fullmatch(name) for name in found):
        class_names = sorted(found, key=lambda name: (int(name), name))
    else:
        class_names = sorted(found)
    numbers = {"": UNLABELLED} | {name: number for number, name in enumerate(class_names)}
    labels = np.fromiter((numbers[name] for name in names), np.int32, len(names))
    return labels, tuple(class_names)
