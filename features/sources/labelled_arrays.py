"""The arrays of a file that hold images, labels and splits, and whether they fit each other.

Arrays that do not fit raise ValueError here; the caller knows the file's name.
"""

from typing import NamedTuple

import numpy as np

from features.records import UNLABELLED, Split
from features.sources.named_arrays import NamedArray

_IMAGES, _LABELS = ("images", "x", "data"), ("labels", "y")
_SPLITS = {"train": Split.TRAIN, "val": Split.VALIDATION, "test": Split.TEST}  # x_train, y_train
NAMES = {*_IMAGES, *_LABELS, "split"} | {f"{array}_{split}" for array in "xy" for split in _SPLITS}

_CHANNELS = (1, 3, 4)


class LabelledArrays(NamedTuple):
    """N consecutive images of a file, with int64 labels and uint8 splits of shape (N,)."""

    images: NamedArray
    labels: np.ndarray
    splits: np.ndarray


def find_labelled_arrays(arrays: dict[str, NamedArray]) -> list[LabelledArrays]:
    """Return the images of a file with their labels and splits.

    Where they come by split, as x_train, x_val and x_test, the list has an item for each.

    Raises:
        ValueError: there are no images, or an array has another dtype or shape than expected.
    """
    if name := _first(_IMAGES, arrays):
        images = _images(name, arrays)
        labels = _integers(_first(_LABELS, arrays), arrays, len(images), UNLABELLED)
        splits = _integers("split", arrays, len(images), Split.NONE)
        if splits.size and not 0 <= splits.min() <= splits.max() <= max(Split):
            codes = ", ".join(f"{split.value} {split.name.lower()}" for split in Split)
            raise ValueError(f"split goes from {splits.min()} to {splits.max()}, expected {codes}")
        return [LabelledArrays(images, labels, splits.astype(np.uint8))]
    sections = []
    for name, split in _SPLITS.items():
        if f"x_{name}" in arrays:
            images = _images(f"x_{name}", arrays)
            labels = _integers(f"y_{name}", arrays, len(images), UNLABELLED)
            splits = np.full(len(images), split, np.uint8)
            sections.append(LabelledArrays(images, labels, splits))
    if not sections:
        raise ValueError(f"no array of images, expected one called {', '.join(_IMAGES)} or x_train")
    return sections


def number_integers(
    labels: np.ndarray, class_names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return int32 labels that are indices into the class names, and those names.

    Raises:
        ValueError: a label is below -1, or has no name where names are given.
    """
    if labels.size and labels.min() < UNLABELLED:
        raise ValueError(f"label {labels.min()}, expected 0 and up, or -1 where unlabelled")
    if class_names is None:
        values = np.unique(labels[labels != UNLABELLED])
        class_names = tuple(str(value) for value in values)
        labels = np.where(labels == UNLABELLED, labels, np.searchsorted(values, labels))
    elif labels.size and labels.max() >= len(class_names):
        raise ValueError(f"label {labels.max()}, but class_names has {len(class_names)} names")
    return labels.astype(np.int32), class_names


def _first(names: tuple[str, ...], arrays: dict[str, NamedArray]) -> str:
    return next((name for name in names if name in arrays), "")


def _images(name: str, arrays: dict[str, NamedArray]) -> NamedArray:
    images = arrays[name]
    shape, dtype = images.shape, images.dtype
    if dtype.kind != "u" or dtype.itemsize > 2:
        raise ValueError(
            f"{name} is {dtype}, expected uint8 (0 to 255) or uint16; values from 0 to 1 are "
            "converted by (255 * values).round().astype('uint8')"
        )
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in _CHANNELS):
        hint = "; move the channels to the end" if shape[1:2] in [(c,) for c in _CHANNELS] else ""
        raise ValueError(f"{name} has shape {shape}, expected (N, H, W) or (N, H, W, 1|3|4){hint}")
    if 0 in shape[1:]:
        raise ValueError(f"{name} has shape {shape}: images without pixels")
    return images


def _integers(name: str, arrays: dict[str, NamedArray], count: int, default: int) -> np.ndarray:
    """Return an array of `count` integers as int64; all are `default` if the file lacks it."""
    if name not in arrays:
        return np.full(count, default, np.int64)
    array = arrays[name]
    if array.dtype.kind not in "iu" or array.shape not in ((count,), (count, 1)):
        raise ValueError(
            f"{name} is {array.dtype} of shape {array.shape}, expected integers of shape "
            f"({count},), one for each image"
        )
    return array[...].reshape(count).astype(np.int64)
