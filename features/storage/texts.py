"""Many texts as two arrays: ten million ids take 350 MB, as Python strings they would take 900."""

import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

_BLOCK = 2**11  # texts at a time where they become rows of a matrix, or Python strings
_VALUES = 2**24  # bytes of such a matrix, where texts are long
_SEED = 0  # of the hash, which no file keeps


class Texts(Sequence[str]):
    """n texts, which behave as a tuple of them does, and can be indexed by an array.

    Attributes:
        content: their utf-8, one after the other: uint8.
        ends: int64 (n + 1,): text i lies from ends[i] to before ends[i + 1].
    """

    __hash__ = None  # type: ignore[assignment]  # equal to tuples, which have another one

    def __init__(self, content: np.ndarray, ends: np.ndarray) -> None:
        self.content, self.ends = content, ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """Return texts as arrays; those that are arrays already as they are."""
        if isinstance(texts, Texts):
            return texts
        return cls._joined(_encoded(texts))

    @classmethod
    def of_bytes(cls, blocks: Iterable[np.ndarray]) -> "Texts":
        """Return texts of blocks of utf-8 of a fixed length, filled up with zero bytes.

        Args:
            blocks: arrays of dtype S.

        Raises:
            UnicodeDecodeError: one is not utf-8.
        """
        return cls._joined(_packed(block) for whole in blocks for block in _pieces(whole))

    @classmethod
    def joined(cls, parts: Sequence["Texts"]) -> "Texts":
        """Return the texts of several in turn."""
        content = [part._used() for part in parts]
        lengths = [np.zeros(1, np.int64), *(part.lengths for part in parts)]
        return cls(
            np.concatenate([np.empty(0, np.uint8), *content]), np.cumsum(np.concatenate(lengths))
        )

    @classmethod
    def _joined(cls, parts: Iterable[tuple[bytes, np.ndarray]]) -> "Texts":
        content, lengths = bytearray(), [np.zeros(1, np.int64)]
        for packed, sizes in parts:
            content += packed
            lengths.append(sizes)
        return cls(np.frombuffer(content, np.uint8), np.cumsum(np.concatenate(lengths)))

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, key: int | np.integer) -> str: ...
    @overload
    def __getitem__(self, key: slice | np.ndarray) -> "Texts": ...
    def __getitem__(self, key: Any) -> Any:
        """Return one text by its number, or several by a slice, numbers or a mask."""
        if isinstance(key, int | np.integer):
            if not -len(self) <= key < len(self):
                raise IndexError(f"text {key} of {len(self)}")
            key = int(key) % len(self)
            return self._bytes(key, key + 1).decode()
        if isinstance(key, slice) and key.step in (None, 1):
            start, stop, _ = key.indices(len(self))
            return Texts(self.content, self.ends[start : max(start, stop) + 1])
        rows = np.arange(len(self))[key]
        if len(rows) == len(self) and (np.diff(rows, prepend=-1) == 1).all():
            return self
        lengths = self.ends[rows + 1] - self.ends[rows]
        ends = np.concatenate([[0], np.cumsum(lengths)])
        content = np.empty(ends[-1], np.uint8)
        number = np.int32 if len(self.content) < 2**31 else np.int64
        for part in _batches(len(rows)):
            start, stop = ends[part.start], ends[part.stop]
            shifts = self.ends[rows[part]] - (ends[part.start : part.stop] - start)
            index = np.repeat(shifts.astype(number), lengths[part])
            index += np.arange(stop - start, dtype=number)
            content[start:stop] = self.content[index]
        return Texts(content, ends)

    def __iter__(self) -> Iterator[str]:
        for part in _batches(len(self)):
            for value in self._values(part):
                yield value.decode()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Texts):
            if not isinstance(other, list | tuple):
                return NotImplemented
            return len(self) == len(other) and all(map(str.__eq__, self, other))
        return (
            len(self) == len(other)
            and np.array_equal(self.lengths, other.lengths)
            and np.array_equal(self._used(), other._used())
        )

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, itertools.islice(self, 3)))
        return f"<{len(self):,} texts: {shown}{', ...' if len(self) > 3 else ''}>"

    @property
    def lengths(self) -> np.ndarray:
        """The bytes of each text, int64 (n,)."""
        return np.diff(self.ends)

    def tolist(self) -> list[str]:
        """Return them as Python strings."""
        return list(self)

    def terminated(self) -> Iterator[bytes]:
        """Yield all bytes in blocks, with a zero byte after each text."""
        for part in _batches(len(self)):
            yield b"\0".join([*self._values(part), b""])

    def hashes(self) -> np.ndarray:
        """A number for each text, uint64 (n,): equal for equal ones, and seldom for others.

        It is a multilinear hash (D. Lemire and O. Kaser, "Strongly universal string hashing is
        fast", The Computer Journal 57, 2014).
        """
        hashes = np.empty(len(self), np.uint64)
        factors = np.random.default_rng(_SEED).integers(
            0, 2**64, int(self.lengths.max(initial=0)) + 1, np.uint64
        ) | np.uint64(1)  # odd: texts that differ in one byte never have the same key
        every = self.lengths
        for part in _batches(len(self)):
            lengths = every[part]
            values = self.content[self.ends[part.start] : self.ends[part.start + len(lengths)]]
            starts = np.cumsum(lengths) - lengths
            places = np.arange(len(values)) - np.repeat(starts, lengths)  # of a byte in its text
            sums = np.cumsum((values + np.uint64(1)) * factors[places + 1])  # modulo 2**64
            sums = np.concatenate([np.zeros(1, np.uint64), sums])
            mixed = lengths.astype(np.uint64) * factors[0]
            hashes[part] = sums[starts + lengths] - sums[starts] + mixed
        return hashes

    def order(self) -> np.ndarray:
        """Return their numbers in the order of their code points, int64 (n,); equal ones in turn.

        Eight bytes of all are compared at a time, and of the next eight only what was equal.
        """
        if self._is_in_order():
            return np.arange(len(self))
        number = np.int32 if len(self) < 2**31 else np.int64
        order = np.arange(len(self), dtype=number)
        places, groups = order.copy(), np.zeros(len(self), number)  # of what is equal so far
        at = 0
        while len(places):
            rows = order[places]
            words = self._words(rows, at)
            within = np.lexsort((words, groups))
            rows, words, at = rows[within], words[within], at + 8
            del within
            order[places] = rows
            begins = np.ones(len(rows) + 1, bool)
            begins[1:-1] = (groups[1:] != groups[:-1]) | (words[1:] != words[:-1])
            groups = np.cumsum(begins[:-1], dtype=number)
            goes_on = np.zeros(groups[-1] + 1, bool)
            goes_on[groups[self.ends[rows + 1] - self.ends[rows] > at]] = True
            is_open = goes_on[groups] & ~(begins[:-1] & begins[1:])
            places, groups = places[is_open], groups[is_open]
        return order.astype(np.int64)

    def _is_in_order(self) -> bool:
        last = b""
        for part in _batches(len(self)):
            values = [last, *self._values(part)]
            if any(map(bytes.__gt__, values, values[1:])):
                return False
            last = values[-1]
        return True

    def _words(self, rows: np.ndarray, at: int) -> np.ndarray:
        """Return eight bytes of each of some texts as a number, zeros behind its end: uint64."""
        words = np.zeros(len(rows), np.uint64)
        for part in _batches(len(rows)):
            starts, ends = self.ends[rows[part]] + at, self.ends[rows[part] + 1]
            for shift in range(8):
                here = np.flatnonzero(starts + shift < ends)
                values = self.content[starts[here] + shift].astype(np.uint64)
                words[part][here] |= values << np.uint64(56 - 8 * shift)
        return words

    def repeated(self) -> int:
        """Return how many texts are equal to an earlier one."""
        hashes = self.hashes()
        ordered = np.sort(hashes)
        alike = ordered[1:][ordered[1:] == ordered[:-1]]
        if not len(alike):
            return 0
        several = np.flatnonzero(np.isin(hashes, alike))
        return len(several) - len(set(self[several]))

    def places_of(self, texts: Sequence[str]) -> np.ndarray:
        """Return the number of each of other texts among these, int64 (m,); -1 where it is none.

        Args:
            texts: m texts, in any order.
        """
        wanted = Texts.of(texts)
        if len(self) >= len(wanted) and wanted == self[: len(wanted)]:
            return np.arange(len(wanted))
        own, asked = self.hashes(), wanted.hashes()
        order = np.argsort(own, kind="stable")
        at = np.searchsorted(own[order], asked, "right") - 1
        places = np.where(at >= 0, order[at], -1) if len(self) else at
        known = np.flatnonzero(places >= 0)
        differ = known[~self[places[known]].equals(wanted[known])]
        alike = np.flatnonzero(np.isin(own, asked[differ]))  # by their hashes alone
        numbers = dict(zip(self[alike], alike.tolist(), strict=True))
        places[differ] = [numbers.get(text, -1) for text in wanted[differ]]
        return places

    def equals(self, other: "Texts") -> np.ndarray:
        """Return which texts are equal to those of the same number in another: bool (n,)."""
        same = self.lengths == other.lengths
        for part in _batches(len(self)):
            pairs = zip(self._values(part), other._values(part), strict=True)
            same[part] &= [here == there for here, there in pairs]
        return same

    def _used(self) -> np.ndarray:
        return self.content[self.ends[0] : self.ends[-1]]

    def _bytes(self, start: int, stop: int) -> bytes:
        return self.content[self.ends[start] : self.ends[stop]].tobytes()

    def _values(self, part: slice) -> list[bytes]:
        ends = self.ends[part.start : part.stop + 1]
        whole = self.content[ends[0] : ends[-1]].tobytes()
        return [whole[a:b] for a, b in itertools.pairwise((ends - ends[0]).tolist())]


