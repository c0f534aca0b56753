"""The named arrays of an `.npz` or HDF5 file, read safely from files that nobody vouches for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import h5py
import numpy as np

from features.errors import DataError
from features.sources.npz import StoredArray, arrays_of

NamedArray: TypeAlias = np.ndarray | StoredArray | h5py.Dataset
Shape: TypeAlias = tuple[tuple[int, ...], str]  # of an array, and its dtype

_MOST_NAMES = 2**20  # of classes
_DEFLATE_RATIO = 1032  # the largest that zlib reaches: https://zlib.net/zlib_tech.html
_SLACK_BYTES = 2**26  # of a dataset that may be left to its fill value


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


def open_arrays(
    path: Path, is_wanted: Callable[[str], bool], names_of_classes: tuple[str, ...]
) -> ArrayFile:
    """Return those arrays of a file that are wanted, and the names of classes.

    Args:
        path: the file.
        is_wanted: tells by its name whether an array is wanted.
        names_of_classes: names of arrays of text, the first of which that the file has holds the
            names of classes. In an HDF5 file it may also be an attribute, as JSON or an array.

    Raises:
        DataError: the file is damaged, or reading it would run code or read other files.
    """
    opener = _open_npz if path.name.lower().endswith(".npz") else _open_hdf5
    return opener(path, is_wanted, names_of_classes)


def texts_of(array: Any) -> list[str]:
    """Return the texts of an array or dataset; ValueError where one is not UTF-8."""
    if not isinstance(array, np.ndarray):
        array = array[...]
    values = np.asarray(array).reshape(-1).tolist()
    texts = [value.decode() if isinstance(value, bytes) else str(value) for value in values]
    for text in texts:
        text.encode()  # a lone surrogate cannot be written to any file
    return texts


def _open_npz(
    path: Path, is_wanted: Callable[[str], bool], names_of_classes: tuple[str, ...]
) -> ArrayFile:
    stored = arrays_of(path)
    arrays = {name: array for name, array in stored.items() if array is not None}
    shapes = {
        name: ((), "no array") if array is None else (array.shape, str(array.dtype))
        for name, array in stored.items()
    }
    wanted: dict[str, NamedArray] = {name: arrays[name] for name in arrays if is_wanted(name)}
    if any(array.dtype.hasobject for array in wanted.values()):
        raise DataError(f"{path} has Python objects, which are not read; expected plain arrays")
    place = next((name for name in names_of_classes if name in arrays), None)
    if place is None:
        return ArrayFile(wanted, None, shapes, None)
    del shapes[place]
    return ArrayFile(wanted, _checked_names(path, place, arrays[place]), shapes, None)


def _open_hdf5(
    path: Path, is_wanted: Callable[[str], bool], names_of_classes: tuple[str, ...]
) -> ArrayFile:
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read as an HDF5 file: {' '.join(str(error).split())[:200]}"
        ) from None
    try:
        is_own = "features" in file and isinstance(
            file.get("features", getlink=True), h5py.HardLink
        )
        if is_own and file.get("features", getclass=True) is h5py.Group:
            raise DataError(
                f"{path} is a feature file, expected images; it was made from them already"
            )
        arrays = {name: _dataset(path, file, name) for name in file if is_wanted(name)}
        names, place = _class_names(path, file, names_of_classes)
        shapes = {
            name: (tuple(file[name].shape), str(file[name].dtype))
            for name in file
            if name != place and _is_dataset(file, name)
        }
        return ArrayFile(arrays, names, shapes, file)
    except BaseException:
        file.close()
        raise


def _is_dataset(file: h5py.File, name: str) -> bool:
    is_here = isinstance(file.get(name, getlink=True), h5py.HardLink)
    return (
        is_here and file.get(name, getclass=True) is h5py.Dataset and file[name].shape is not None
    )


def _dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset; raise DataError unless its bytes are in this file and can be read."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise DataError(f"{path}: {name} is a link; copy the data into the file")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise DataError(f"{path}: {name} is a group, expected an array")
    if dataset.is_virtual or dataset.external:
        raise DataError(f"{path}: {name} lies in another file; copy the data into this one")
    if dataset.shape is None:
        raise DataError(f"{path}: {name} is empty, expected an array")
    claimed, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if claimed > _DEFLATE_RATIO * stored + _SLACK_BYTES:
        raise DataError(
            f"{path}: {name} claims the shape {dataset.shape} but stores {stored:,} bytes; "
            "its images were never written"
        )
    creation = dataset.id.get_create_plist()
    for number in range(creation.get_nfilters()):
        code, *_, label = creation.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            raise DataError(
                f"{path}: {name} is compressed by {label.decode() or code}, which this HDF5 "
                "cannot read; compress it with gzip"
            )
    return dataset


def _class_names(
    path: Path, file: h5py.File, names: tuple[str, ...]
) -> tuple[tuple[str, ...] | None, str]:
    """Return the names of classes, None if there are none, and the dataset they are in, if any."""
    for name in names:
        if name in file.attrs:
            return _names_of_attribute(path, name, file.attrs[name]), ""
        if name in file:
            return _checked_names(path, name, _dataset(path, file, name)), name
    return None, ""


def _names_of_attribute(path: Path, name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, np.ndarray):
        return _checked_names(path, name, value)
    try:
        names = json.loads(value)
        is_list = isinstance(names, list) and all(isinstance(text, str) for text in names)
        return (
            tuple(texts_of(np.array(names, dtype=object))) if is_list else _wrong(path, name, value)
        )
    except (TypeError, ValueError, RecursionError):
        return _wrong(path, name, value)


def _wrong(path: Path, name: str, value: Any) -> tuple[str, ...]:
    raise DataError(f"{path}: attribute {name} is {value!r:.60}, expected json strings") from None


def _checked_names(path: Path, name: str, array: Any) -> tuple[str, ...]:
    is_text = array.dtype.kind in "US" or h5py.check_string_dtype(array.dtype) is not None
    is_text = is_text or (
        array.dtype == object
        and isinstance(array, np.ndarray)
        and all(isinstance(text, str | bytes) for text in array.reshape(-1))
    )
    if not is_text or array.ndim != 1 or len(array) > _MOST_NAMES:
        raise DataError(f"{path}: {name} is {array.dtype}, expected a list of strings")
    try:
        return tuple(texts_of(array))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {name} cannot be read as text: {error}") from None
