"""Rows of a feature file, mapped into memory where they lie in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import DataError
from features.store import FeatureFile


class MappedRows:
    """A layer's values in a feature file, read row by row at the rate of the disk or its cache.

    HDF5 reads a chunk (1 MiB) for each row that is wanted at random. As features are stored as
    they are, uncompressed, a row is so many bytes at a place that is known beforehand.

    Attributes:
        shape: (N, h, w, c) or (N, D).
        dtype: float16 or float32.
    """

    def __init__(self, path: Path, layer: str) -> None:
        """Map a layer of a feature file.

        Raises:
            DataError: the file cannot be read, or its layer is compressed.
        """
        import h5py

        with FeatureFile(path) as file:
            self.shape = file.shape(layer)
        with h5py.File(path) as file:
            dataset = file[f"features/{layer}"]
            self.dtype, self._rows = dataset.dtype, dataset.chunks[0]
            if dataset.compression or dataset.chunks[1:] != self.shape[1:]:
                raise DataError(f"{path} is compressed, and cannot be mapped; remove it")
            self._starts = np.zeros(-(-self.shape[0] // self._rows), np.int64)
            dataset.id.chunk_iter(self._note)
        self._row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        self._bytes = np.memmap(path, np.uint8, "r")

    def _note(self, chunk: Any) -> None:
        self._starts[chunk.chunk_offset[0] // self._rows] = chunk.byte_offset

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return a copy of some rows, (n, ...)."""
        found = np.empty((len(rows), self._row_bytes), np.uint8)
        chunks, places = np.divmod(np.asarray(rows, np.int64), self._rows)
        starts = self._starts[chunks] + places * self._row_bytes
        for target, start in zip(found, starts.tolist(), strict=True):
            target[:] = self._bytes[start : start + self._row_bytes]
        return found.view(self.dtype).reshape(len(rows), *self.shape[1:])
