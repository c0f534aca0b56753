"""Text in feature files: utf-8 of one length a dataset, what is shorter ends in zero bytes.

HDF5 keeps strings of variable length in a heap that has no checksum. A flipped bit there was seen
to crash the library, and to keep it for ever, so no feature file has any, not even as attributes.
"""

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from features.errors import DataError

# HDF5 itself crashes on some attributes of other kinds whose bytes have changed.
_PLAIN = (h5py.h5t.TypeStringID, h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeEnumID)


def encoded(texts: Sequence[str]) -> np.ndarray:
    """Return texts as a dataset takes them: S<bytes of the longest, at least 1> of shape (n,).

    Raises:
        DataError: one contains the character NUL, by which the end of a text is known.
    """
    if spoiled := next((text for text in texts if "\0" in text), None):
        raise DataError(f"{spoiled!r:.300} contains a NUL, which no text may; give it another name")
    values = [text.encode() for text in texts]
    return np.array(values, f"S{max(map(len, values), default=0) or 1}")


def decoded(values: np.ndarray) -> list[str]:
    """Return what `encoded` was given; raises UnicodeDecodeError where it is no utf-8."""
    return [value.decode() for value in values.tolist()]


def is_text(dtype: np.dtype) -> bool:
    """Tell whether a dataset's dtype is utf-8 of a fixed length."""
    known = h5py.check_string_dtype(dtype)
    return known is not None and known.encoding == "utf-8" and known.length is not None


def put_attributes(item: h5py.File | h5py.Dataset, attributes: dict[str, Any]) -> None:
    """Set attributes: texts and numbers."""
    for name, value in attributes.items():
        if isinstance(value, str):
            text = encoded([value])
            dtype = h5py.string_dtype("utf-8", text.dtype.itemsize)
            item.attrs.create(name, text[0], dtype=dtype)
        else:
            item.attrs[name] = value


def attributes_of(item: h5py.File | h5py.Dataset) -> dict[str, Any]:
    """Return all attributes, texts as str; raise DataError where one is not as `put` above."""
    for name in item.attrs:
        kind = item.attrs.get_id(name).get_type()
        if not isinstance(kind, _PLAIN):
            raise DataError(f"its attribute {name!r} is neither text nor a number")
        if isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str():
            raise DataError(f"its attribute {name!r} is a text of variable length")
    values = dict(item.attrs)
    return {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in values.items()
    }
