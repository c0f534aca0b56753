"""The named arrays of an `.npz` or HDF5 file, read safely from files that nobody vouches for."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple, TypeAlias

import h5py
import numpy as np

from features.errors import DataError

NamedArray: TypeAlias = np.ndarray | h5py.Dataset


class ArrayFile(NamedTuple):
    """The arrays of an open file.

    Attributes:
        arrays: the arrays by name; those of an HDF5 file are datasets, not read yet.
        class_names: names of the labels, None where the file has none.
        file: the HDF5 file, which the caller closes; None for an `.npz`.
    """

    arrays: dict[str, NamedArray]
    class_names: tuple[str, ...] | None
    file: h5py.File | None


def open_arrays(path: Path, wanted: Collection[str]) -> ArrayFile:
    """Return those arrays of a file whose names are in `wanted`.

    Raises:
        DataError: the file is damaged, or reading it would run code or read other files.
    """
    return (_open_npz if path.name.lower().endswith(".npz") else _open_hdf5)(path, wanted)


def _open_npz(path: Path, wanted: Collection[str]) -> ArrayFile:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in wanted}
            names = file["class_names"] if "class_names" in file.files else None
    except MemoryError:
        raise
    except Exception as error:  # numpy, zipfile and zlib raise errors of their own
        reason = "Python objects are not read" if "pickle" in str(error) else str(error)
        raise DataError(f"{path} cannot be read as an .npz of plain arrays: {reason}") from None
    if names is not None and (names.dtype.kind != "U" or names.ndim != 1):
        raise DataError(f"{path}: class_names is {names.dtype}, expected a list of strings")
    return ArrayFile(arrays, None if names is None else tuple(names.tolist()), None)


def _open_hdf5(path: Path, wanted: Collection[str]) -> ArrayFile:
    try:
        file = h5py.File(path, "r")
    except OSError:
        raise DataError(f"{path} cannot be read as an HDF5 file; is it whole?") from None
    try:
        if file.get("features", getclass=True) is h5py.Group:
            raise DataError(
                f"{path} is a feature file, expected images; it was made from them already"
            )
        arrays = {name: _dataset(path, file, name) for name in file if name in wanted}
        return ArrayFile(arrays, _class_names(path, file), file)
    except BaseException:
        file.close()
        raise


def _dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset; raise DataError unless its bytes are in this file and can be read."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise DataError(f"{path}: {name} is a link; copy the data into the file")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise DataError(f"{path}: {name} is a group, expected an array")
    if dataset.is_virtual or dataset.external:
        raise DataError(f"{path}: {name} lies in another file; copy the data into this one")
    creation = dataset.id.get_create_plist()
    for number in range(creation.get_nfilters()):
        code, *_, label = creation.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            raise DataError(
                f"{path}: {name} is compressed by {label.decode() or code}, which this HDF5 "
                "cannot read; compress it with gzip"
            )
    return dataset


def _class_names(path: Path, file: h5py.File) -> tuple[str, ...] | None:
    text = file.attrs.get("class_names")
    if text is None:
        return None
    try:
        names = json.loads(text)
    except (TypeError, ValueError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: attribute class_names is {text!r:.60}, expected json strings")
    return tuple(names)
