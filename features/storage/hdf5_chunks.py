"""Datasets of HDF5 files, whose chunks are found, read and unpacked here.

HDF5 crashes where the index of the chunks is damaged, and where less was unpacked than a whole
chunk: it reads on behind the end, which does harm on one day and none on another. So the index is
gone through once, which `hdf5_walk` has tried, and chunks are read from the file itself, and
unpacked where they are compressed by gzip, shuffled, or have a checksum. Of other filters and types
all is left to HDF5, and `hdf5_walk` reads every chunk beforehand.
"""

import itertools
import math
import os
import zlib
from array import array
from functools import cached_property
from typing import Any

import h5py
import numpy as np

from features.storage.row_array import RowArray

_SHUFFLE, _GZIP = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE
_CHECKSUM, _CHECKSUM_BYTES = h5py.h5z.FILTER_FLETCHER32, 4
_MOST_FILTERS = 8


def filters_of(dataset: h5py.Dataset) -> list[tuple[int, tuple[int, ...]]]:
    """Return number and values of each filter, in the order in which they were applied."""
    creation = dataset.id.get_create_plist()
    found = (creation.get_filter(number) for number in range(creation.get_nfilters()))
    return [(code, tuple(values)) for code, _, values, _ in found]


def is_read_here(dataset: h5py.Dataset) -> bool:
    """Tell whether the chunks of a dataset are read without HDF5."""
    is_plain = dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype, logical=True))
    has_bytes = is_plain and is_unpacked_here(dataset) and not dataset.dtype.hasobject
    return has_bytes and dataset.chunks is not None and hasattr(os, "pread")


def is_unpacked_here(dataset: h5py.Dataset) -> bool:
    """Tell whether the filters of a dataset, if any, are among those that are known here."""
    filters = [code for code, _ in filters_of(dataset)]
    return {*filters} <= {_SHUFFLE, _GZIP, _CHECKSUM} and len(filters) <= _MOST_FILTERS


def chunk_bytes(dataset: h5py.Dataset) -> int:
    """Return the size of an unpacked chunk in the file."""
    text = h5py.check_string_dtype(dataset.dtype)
    value_bytes = dataset.id.get_type().get_size()
    if text is not None and text.length is None:  # its length, and where in a heap it lies
        value_bytes = 8 + dataset.file.id.get_create_plist().get_sizes()[0]
    return int(math.prod(dataset.chunks) * value_bytes)


def check_sizes(dataset: h5py.Dataset) -> None:
    """Raise OSError unless every chunk, unpacked here, has the size that HDF5 trusts it to have."""
    chunks, expected = ChunkedArray(dataset), chunk_bytes(dataset)
    for _, offset, size, skipped in chunks._index.tolist():
        content = chunks._read(offset, size)
        chunks._unpacked(content, skipped, expected)