class TextsBuilder:
    """Texts that come one by one, each taking its bytes and four more."""

    def __init__(self) -> None:
        """Begin with none."""
        self._content, self._lengths = bytearray(), array("I")

    def __len__(self) -> int:
        return len(self._lengths)

    def append(self, text: str) -> None:
        """Add one; UnicodeEncodeError where it is no valid text."""
        value = text.encode()
        self._content += value
        self._lengths.append(len(value))

    def fill(self, count: int) -> None:
        """Add empty ones until there are so many."""
        self._lengths.extend(itertools.repeat(0, count - len(self)))

    def texts(self) -> Texts:
        """Return all of them, and begin with none."""
        content, lengths = self._content, self._lengths
        self.__init__()  # type: ignore[misc]  # nothing is held here any more
        ends = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(np.frombuffer(lengths, np.uint32), out=ends[1:])
        return Texts(np.frombuffer(content, np.uint8), ends)


def _encoded(texts: Iterable[str]) -> Iterator[tuple[bytes, np.ndarray]]:
    """Yield the bytes of some texts at a time, and the length of each."""
    remaining = map(str.encode, texts)
    while values := [*itertools.islice(remaining, _BLOCK)]:
        yield b"".join(values), np.fromiter(map(len, values), np.int64)


def _batches(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))


def _pieces(block: np.ndarray) -> Iterator[np.ndarray]:
    """Yield parts of an array of texts that are small enough to become matrices of bytes."""
    step = max(1, min(_BLOCK, _VALUES // max(1, block.dtype.itemsize)))
    return (block[start : start + step] for start in range(0, len(block), step))


def _packed(block: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Return the bytes of texts without those that fill them up, and the length of each."""
    width = block.dtype.itemsize
    matrix = np.ascontiguousarray(block).view(np.uint8).reshape(len(block), width)
    lengths = np.strings.str_len(block).astype(np.int64)
    content = matrix[np.arange(width) < lengths[:, None]]
    if content.size and content.max() > 127:  # a text that is not utf-8 alone may be so with others
        for text in block.tolist():
            text.decode()
    return content.tobytes(), lengths
