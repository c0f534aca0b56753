"""The arrays of a file that hold images, labels and splits, and whether they fit each other.

Arrays that do not fit raise ValueError here; the caller knows the file's name.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import h5py
import numpy as np

from features.decoding.limits import MAX_PIXELS
from features.records import UNLABELLED, Split
from features.sources.array_roles import EXPECTED, IMAGES, LABELS, SPLIT, Role, assign, role_of
from features.sources.layout import number_labels
from features.sources.named_arrays import NamedArray, Shape, texts_of
from features.storage.hdf5 import DAMAGE

_CHANNELS = (1, 3, 4)
_SCANNED_BYTES = 2**26  # of images that are looked through at a time
_ONES = (Split.TRAIN, Split.VALIDATION, Split.TEST)
_LISTED = 12  # arrays that an error names


class LabelledArrays(NamedTuple):
    """N consecutive images of a file, with their labels and uint8 splits of shape (N,).

    Labels are int64 of shape (N,), or a list of N names.
    """

    images: NamedArray
    labels: np.ndarray | list[str]
    splits: np.ndarray


def find_labelled_arrays(
    arrays: dict[str, NamedArray], shapes: Mapping[str, Shape]
) -> tuple[list[LabelledArrays], list[str]]:
    """Return the images of a file with their labels and splits, and the names of arrays unread.

    Where they come by split, as x_train, x_val and x_test, the list has an item for each. Arrays
    that were not read are named where they have a row for each image, as labels have, or hold
    images themselves.

    Args:
        arrays: the arrays that have a role.
        shapes: shape and dtype of every array in the file.

    Raises:
        ValueError: there are no images, or an array has another dtype or shape than expected.
    """
    roles = assign(arrays)
    if Role(IMAGES, Split.NONE) in roles:
        roles = {role: name for role, name in roles.items() if role.split == Split.NONE}
        sections = [_section(roles, arrays, Split.NONE)]
    else:
        splits = [split for split in _ONES if Role(IMAGES, split) in roles]
        roles = {role: name for role, name in roles.items() if role.split in splits}
        sections = [_section(roles, arrays, split) for split in splits]
    if not sections:
        listed = [f"{name} {shape} {dtype}" for name, (shape, dtype) in shapes.items()]
        raise ValueError(
            f"no array of images, expected one called {EXPECTED}; it has "
            f"{', '.join(listed[:_LISTED]) or 'no arrays'}"
        )
    lengths = {len(section.images) for section in sections}
    used = set(roles.values())
    unread = [
        name
        for name, (shape, _) in shapes.items()
        if name not in used
        and ((len(shape) in (1, 2) and shape[0] in lengths) or _holds_images(name))
    ]
    return sections, unread


def _holds_images(name: str) -> bool:
    role = role_of(name)
    return role is not None and role.content == IMAGES


def number_all(
    sections: Sequence[LabelledArrays], class_names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return int32 labels of all sections that are indices into the class names, and those names.

    Raises:
        ValueError: a label is below -1, or has no name where names are given.
    """
    if all(isinstance(section.labels, np.ndarray) for section in sections):
        labels = np.concatenate([np.asarray(section.labels) for section in sections])
        return number_integers(labels, class_names)
    names = [str(label) for section in sections for label in section.labels]
    if class_names is None or not set(names) <= {"", *class_names}:
        return number_labels(names)
    numbers = {"": UNLABELLED} | {name: number for number, name in enumerate(class_names)}
    return np.array([numbers[name] for name in names], np.int32), class_names


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


def check_words(name: str, images: NamedArray) -> None:
    """Raise ValueError where uint16 images hold 8 or 12 bits, and would all be nearly black.

    Of others only the first images are looked at.
    """
    if images.dtype.itemsize != 2:
        return
    step = max(1, _SCANNED_BYTES // (2 * int(np.prod(images.shape[1:]))))
    top = 0
    for start in range(0, len(images), step):
        with suppress(*DAMAGE):  # a damaged image is rejected when it is read
            top = max(top, int(images[start : start + step].max()))
        if top >= 1 << 12:
            return
    if top:
        bits = 8 if top < 1 << 8 else 12
        values = name if bits == 8 else f"({name} >> 4)"
        raise ValueError(
            f"{name} is {images.dtype}, but its values end at {top:,}: they have {bits} bits, and "
            f"would be nearly black; convert them by {values}.astype('uint8')"
        )


def _section(
    roles: Mapping[Role, str], arrays: dict[str, NamedArray], split: Split
) -> LabelledArrays:
    name = roles[Role(IMAGES, split)]
    images = _images(name, arrays)
    check_words(name, images)
    count, labels_name = len(images), roles.get(Role(LABELS, split), "")
    if labels_name and _is_text(arrays[labels_name]):
        labels: np.ndarray | list[str] = _names(labels_name, arrays, count)
    else:
        labels = _integers(labels_name, arrays, count, UNLABELLED)
    if split != Split.NONE:
        return LabelledArrays(images, labels, np.full(count, split, np.uint8))
    splits = _integers(roles.get(Role(SPLIT, split), ""), arrays, count, Split.NONE)
    if splits.size and not 0 <= splits.min() <= splits.max() <= max(Split):
        codes = ", ".join(f"{code.value} {code.name.lower()}" for code in Split)
        raise ValueError(f"split goes from {splits.min()} to {splits.max()}, expected {codes}")
    return LabelledArrays(images, labels, splits.astype(np.uint8))


def _is_text(array: NamedArray) -> bool:
    return array.dtype.kind in "US" or h5py.check_string_dtype(array.dtype) is not None


def _names(name: str, arrays: dict[str, NamedArray], count: int) -> list[str]:
    array = arrays[name]
    if array.shape not in ((count,), (count, 1)):
        raise ValueError(f"{name} has shape {array.shape}, expected ({count},), one for each image")
    return [text.strip() for text in texts_of(array)]


def _images(name: str, arrays: dict[str, NamedArray]) -> NamedArray:
    images = arrays[name]
    shape, dtype = images.shape, images.dtype
    if dtype.kind != "u" or dtype.itemsize > 2:
        advice = (
            f"whole values from 0 to 255 are converted by {name}.astype('uint8')"
            if dtype.kind in "iu"
            else "values from 0 to 1 are converted by (255 * values).round().astype('uint8')"
        )
        raise ValueError(f"{name} is {dtype}, expected uint8 (0 to 255) or uint16; {advice}")
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in _CHANNELS):
        hint = "; move the channels to the end" if shape[1:2] in [(c,) for c in _CHANNELS] else ""
        raise ValueError(f"{name} has shape {shape}, expected (N, H, W) or (N, H, W, 1|3|4){hint}")
    if 0 in shape[1:]:
        raise ValueError(f"{name} has shape {shape}: images without pixels")
    if shape[1] * shape[2] > MAX_PIXELS:
        raise ValueError(f"{name} has shape {shape}: images of more than {MAX_PIXELS:,} pixels")
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
    values = array[...].reshape(count)
    if values.size and values.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} has the value {values.max()}, expected numbers of classes")
    return values.astype(np.int64)
