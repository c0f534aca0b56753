"""Pairs of rows whose features point the same way: an exact search in bounded memory.

A cosine is the product of two projections onto a few axes plus that of what these leave out, and
the latter is at most the product of its lengths (Cauchy and Schwarz). So a product of short
vectors bounds every cosine from above, and only pairs whose bound is high are looked at closely.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pipeline.data.stored_rows import StoredRows

_AXES = 64  # of the projection
_SAMPLE = 4096  # rows from which they are learned
_PAIRS = 10_000  # random ones that tell how similar any two rows are
_TILE = 2**22  # bounds held in memory at a time, 16 MiB
_VALUES = 2**22  # features held in memory at a time, 16 MiB
_ROUNDING = 1e-4  # of bounds in float32


class Neighbours(NamedTuple):
    """Pairs of rows: positions int64 (n,), twice; cosines float32 (n,); count of pairs left out."""

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray
    cut: int


class Search:
    """Rows of features, centred, and short vectors that bound the cosines between them.

    Args:
        x: float32 (N, D), finite; may be a memory map, or rows that are read in blocks.
        learned: positions of the rows that give the mean and the axes, int64.
        seed: the seed of the samples that give the axes and the spread.
    """

    def __init__(self, x: np.ndarray | StoredRows, learned: np.ndarray, seed: int) -> None:
        self._x, self._learned = x, learned
        self._random = np.random.default_rng(seed)
        self._rows = max(1, _VALUES // x.shape[1])  # at a time
        self._mean = self._learn_mean()
        self._axes = self._learn_axes(seed)

    def pairs(
        self, rows: np.ndarray, columns: np.ndarray, least: float, most: int
    ) -> Iterator[Neighbours]:
        """Yield pairs, one of `rows` and one of `columns`, with a cosine of at least `least`.

        Args:
            rows: positions, int64 (n,).
            columns: positions, int64 (m,).
            least: the lowest cosine of a pair, above 0.
            most: how many pairs of a row are looked at, those with the highest bounds; the
                others are counted as cut.
        """
        for batch in _blocks(len(rows), max(1, _TILE // max(1, len(columns)))):
            bounds = self._bounds[rows[batch]] @ self._bounds[columns].T  # (b, m)
            yield self._close(bounds, rows[batch], columns, least, most)

    def pairs_with_all(self, rows: np.ndarray, least: float, most: int) -> Neighbours:
        """Return pairs as `pairs` does, one of a few rows and one of all, which are gone through.

        Args:
            rows: positions, int64 (n,).
            least: the lowest cosine of a pair, above 0.
            most: how many pairs of a row are looked at, those with the highest bounds of all; so
                the time is bounded where features are such that all bounds are high.
        """
        own = np.concatenate([self._bounding(self._x[rows[part]])
                              for part in _blocks(len(rows), self._rows)])  # fmt: skip
        step = min(self._rows, max(1, _TILE // max(1, len(rows))))
        highest = _Highest(len(rows), least - _ROUNDING, most)
        for block in _blocks(len(self._x), step):
            others = np.arange(block.start, min(block.stop, len(self._x)))
            bounds = own @ self._bounding(self._x[others[0] : others[-1] + 1]).T
            itself = np.flatnonzero((rows >= others[0]) & (rows <= others[-1]))
            bounds[itself, rows[itself] - others[0]] = -1  # an image is no neighbour of itself
            highest.add(bounds, others[0])
        row, column = highest.kept()
        return self._closely(rows[row], column, least, highest.cut)

    def _close(
        self, bounds: np.ndarray, rows: np.ndarray, columns: np.ndarray, least: float, most: int
    ) -> Neighbours:
        """Return the pairs of (n,) rows and (m,) columns whose bounds (n, m) and cosines allow."""
        row, column, cut = _highest(bounds, least - _ROUNDING, most)
        return self._closely(rows[row], columns[column], least, cut)

    def _closely(self, first: np.ndarray, second: np.ndarray, least: float, cut: int) -> Neighbours:
        """Return those pairs whose cosines are high enough."""
        cosines = self.cosines(first, second)
        near = cosines >= least
        return Neighbours(first[near], second[near], cosines[near], cut)

    def spread(self) -> float:
        """Return the median absolute cosine of random pairs; few near-duplicates do not matter."""
        first, second = self._random.choice(self._learned, (2, _PAIRS))
        differ = first != second
        return float(np.median(np.abs(self.cosines(first[differ], second[differ]))))

    def cosines(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the cosine of each pair of rows, float32 (n,), at most 1."""
        cosines = np.empty(len(first), np.float32)
        for batch in _blocks(len(first), self._rows):
            units = [self._units(self._x[rows[batch]]) for rows in (first, second)]  # (b, D) each
            cosines[batch] = np.einsum("nd,nd->n", *units)
        return np.minimum(cosines, 1)

    def _learn_mean(self) -> np.ndarray:
        batches = [self._learned[batch] for batch in _blocks(len(self._learned), self._rows)]
        total = sum(self._x[batch].sum(axis=0, dtype=np.float64) for batch in batches)
        return (total / len(self._learned)).astype(np.float32)

    def _learn_axes(self, seed: int) -> np.ndarray:
        """Return the first principal axes, float32 (D, d)."""
        from sklearn.utils.extmath import randomized_svd

        chosen = self._random.permutation(self._learned)[:_SAMPLE]
        sample = self._x[np.sort(chosen)] - self._mean
        sample /= _largest(sample)
        count = min(_AXES, *sample.shape)
        _, _, axes = randomized_svd(sample, count, n_iter=2, random_state=seed)  # any axes will do
        return np.ascontiguousarray(axes.T, np.float32)

    @cached_property
    def _bounds(self) -> np.ndarray:
        """Vectors whose products bound the cosines of all rows, float32 (N, d + 1)."""
        bounds = np.empty((len(self._x), self._axes.shape[1] + 1), np.float32)
        for batch in _blocks(len(self._x), self._rows):
            bounds[batch] = self._bounding(self._x[batch])
        return bounds

    def _bounding(self, x: np.ndarray) -> np.ndarray:
        """Return such vectors of rows (b, D), float32 (b, d + 1)."""
        units = self._units(x)
        inside = units @ self._axes
        left_out = np.square(units).sum(axis=1) - np.square(inside).sum(axis=1)
        return np.column_stack([inside, np.sqrt(np.maximum(left_out, 0))])

    def _units(self, x: np.ndarray) -> np.ndarray:
        """Return rows centred and of length 1; those at the mean itself become 0."""
        centred = x - self._mean
        centred /= _largest(centred, axis=1)  # so that no square is too large or small for float32
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        return np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)


