"""Texts, attributes and blocks of values in HDF5 files, kept where damage can be found.

HDF5 stores strings of variable length in a heap that has no checksum. A flipped bit there was seen
to crash the library, and once to keep it busy for ever. So a feature file holds text as utf-8 of
one length a dataset, shorter texts being filled up with zero bytes; attributes do the same.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np

from features.errors import DataError
from features.storage.expansion import most_bytes
from features.storage.hdf5_chunks import ChunkedArray
from features.storage.texts import Texts

BLOCK_BYTES = 2**26  # read at a time where a whole dataset is gone through
MOST_TEXT_BYTES = 2**20  # of one text, as utf-8

# What h5py raises where the bytes of a file have changed, or a value does not fit into memory.
DAMAGE = (OSError, RuntimeError, MemoryError)

# HDF5 itself crashes on some attributes of other kinds whose bytes have changed.
_PLAIN = (h5py.h5t.TypeStringID, h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeEnumID)


def encoded(texts: Sequence[str]) -> np.ndarray:
    """Return texts as a dataset takes them: S<bytes of the longest, at least 1> of shape (n,).

    Raises:
        DataError: a text contains the character NUL, which marks the end of a text in the file,
            or it is longer than a text may be.
    """
    if spoiled := next((text for text in texts if "\0" in text), None):
        raise DataError(f"{spoiled!r:.300} contains a NUL, which no text may; give it another name")
    values = [text.encode() for text in texts]
    width = max(map(len, values), default=0) or 1
    if width > MOST_TEXT_BYTES:
        raise DataError(
            f"a text of {width:,} bytes, expected at most {MOST_TEXT_BYTES:,}: it begins with "
            f"{max(texts, key=len)[:60]!r}"
        )
    return np.array(values, f"S{width}")


def is_text(dtype: np.dtype) -> bool:
    """Tell whether a dataset's dtype is utf-8 of a fixed length."""
    known = h5py.check_string_dtype(dtype)
    return known is not None and known.encoding == "utf-8" and known.length is not None


def blocks(array: Any) -> Iterator[np.ndarray]:
    """Yield the rows of an array, such as a `ChunkedArray`, in blocks of at most 64 MiB."""
    row_bytes = max(1, array.dtype.itemsize * int(np.prod(array.shape[1:])))
    rows, chunk = max(1, BLOCK_BYTES // row_bytes), (array.chunks or (1,))[0]
    step = max(1, rows // chunk) * chunk if chunk <= rows else rows
    for start in range(0, len(array), step):
        yield array[start : start + step]


def texts_of(dataset: h5py.Dataset) -> Texts:
    """Return all texts of a dataset; UnicodeDecodeError where they are not utf-8.

    Raises:
        DataError: they take far more memory than the file has bytes.
    """
    most, count = most_bytes(dataset.file.id.get_filesize()), 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal count
        for block in blocks(ChunkedArray(dataset)):
            count += int(np.strings.str_len(block).sum())
            if count > most:
                raise DataError(f"it has texts of more than {most:,} bytes in all")
            yield block

    return Texts.of_bytes(counted())


def put_attributes(item: h5py.File | h5py.Dataset, attributes: dict[str, Any]) -> None:
    """Set attributes, which may be texts or numbers."""
    for name, value in attributes.items():
        if isinstance(value, str):
            text = encoded([value])
            dtype = h5py.string_dtype("utf-8", text.dtype.itemsize)
            item.attrs.create(name, text[0], dtype=dtype)
        else:
            item.attrs[name] = value


def attributes_of(item: h5py.File | h5py.Dataset) -> dict[str, Any]:
    """Return all attributes, texts as str.

    Raises:
        DataError: an attribute is of a kind that `put_attributes` never writes.
    """
    attributes, values = item.attrs, {}
    for name in attributes:
        attribute = attributes.get_id(name)
        kind = attribute.get_type()
        if not isinstance(kind, _PLAIN):
            raise DataError(f"its attribute {name!r} is neither text nor a number")
        if isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str():
            raise DataError(f"its attribute {name!r} is a text of variable length")
        if attribute.shape != ():
            raise DataError(f"its attribute {name!r} is an array, expected one text or number")
        value = attributes[name]
        values[name] = value.decode() if isinstance(value, bytes) else value
    return values
