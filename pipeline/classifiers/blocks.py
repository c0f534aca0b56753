"""Rows that are read in blocks, as models that learn from them take them in place of a matrix."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeGuard

import numpy as np


class Blocks(Protocol):
    """Rows, float32 (n, D), that are read when they are asked for."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""

    @property
    def dtype(self) -> np.dtype:
        """That of what is read."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: Any) -> np.ndarray: ...
    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield all rows in order: which they are, and (b, D), which may be changed."""

    def subset(self, rows: np.ndarray) -> "Blocks":
        """Return some of the rows, increasing, without reading them."""


Rows = np.ndarray | Blocks


@dataclass(frozen=True)
class Transformed:
    """Rows that go through a function whenever they are read.

    Attributes:
        rows: what is read.
        function: takes rows (b, D), which it may change, and returns as many.
        width: the features that it returns.
        kept: what was computed from all rows, by what it is.
    """

    rows: Blocks
    function: Callable[[np.ndarray], np.ndarray]
    width: int
    kept: dict[Any, Any] = field(default_factory=dict, compare=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return len(self.rows), self.width

    @property
    def dtype(self) -> np.dtype:
        """That of what is read."""
        return self.rows.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> np.ndarray:
        return self.function(self.rows[key])

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield all rows in order: which they are, and (b, D)."""
        for part, block in self.rows.blocks():
            yield part, self.function(block)

    def subset(self, rows: np.ndarray) -> "Transformed":
        """Return some of the rows, increasing, without reading them."""
        return Transformed(self.rows.subset(rows), self.function, self.width)


def are_read(x: Any) -> TypeGuard[Blocks]:
    """Tell whether rows are read in blocks, and are no matrix in memory."""
    return hasattr(x, "blocks") and not isinstance(x, np.ndarray)
