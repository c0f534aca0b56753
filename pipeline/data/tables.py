"""Parquet tables that we wrote ourselves and read again: within bounds, and checked by column.

A text that a file holds once can stand in each of its rows, so texts are kept as a dictionary.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from features.disk import documents
from features.errors import DataError
from features.storage import parquet_guard
from features.storage.expansion import most_bytes
from features.storage.texts import Texts
from features.text import for_terminal

if TYPE_CHECKING:
    import pyarrow as pa

REMEDY = "run `classify` again"

_ROWS_OF_A_BYTE = 4  # at most, in tables whose rows have ids of their own
_COMPRESSIONS = {"SNAPPY", "UNCOMPRESSED"}  # others can blow up a page far more than 20 times

T = TypeVar("T")


class Table:
    """A Parquet file, whole in memory, whose columns are read when they are asked for.

    Attributes:
        path: the path of the file.
        names: the names of its columns.
        rows: the number of its rows.
    """

    def __init__(
        self, path: Path, sha256: str = "", most_rows: int | None = None, remedy: str = REMEDY
    ) -> None:
        """Read the bytes of the file, and check what it claims.

        Args:
            path: the file.
            sha256: the SHA-256 that it must have; empty where it is not known.
            most_rows: the number of rows that it may have; None: as its size allows.
            remedy: what to do where it cannot be read.

        Raises:
            DataError: it is missing or no regular file, has changed, is no Parquet file, or has
                more rows, or another compression, than we write.
        """
        import pyarrow as pa

        self.path, self._remedy = path, remedy
        with self.reading():
            if not path.is_file():
                raise DataError("it is missing, or no regular file")
            content = path.read_bytes()
            self._bytes = len(content)
            if sha256 and hashlib.sha256(content).hexdigest() != sha256:
                raise DataError("it has changed since it was written")
            most = _ROWS_OF_A_BYTE * len(content) if most_rows is None else most_rows
            opened = parquet_guard.opened(content, most)
            self._file, self.rows, schema = opened.file, opened.claims.rows, opened.schema
            if others := sorted(opened.claims.codecs - _COMPRESSIONS):
                raise DataError(f"it is compressed by {others[0]}, as no table of ours is")
            self._texts = [each.name for each in schema if pa.types.is_string(each.type)]
            self.names, self._meta = tuple(schema.names), schema.metadata or {}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn what damaged bytes cause into a DataError of one line that names the file."""
        try:
            yield
        except Exception as error:  # pyarrow and NumPy raise many kinds
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise DataError(
                f"{self.path} cannot be read: {for_terminal(reason, 300)}; {self._remedy}"
            ) from None

    def meta(self, key: bytes, kind: type[T], schema: int) -> T:
        """Return JSON in the file's metadata as an object of a kind; see `documents.decode`."""
        return documents.decode(self._meta.get(key, b""), kind, str(self.path), schema)

    def texts(self, name: str) -> list[str]:
        """Return a column of texts, of which equal ones are one string in memory.

        Raises:
            DataError: it holds anything else.
        """
        found, places = self._words(name)
        words = found.tolist()
        return [words[place] for place in places.tolist()]

    def ids(self, name: str) -> Texts:
        """Return a column of texts that differ from row to row, as arrays.

        Raises:
            DataError: it holds anything else, or takes far more memory than the file.
        """
        parts, count, most = [], 0, most_bytes(self._bytes)
        for group in range(self._file.num_row_groups):
            words, places = self._words(name, group)
            with self.reading():
                count += int(words.lengths[places].sum())
                if count > most:
                    raise DataError(
                        f"column {name!r:.60} has texts of more than {most:,} bytes in all"
                    )
                parts.append(words[places])
        if sum(map(len, parts)) != self.rows:
            raise DataError(f"{self.path}: its columns have different lengths; {self._remedy}")
        return Texts.joined(parts)

    def numbered(self, name: str, words: Sequence[str]) -> np.ndarray:
        """Return the number of each text of a column in a list, int32 (rows,); -1 of others.

        Args:
            name: of the column.
            words: the list, in which no text stands twice.

        Raises:
            DataError: the column holds anything else than texts.
        """
        found, places = self._words(name)
        with self.reading():
            return Texts.of(words).places_of(found).astype(np.int32)[places]

    def _words(self, name: str, group: int | None = None) -> tuple[Texts, np.ndarray]:
        """Return the different texts of a column, and which of them each row has.

        Args:
            name: of the column.
            group: the group of rows in the file; None: all.
        """
        (column,) = self._columns([name], group)
        with self.reading():
            if name not in self._texts or column.null_count:
                raise DataError(f"column {name!r:.60} holds something else than texts")
            column = column.combine_chunks().dictionary_encode()
            return texts_of(column.dictionary), column.indices.to_numpy()

    def numbers(self, names: Sequence[str], kind: str) -> np.ndarray:
        """Return columns of numbers, (rows, columns); raise DataError where one holds others.

        Args:
            names: of the columns, at least one.
            kind: "i" for whole numbers, "f" for fractions, finite ones.
        """
        columns = self._columns(names)
        with self.reading():
            arrays = [column.to_numpy() for column in columns]
            for name, array in zip(names, arrays, strict=True):
                if array.dtype.kind != kind or not np.isfinite(array).all():
                    wanted = "finite fractions" if kind == "f" else "whole numbers"
                    raise DataError(f"column {name!r:.60} holds something else than {wanted}")
            return np.stack(arrays, axis=1)

    def _columns(self, names: Sequence[str], group: int | None = None) -> "list[pa.ChunkedArray]":
        with self.reading():
            for name in names:
                if self.names.count(name) != 1:
                    raise DataError(f"it has not one column {name!r:.60}")
            if group is not None:
                table = self._file.read_row_group(group, columns=list(names))
            else:
                table = self._file.read(columns=list(names))
            table.validate(full=True)  # that no place is beyond its dictionary
            columns = [table.column(name) for name in names]
            if group is None and any(len(column) != self.rows for column in columns):
                raise DataError("its columns have different lengths")
            return columns


def text_column(texts: Sequence[str]) -> "pa.Array":
    """Return texts as a column of strings."""
    import pyarrow as pa

    stored = Texts.of(texts)
    ends = stored.ends - stored.ends[0]
    content = stored.content[stored.ends[0] : stored.ends[-1]]
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(content))]
    column = pa.LargeStringArray.from_buffers(len(stored), *buffers[1:])
    return column.cast(pa.string()) if ends[-1] < 2**31 else column


def named_column(numbers: np.ndarray, names: Sequence[str]) -> "pa.Array":
    """Return the names of numbers (n,), as a column of strings."""
    import pyarrow as pa

    places = pa.array(np.asarray(numbers, np.int32))
    return pa.array(list(names), pa.string()).take(places)


def texts_of(column: "pa.Array") -> Texts:
    """Return a column of strings as texts."""
    import pyarrow as pa

    large = column.cast(pa.large_string())
    large.validate(full=True)  # that it is utf-8
    _, ends, content = large.buffers()
    bounds = np.frombuffer(ends, np.int64)[large.offset : large.offset + len(large) + 1]
    if not len(large):
        return Texts.of(())
    return Texts(np.frombuffer(content or b"", np.uint8), bounds)
