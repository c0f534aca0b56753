"""What names mean: which files are images, and which labels and splits their folders give."""

import posixpath
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


def kind_of(name: str) -> str:
    """Return what a file that is no image is counted as: its suffix, in lower case."""
    return posixpath.splitext(name)[1].lower() or "without a suffix"


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is hidden, or left behind by an operating system."""
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def layout(paths: Sequence[str]) -> Layout:
    """Return labels and splits of images by the folders they lie in.

    The first folder is the class; deeper folders belong to it, and images beside the class folders
    are unlabelled. Where the first folders are splits (train, validation, test and the like, in
    upper or lower case), the class is the folder below. They are taken as splits if all of them
    have such names, or at least two different splits occur among them: a class that happens to be
    called "train" is no split.

    Args:
        paths: paths relative to the source, with `/` as separator.
    """
    in_splits = _are_splits({path.partition("/")[0] for path in paths if "/" in path})
    names, splits = [], np.zeros(len(paths), np.uint8)
    for index, path in enumerate(paths):
        folder, slash, below = path.partition("/")
        if in_splits and slash:
            splits[index] = SPLIT_NAMES.get(folder.lower(), Split.NONE)
            folder, slash, below = below.partition("/")
        names.append(folder if slash else "")
    labels, class_names = number_labels(names)
    return Layout(labels, splits, class_names)


def _are_splits(folders: Iterable[str]) -> bool:
    splits = {SPLIT_NAMES.get(folder.lower()) for folder in folders}
    return bool(splits) and (None not in splits or len(splits) > 2)


def unwrap(paths: Sequence[str]) -> list[str]:
    """Return the paths without the top folder that holds all of them, if there is one.

    A top folder that is named like a split stays.
    """
    tops = {path.partition("/")[0] for path in paths}
    if len(tops) == 1 and tops.pop().lower() not in SPLIT_NAMES:
        below = [path.partition("/")[2] for path in paths]
        return below if all(below) else list(paths)
    return list(paths)


def number_labels(names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number class names in sorted order, in numerical order where all of them are integers.

    Args:
        names: the class of each image, empty where it has none.

    Returns:
        Labels (int32, (N,), -1 where the name is empty) and the distinct names in their order.
    """
    distinct = set(names) - {""}
    if all(_INTEGER.fullmatch(name) for name in distinct):
        class_names = sorted(distinct, key=lambda name: (int(name), name))
    else:
        class_names = sorted(distinct)
    numbers = {"": UNLABELLED} | {name: number for number, name in enumerate(class_names)}
    labels = np.fromiter((numbers[name] for name in names), np.int32, len(names))
    return labels, tuple(class_names)
