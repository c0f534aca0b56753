"""Datasets of HDF5 files, whose compressed chunks are unpacked here.

HDF5 takes it that whole chunks were unpacked, and crashes where one is shorter. With gzip, alone or
after a shuffle, chunks are read packed, and unpacked to the size that they should have. Other
filters are left to HDF5; `hdf5_walk` unpacks their chunks beforehand, all of them.
"""

import itertools
import math
import zlib
from typing import Any

import h5py
import numpy as np

_SHUFFLE, _GZIP = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE


def filters_of(dataset: h5py.Dataset) -> list[int]:
    """Return the filters of a dataset by their numbers, in the order in which they were applied."""
    creation = dataset.id.get_create_plist()
    return [creation.get_filter(number)[0] for number in range(creation.get_nfilters())]


def is_unpacked_here(dataset: h5py.Dataset) -> bool:
    """Tell whether the chunks of a dataset are compressed, and unpacked without HDF5."""
    is_plain = dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype, logical=True))
    return is_plain and filters_of(dataset) in ([_GZIP], [_SHUFFLE, _GZIP])


class ChunkedArray:
    """A dataset that is read when it is indexed by a row number, a slice of rows or `...`.

    Attributes:
        shape: its shape.
        dtype: its dtype.
        chunks: the shape of a chunk, None where it has none.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        """Keep the dataset, which nothing is read of."""
        self.shape: tuple[int, ...] = tuple(dataset.shape)
        self.dtype: np.dtype = dataset.dtype
        self.chunks: tuple[int, ...] | None = dataset.chunks
        self._dataset, self._is_unpacked_here = dataset, is_unpacked_here(dataset)
        self._filters = filters_of(dataset)
        self._chunk_bytes = math.prod(self.chunks or ()) * self.dtype.itemsize

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        if not self._is_unpacked_here:
            return self._dataset[key]
        if isinstance(key, slice):
            start, stop, _ = key.indices(len(self))
            return self._rows(start, max(start, stop))
        return self._rows(0, len(self)) if key is Ellipsis else self._rows(key, key + 1)[0]

    def _rows(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from `start` to before `stop`; OSError where a chunk is damaged."""
        first, *steps = self.chunks or self.shape
        rows = np.full((stop - start, *self.shape[1:]), self._dataset.fillvalue, self.dtype)
        sides = [range(0, *side) for side in zip(self.shape[1:], steps, strict=True)]
        for top in range(start // first * first, stop, first):
            low, high = max(top, start), min(top + first, stop)
            for left in itertools.product(*sides):
                if (chunk := self._chunk((top, *left))) is None:
                    continue
                inner = (slice(at, at + step) for at, step in zip(left, steps, strict=True))
                target = rows[(slice(low - start, high - start), *inner)]
                target[...] = chunk[(slice(low - top, high - top), *map(slice, target.shape[1:]))]
        return rows

    def _chunk(self, place: tuple[int, ...]) -> np.ndarray | None:
        """Return a whole chunk, None where it was never written."""
        try:
            skipped, packed = self._dataset.id.read_direct_chunk(place)
        except (OSError, RuntimeError):
            if self._dataset.id.get_chunk_info_by_coord(place).byte_offset is None:
                return None
            raise
        is_applied = [not skipped >> number & 1 for number in range(len(self._filters))]
        if is_applied[-1]:  # gzip was the last
            packed = _inflated(packed, self._chunk_bytes)
        if len(packed) != self._chunk_bytes:
            raise OSError("a chunk has another size than it should have")
        if len(is_applied) == 2 and is_applied[0]:
            packed = _unshuffled(packed, self.dtype.itemsize).data
        return np.frombuffer(packed, self.dtype).reshape(self.chunks or ())


def _unshuffled(shuffled: bytes, width: int) -> np.ndarray:
    """Return values of so many bytes, of which all first bytes came first, then all second ones."""
    columns = np.frombuffer(shuffled, np.uint8).reshape(width, -1)
    values = np.empty(columns.shape[::-1], np.uint8)
    for place, column in enumerate(columns):  # this is faster than a copy of the transpose
        values[:, place] = column
    return values


def _inflated(packed: bytes, size: int) -> bytes:
    """Return what gzip made smaller, and no more than a byte above the size."""
    try:
        return zlib.decompressobj().decompress(packed, size + 1)
    except zlib.error as error:
        raise OSError(f"a chunk is damaged: {error}") from None
