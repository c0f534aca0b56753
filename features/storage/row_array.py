"""Arrays that lie in parts, such as chunks or files, and are read when they are indexed by rows."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np


class RowArray(ABC):
    """An array whose rows lie in parts.

    Attributes:
        shape: its shape.
        dtype: its dtype.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Return rows by a number, a slice, `...`, increasing numbers or a mask.

        Raises:
            IndexError: a row is not there.
        """
        if isinstance(key, slice) or key is Ellipsis:
            start, stop, step = (slice(None) if key is Ellipsis else key).indices(len(self))
            return self._rows(start, max(start, stop))[::step]
        rows = np.arange(len(self))[key]
        if not rows.ndim:
            return self._rows(int(rows), int(rows) + 1)[0]
        chosen = np.empty((len(rows), *self.shape[1:]), self.dtype)
        bounds = [0, *(np.flatnonzero(np.diff(self._parts_of(rows))) + 1).tolist(), len(rows)]
        for place in map(slice, bounds, bounds[1:]) if len(rows) else ():
            chosen[place] = self._chosen(rows[place])
        return chosen

    @abstractmethod
    def _rows(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from `start` to before `stop`."""

    @abstractmethod
    def _parts_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the number of the part in which each row lies."""

    @abstractmethod
    def _chosen(self, rows: np.ndarray) -> np.ndarray:
        """Return rows by increasing numbers, at least one, all of one part."""
