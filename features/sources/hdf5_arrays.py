"""The named arrays of an HDF5 file in which nothing leads to other files or fills the memory."""

import math
from collections.abc import Set
from pathlib import Path

import h5py

from features.errors import DataError
from features.sources.named_arrays import ArrayFile, NamedArray, checked_names, names_in_json
from features.storage import hdf5_guard
from features.storage.expansion import most_bytes
from features.storage.hdf5_chunks import ChunkedArray, chunk_bytes, filters_of, is_unpacked_here
from features.storage.schema import reading

_DEFLATE_RATIO = 1032  # the largest that zlib reaches: https://zlib.net/zlib_tech.html
_SLACK_BYTES = 2**26  # of a dataset that may be left to its fill value
_SLACK_ROWS = 2**16  # that may take less than a byte each
_LZF = h5py.h5z.FILTER_LZF
_FILTERS = {_LZF: "LZF", 4: "szip", 5: "n-bit", 6: "scale-offset"}
_MOST_CHUNKS = 2**12  # that one image may be spread over


def open_hdf5(path: Path, wanted: Set[str], names_of_classes: tuple[str, ...]) -> ArrayFile:
    """Return those arrays of a file that are wanted, as datasets, and the names of classes.

    Args:
        path: the file.
        wanted: names of arrays, in lower case.
        names_of_classes: names of arrays of text or of attributes, JSON or an array, the first of
            which that the file has holds the names of classes.

    Raises:
        DataError: the file is damaged, goes beyond a bound, or reading it would read other files.
    """
    with reading(str(path)):
        with reading("it cannot be read as an HDF5 file", (OSError,)):
            file = hdf5_guard.opened(path, sorted(wanted | {*names_of_classes}))
        try:
            return _arrays(file, wanted, names_of_classes)
        except BaseException:
            file.close()
            raise


def _arrays(file: h5py.File, wanted: Set[str], names_of_classes: tuple[str, ...]) -> ArrayFile:
    if _is_hard_link(file, "features") and file.get("features", getclass=True) is h5py.Group:
        raise DataError("it is a feature file, expected images; it was made from them already")
    arrays: dict[str, NamedArray] = {
        name: _array(file, name) for name in file if name.lower() in wanted
    }
    names, place = _class_names(file, names_of_classes)
    shapes = {
        name: (tuple(file[name].shape), str(file[name].dtype))
        for name in file
        if name != place and _is_dataset(file, name)
    }
    return ArrayFile(arrays, names, shapes, file)


def _is_hard_link(file: h5py.File, name: str) -> bool:
    return name in file and isinstance(file.get(name, getlink=True), h5py.HardLink)


def _is_dataset(file: h5py.File, name: str) -> bool:
    if not _is_hard_link(file, name) or file.get(name, getclass=True) is not h5py.Dataset:
        return False
    dataset = file[name]
    return not dataset.is_virtual and not dataset.external and dataset.shape is not None


def _array(file: h5py.File, name: str) -> ChunkedArray:
    """Return an array; raise DataError unless its bytes are in this file and can be read."""
    if not _is_hard_link(file, name):
        raise DataError(f"{name} is a link; copy the data into the file")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise DataError(f"{name} is a group, expected an array")
    if dataset.is_virtual or dataset.external:
        raise DataError(f"{name} lies in another file; copy the data into this one")
    if dataset.shape is None:
        raise DataError(f"{name} is empty, expected an array")
    _check_filters(dataset, name)
    _check_size(dataset, name)
    return ChunkedArray(dataset)


def _check_filters(dataset: h5py.Dataset, name: str) -> None:
    """Raise DataError where HDF5 would have to unpack, for it trusts in what it finds.

    The filter LZF is safe where it has room for a whole chunk.
    """
    for code, values in [] if is_unpacked_here(dataset) else filters_of(dataset):
        if code != _LZF or len(values) < 3 or values[2] != chunk_bytes(dataset):
            raise DataError(
                f"{name} is compressed by {_FILTERS.get(code, f'filter {code}')}, which "
                "is not read here; compress it with gzip (h5repack -f GZIP=4)"
            )


def _check_size(dataset: h5py.Dataset, name: str) -> None:
    """Raise DataError where a dataset claims far more than is stored of it."""
    shape, file_bytes = dataset.shape, dataset.file.id.get_filesize()
    claimed = dataset.size * dataset.id.get_type().get_size()
    stored = min(dataset.id.get_storage_size(), file_bytes)
    is_too_large = claimed > _DEFLATE_RATIO * stored + _SLACK_BYTES
    is_too_long = len(shape) > 2 and shape[0] > max(stored, _SLACK_ROWS)
    if is_too_large or is_too_long:
        raise DataError(
            f"{name} claims the shape {shape} but stores {stored:,} bytes; its values were never "
            "written"
        )
    if dataset.dtype.kind == "S" and claimed > most_bytes(file_bytes):
        raise DataError(f"{name} has texts of {claimed:,} bytes in a file of {file_bytes:,}")
    lengths = zip(shape[1:], (dataset.chunks or shape)[1:], strict=True)
    chunks = math.prod(-(-length // chunk) for length, chunk in lengths if chunk)
    if chunks > _MOST_CHUNKS:
        raise DataError(
            f"each row of {name} is spread over {chunks:,} chunks of the shape {dataset.chunks}, "
            f"expected at most {_MOST_CHUNKS:,}; write it in chunks of whole images"
        )


def _class_names(file: h5py.File, names: tuple[str, ...]) -> tuple[tuple[str, ...] | None, str]:
    """Return the names of classes, None if there are none, and the dataset they are in, if any."""
    for name in names:
        if name in file.attrs:
            return names_in_json(name, file.attrs[name]), ""
        if name in file:
            return checked_names(name, _array(file, name)), name
    return None, ""
