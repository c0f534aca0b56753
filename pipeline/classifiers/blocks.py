"""Rows that are read in blocks, as models that learn from them take them in place of a matrix."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeGuard, TypeVar

import numpy as np

from features.processes.cpus import available_cpus
from pipeline.classifiers.threads import one_thread

Result = TypeVar("Result")

_MATRIX_BYTES = 2**22  # of a matrix at a time, which stay in the cache between two products
_MOST_THREADS = 4  # more would wait for Python's lock, and hold more blocks


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
    @property
    def step(self) -> int:
        """How many rows are read at a time."""

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

    @property
    def step(self) -> int:
        """How many rows are read at a time."""
        return self.rows.step

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


def of_blocks(x: Rows, function: Callable[[slice, np.ndarray], Result]) -> Iterator[Result]:
    """Yield what a function makes of each block of rows, in their order.

    Blocks are read and computed by several threads, each of which multiplies matrices by itself:
    the products of a block are so thin that the threads of a single one would wait for each other
    longer than they compute.

    Args:
        x: n rows, of which the blocks of a matrix are views.
        function: takes which rows they are, and the rows (b, D).
    """
    blocks = _slices(x)
    threads = min(available_cpus(), len(blocks), _MOST_THREADS)
    if threads < 2:
        yield from (function(rows, x[rows]) for rows in blocks)
        return
    with one_thread(), ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        for block in blocks:
            if len(waiting) == threads:
                yield waiting.popleft().result()
            waiting.append(pool.submit(lambda rows: function(rows, x[rows]), block))
        while waiting:
            yield waiting.popleft().result()


def _slices(x: Rows) -> Sequence[slice]:
    step = x.step if are_read(x) else max(1, _MATRIX_BYTES // (x.shape[1] * x.dtype.itemsize))
    return [slice(start, min(start + step, len(x))) for start in range(0, len(x), step)]