class ChunkedArray(RowArray):
    """A dataset that is read when it is indexed by rows.

    Attributes:
        shape: its shape.
        dtype: its dtype.
        chunks: the shape of a chunk, None where it has none.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        """Keep the dataset, which nothing is read of."""
        self.shape, self.dtype = tuple(dataset.shape), dataset.dtype
        self.chunks: tuple[int, ...] | None = dataset.chunks
        self._dataset, self._is_read_here = dataset, is_read_here(dataset)
        self._filters = filters_of(dataset)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> Any:
        """Return rows by a number, a slice, `...`, increasing numbers or a mask.

        Raises:
            OSError: a chunk is damaged.
            RuntimeError: the same, where HDF5 reads it.
            IndexError: a row is not there.
        """
        if not self._is_read_here:
            return self._dataset[key]
        return super().__getitem__(key)

    def _parts_of(self, rows: np.ndarray) -> np.ndarray:
        return rows // self._steps[0]

    def _chosen(self, rows: np.ndarray) -> np.ndarray:
        first, last = rows.min(), rows.max()
        return self._rows(first, last + 1)[rows - first]

    @property
    def _steps(self) -> tuple[int, ...]:
        return self.chunks or self.shape

    @cached_property
    def _index(self) -> np.ndarray:
        """Number, offset, size and skipped filters of every stored chunk, int64 (n, 4)."""
        table = array("q")
        counts = [-(-length // step) for length, step in zip(self.shape, self._steps, strict=True)]

        def note(chunk: Any) -> None:
            number = 0
            for at, step, count in zip(chunk.chunk_offset, self._steps, counts, strict=True):
                if at // step >= count:
                    return
                number = number * count + at // step
            table.extend((number, chunk.byte_offset, chunk.size, chunk.filter_mask))

        self._dataset.id.chunk_iter(note)
        found = np.array(table, np.int64).reshape(-1, 4)
        return found[np.argsort(found[:, 0], kind="stable")]

    def _rows(self, start: int, stop: int) -> np.ndarray:
        first, *steps = self._steps
        rows = np.full((stop - start, *self.shape[1:]), self._dataset.fillvalue, self.dtype)
        sides = [range(0, *side) for side in zip(self.shape[1:], steps, strict=True)]
        number = start // first * math.prod(map(len, sides))
        for top in range(start // first * first, stop, first):
            low, high = max(top, start), min(top + first, stop)
            for left in itertools.product(*sides):
                chunk, number = self._chunk(number, low - top, high - top), number + 1
                if chunk is not None:
                    inner = [slice(at, at + step) for at, step in zip(left, steps, strict=True)]
                    target = rows[(slice(low - start, high - start), *inner)]
                    target[...] = chunk[tuple(slice(length) for length in target.shape)]
        return rows

    def _chunk(self, number: int, low: int, high: int) -> np.ndarray | None:
        """Return rows of a chunk, None where it was never written."""
        place = int(np.searchsorted(self._index[:, 0], number))
        if place == len(self._index) or self._index[place, 0] != number:
            return None
        offset, size, skipped = map(int, self._index[place, 1:])
        row = math.prod(self._steps[1:]) * self.dtype.itemsize
        if not self._filters:
            content = memoryview(self._read(offset + low * row, (high - low) * row))
        else:
            whole = self._unpacked(self._read(offset, size), skipped, self._steps[0] * row)
            content = memoryview(whole)[low * row : high * row]
        return np.frombuffer(content, self.dtype).reshape(high - low, *self._steps[1:])

    def _read(self, offset: int, size: int) -> bytes:
        content = os.pread(self._dataset.file.id.get_vfd_handle(), size, offset)
        if len(content) != size:
            raise OSError("a chunk lies beyond the end of the file")
        return content

    def _unpacked(self, content: bytes, skipped: int, size: int) -> bytes:
        for number, (code, values) in reversed([*enumerate(self._filters)]):
            if skipped >> number & 1:
                continue
            if code == _GZIP:
                content = _inflated(content, size + _MOST_FILTERS * _CHECKSUM_BYTES)
            elif code == _CHECKSUM:
                content = _checked(content)
            else:
                content = _unshuffled(content, values[0] if values else self.dtype.itemsize)
        if len(content) != size:
            raise OSError("a chunk has another size than it should have")
        return content


def _unshuffled(shuffled: bytes, width: int) -> bytes:
    """Return values of so many bytes, of which all first bytes came first, then all second ones."""
    if width < 1 or len(shuffled) % width:
        raise OSError("a chunk has another size than it should have")
    columns = np.frombuffer(shuffled, np.uint8).reshape(width, -1)
    values = np.empty(columns.shape[::-1], np.uint8)
    for place, column in enumerate(columns):  # this is faster than a copy of the transpose
        values[:, place] = column
    return values.data.cast("B") if shuffled else b""  # type: ignore[return-value]  # it does what bytes do here


def _checked(content: bytes) -> bytes:
    """Return a chunk without its checksum, HDF5's Fletcher-32, after a comparison.

    Early versions of HDF5 wrote the bytes of both halves the other way round.
    """
    content, stored = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
    words = np.frombuffer(bytes(content) + b"\0" * (len(content) % 2), ">u2").astype(np.int64)
    first = second = 0
    for start in range(0, len(words), 2**16):
        part = words[start : start + 2**16]
        second += len(part) * first + int(part @ np.arange(len(part), 0, -1))
        first += int(part.sum())
    halves = [(value - 1) % 0xFFFF + 1 if value else 0 for value in (first, second)]
    expected = np.array(halves, "<u2")
    if bytes(stored) not in (expected.tobytes(), expected.byteswap().tobytes()):
        raise OSError("a chunk is damaged: its checksum differs")
    return content


def _inflated(packed: bytes, most: int) -> bytes:
    """Return what gzip made smaller, up to a number of bytes."""
    try:
        return zlib.decompressobj().decompress(packed, most)
    except zlib.error as error:
        raise OSError(f"a chunk is damaged: {error}") from None
