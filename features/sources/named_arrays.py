"""The named arrays of a file that nobody vouches for; those of an `.npz` are opened here."""

import json
from collections.abc import Set
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import h5py
import numpy as np

from features.errors import DataError
from features.sources.npz import StoredArray, arrays_of
from features.storage.hdf5 import DAMAGE
from features.storage.hdf5_chunks import ChunkedArray
from features.storage.schema import reading

NamedArray: TypeAlias = np.ndarray | StoredArray | ChunkedArray
Shape: TypeAlias = tuple[tuple[int, ...], str]  # of an array, and its dtype

_MOST_NAMES = 2**20  # of classes


class ArrayFile(NamedTuple):
    """The arrays of an open file.

    Attributes:
        arrays: the arrays by name; none of them is read yet.
        class_names: names of the labels, None where the file has none.
        shapes: shape and dtype of every array, also of those that were not asked for; without
            the one that holds the class names.
        file: the HDF5 file, which the caller closes; None for an `.npz`.
    """

    arrays: dict[str, NamedArray]
    class_names: tuple[str, ...] | None
    shapes: dict[str, Shape]
    file: h5py.File | None


def texts_of(array: Any) -> list[str]:
    """Return the texts of an array or dataset; ValueError where one is not UTF-8."""
    if not isinstance(array, np.ndarray):
        array = array[...]
    values = np.asarray(array).reshape(-1).tolist()
    texts = [value.decode() if isinstance(value, bytes) else str(value) for value in values]
    for text in texts:
        text.encode()  # a lone surrogate cannot be written to any file
    return texts


def open_npz(path: Path, wanted: Set[str], names_of_classes: tuple[str, ...]) -> ArrayFile:
    """Return those arrays of an `.npz` that are wanted, and the names of classes.

    Args:
        path: the file.
        wanted: names of arrays, in lower case.
        names_of_classes: names of arrays of text, the first of which that the file has holds the
            names of classes.

    Raises:
        DataError: the file is damaged, or reading it would run code.
    """
    stored = arrays_of(path)
    arrays = {name: array for name, array in stored.items() if array is not None}
    shapes = {
        name: ((), "no array") if array is None else (array.shape, str(array.dtype))
        for name, array in stored.items()
    }
    chosen: dict[str, NamedArray] = {
        name: array for name, array in arrays.items() if name.lower() in wanted
    }
    if any(array.dtype.hasobject for array in chosen.values()):
        raise DataError(f"{path} has Python objects, which are not read; expected plain arrays")
    place = next((name for name in names_of_classes if name in arrays), None)
    if place is None:
        return ArrayFile(chosen, None, shapes, None)
    del shapes[place]
    with reading(str(path)):
        return ArrayFile(chosen, checked_names(place, arrays[place]), shapes, None)


def names_in_json(name: str, value: Any) -> tuple[str, ...]:
    """Return the names of classes in an attribute: JSON, or an array of strings.

    Raises:
        DataError: it holds something else.
    """
    if isinstance(value, np.ndarray):
        return checked_names(name, value)
    try:
        names = json.loads(value)
        if isinstance(names, list) and all(isinstance(text, str) for text in names):
            return tuple(texts_of(np.array(names, dtype=object)))
    except (TypeError, ValueError, RecursionError):
        pass
    raise DataError(f"attribute {name} is {value!r:.60}, expected json strings")


def checked_names(name: str, array: Any) -> tuple[str, ...]:
    """Return the names of classes in an array or dataset.

    Raises:
        DataError: it is no list of strings.
    """
    is_text = array.dtype.kind in "US" or h5py.check_string_dtype(array.dtype) is not None
    is_text = is_text or (
        array.dtype == object
        and isinstance(array, np.ndarray)
        and all(isinstance(text, str | bytes) for text in array.reshape(-1))
    )
    if not is_text or array.ndim != 1 or len(array) > _MOST_NAMES:
        raise DataError(f"{name} is {array.dtype}, expected a list of strings")
    try:
        return tuple(texts_of(array))
    except (*DAMAGE, ValueError) as error:
        raise DataError(f"{name} cannot be read as text: {error}") from None
