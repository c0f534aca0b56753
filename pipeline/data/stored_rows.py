"""Rows of feature files that are read when they are asked for, and held a block at a time.

They are indexed as a matrix is, and passed between processes as what says where they lie. Several
layers, also of several files, stand side by side as one row.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from features.storage.store import FeatureFile

AT_ONCE = 2**22  # bytes of float32 that are read at a time, where nobody says otherwise
_LEAST_ROWS = 64
_MANTISSAS, _BIASES = 23 - 10, 127 - 15  # what float32 has more of than float16: bits, and zero
_SIGN_AND_VALUE = np.int32(-(2**31) + 2**28 - 2**_MANTISSAS)
_BEYOND = 2.0**16  # no finite float16 is as large
_DENSE = 4  # rows in a row of which at least one in so many is wanted are read as one piece


@dataclass(frozen=True)
class Loaded:
    """Stored rows that whoever learns from them holds in memory, so that nothing is written."""

    rows: "StoredRows"


class Part(NamedTuple):
    """A layer of a feature file."""

    path: Path
    layer: str
    dimensions: int


@dataclass(frozen=True)
class StoredRows:
    """Rows of layers, as float32 (n, D), of which D are those of all parts together.

    Attributes:
        parts: the layers, side by side.
        chosen: the rows in the files, int64 (n,), increasing; None takes all.
        count: the rows of the files.
        at_once: the bytes of float32 that are read at a time.
    """

    parts: tuple[Part, ...]
    chosen: np.ndarray | None = field(compare=False)
    count: int
    at_once: int = AT_ONCE

    @property
    def dtype(self) -> np.dtype:
        """That of what is read."""
        return np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return len(self), sum(part.dimensions for part in self.parts)

    @property
    def step(self) -> int:
        """How many rows are read at a time."""
        return max(_LEAST_ROWS, self.at_once // (4 * self.shape[1]))

    def __len__(self) -> int:
        return self.count if self.chosen is None else len(self.chosen)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return rows by a slice, a mask or numbers in any order, float32 (m, D)."""
        if not isinstance(key, slice):
            rows = self._rows(np.arange(len(self))[key])
        elif self.chosen is None:
            rows = np.arange(*key.indices(len(self)))
        else:
            rows = self.chosen[key]
        ordered, places = rows, None
        if (np.diff(rows) <= 0).any():
            ordered, places = np.unique(rows, return_inverse=True)
        values = np.empty((len(ordered), self.shape[1]), np.float32)
        for start in range(0, len(ordered), self.step):
            some = ordered[start : start + self.step]
            self._read(some, values[start : start + len(some)])
        return values if places is None else values[places]

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield all rows in order, in blocks that may be changed: which they are, and (b, D)."""
        for start in range(0, len(self), self.step):
            part = slice(start, min(start + self.step, len(self)))
            yield part, self[part]

    def subset(self, rows: np.ndarray) -> "StoredRows":
        """Return some of these rows, int64 (m,), increasing, without reading them."""
        return replace(self, chosen=self._rows(rows))

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        return rows if self.chosen is None else self.chosen[rows]

    @cached_property
    def _files(self) -> dict[Path, FeatureFile]:
        return {part.path: FeatureFile(part.path) for part in self.parts}

    def _read(self, rows: np.ndarray, target: np.ndarray) -> None:
        """Read increasing rows of the files into an array."""
        column = 0
        for part in self.parts:
            file, into = self._files[part.path], target[:, column : column + part.dimensions]
            column += part.dimensions
            if len(rows) and rows[-1] - rows[0] < _DENSE * len(rows):
                whole = file.features(part.layer, slice(int(rows[0]), int(rows[-1]) + 1))
                put(whole if len(whole) == len(rows) else whole[rows - rows[0]], into)
            elif len(rows):
                put(file.features(part.layer, rows), into)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_files"}


def put(values: np.ndarray, target: np.ndarray) -> None:
    """Write float16 or float32 values into an array of float32.

    numpy widens float16 one by one; by shifts of all bits it takes a sixth of the time. Exponents
    are then too small by the difference of both biases, which a product mends. Only what is not
    finite comes out wrong, as a number beyond all float16.
    """
    if values.dtype != np.float16:
        target[...] = values
        return
    bits = target.view(np.int32)
    bits[...] = values.view(np.int16)  # with the sign in all of the upper bits
    bits <<= _MANTISSAS
    bits &= _SIGN_AND_VALUE
    target *= np.float32(2**_BIASES)
    if target.max(initial=0) >= _BEYOND or target.min(initial=0) <= -_BEYOND:
        target[...] = values