def _largest(x: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return the largest absolute value, with the dimensions kept; 1 where all are 0."""
    largest = np.abs(x).max(axis=axis, keepdims=True)
    return np.where(largest > 0, largest, np.ones_like(largest))


def _blocks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))


class _Highest:
    """The highest bounds of each of n rows, of columns that come in blocks."""

    def __init__(self, rows: int, least: float, most: int) -> None:
        self._least, self._most, self._found = least, most, 0
        self._bar = np.full((rows, 1), least, np.float32)  # lower ones are no longer needed
        self._pairs = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
        self._waiting = 0

    def add(self, bounds: np.ndarray, start: int) -> None:
        """Take up the bounds (n, m) of m columns, of which the first is number `start`."""
        self._found += int(np.count_nonzero(bounds >= self._least))
        row, column, _ = _highest(bounds, self._bar, self._most)
        self._pairs.append((row, column + start, bounds[row, column]))
        self._waiting += len(row)
        if self._waiting > len(self._bar) * self._most:
            self._merge()

    def kept(self) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and columns of the highest bounds; columns increase, so as to be read."""
        self._merge()
        row, column, _ = self._pairs[0]
        order = np.argsort(column, kind="stable")
        return row[order], column[order]

    @property
    def cut(self) -> int:
        """How many bounds that are high enough are left out."""
        return self._found - sum(len(row) for row, _, _ in self._pairs)

    def _merge(self) -> None:
        row, column, bound = (np.concatenate(parts) for parts in zip(*self._pairs, strict=True))
        order = np.lexsort((-bound, row))
        row, column, bound = row[order], column[order], bound[order]
        rank = np.arange(len(row)) - np.searchsorted(row, row)
        last, kept = rank == self._most - 1, rank < self._most
        self._bar[row[last], 0] = bound[last]
        self._pairs, self._waiting = [(row[kept], column[kept], bound[kept])], 0


def _highest(
    bounds: np.ndarray, least: float | np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return rows and columns of bounds >= `least`, `most` a row, and how many are left out.

    Args:
        bounds: (n, m).
        least: one for all, or (n, 1).
        most: of each row.
    """
    hits = bounds >= least
    counts = np.count_nonzero(hits, axis=1)
    for row in np.flatnonzero(counts > most):
        hits[row] = False
        hits[row, np.argpartition(bounds[row], -most)[-most:]] = True
    rows, columns = np.divmod(np.flatnonzero(hits), bounds.shape[1])
    return rows, columns, int(np.maximum(counts - most, 0).sum())
