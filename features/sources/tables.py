"""The rows of a table, CSV, TSV or Parquet, read within limits from a file that may be hostile."""

import csv
import io
from collections.abc import Iterator
from typing import IO, Any

from features.errors import DataError
from features.storage import parquet_guard
from features.text import reason_of

Row = tuple[int, list[str]]  # line number, fields

_MOST_COLUMNS = 1000  # each becomes a dataset of the feature file
_LINE_CHARACTERS = 2**20
_MOST_LINES = 10_000  # of one row, within quotes
_PARQUET_ROWS = 2**12  # read at a time


def rows_of(name: str, file: IO[bytes]) -> Iterator[Row]:
    """Yield the names of the columns as the first row, then the rows.

    Args:
        name: the file's name; its suffix decides the format, and messages begin with it.
        file: where the table begins.

    Raises:
        DataError: it is no such table, or larger than any that is of use.
    """
    if name.lower().endswith(".parquet"):
        return _parquet_rows(name, file)
    return _text_rows(name, file, "\t" if name.lower().endswith(".tsv") else ",")


def check_columns(name: str, count: int) -> None:
    """Raise DataError where a table has too many columns."""
    if count > _MOST_COLUMNS:
        raise DataError(
            f"{name} has {count:,} columns, expected at most {_MOST_COLUMNS:,}; leave out those "
            "that are not needed"
        )


class _Lines:
    """The lines of a text, none of them very long."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name, self.read, self.of_row = name, 0, 0
        self._text = io.TextIOWrapper(file, "utf-8-sig", newline="")

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        self.read += 1
        self.of_row += 1
        try:
            line = self._text.readline(_LINE_CHARACTERS)
        except UnicodeDecodeError:
            raise DataError(
                f"{self.name} is not UTF-8 text (near line {self.read:,}); save it so"
            ) from None
        if len(line) == _LINE_CHARACTERS:
            raise DataError(
                f"{self.name}, line {self.read:,}: longer than {_LINE_CHARACTERS:,} characters"
            )
        if self.of_row > _MOST_LINES:
            raise DataError(f"{self.name}, line {self.read:,}: a quote before it is never closed")
        if not line:
            raise StopIteration
        return line


def _text_rows(name: str, file: IO[bytes], delimiter: str) -> Iterator[Row]:
    lines = _Lines(name, file)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            lines.of_row = 0
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: {error}") from None


def _parquet_rows(name: str, file: IO[bytes]) -> Iterator[Row]:
    import pyarrow as pa

    try:
        opened = _opened(name, file.read())
        schema = opened.schema
        yield 0, list(schema.names)
        check_columns(name, len(schema))
        for field in schema:
            if pa.types.is_nested(field.type):
                raise _wrong_type(name, field.name, field.type)
        line = 0
        for batch in opened.file.iter_batches(_PARQUET_ROWS):
            batch.validate(full=True)  # that no place is beyond its dictionary
            columns = [_texts(name, *named) for named in zip(schema.names, batch, strict=True)]
            for fields in zip(*columns, strict=True):
                line += 1
                yield line, [field or "" for field in fields]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(name, reason_of(error)) from None


def _opened(name: str, content: bytes) -> parquet_guard.Opened:
    try:
        return parquet_guard.opened(content)
    except DataError as error:
        raise _unreadable(name, str(error)) from None


def _unreadable(name: str, reason: str) -> DataError:
    return DataError(f"{name} cannot be read as a Parquet table: {reason}")


def _texts(name: str, column: str, values: Any) -> list[str | None]:
    """Return a column of a Parquet table (pyarrow.Array) as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        distinct = _texts(name, column, values.dictionary)
        return [None if code is None else distinct[code] for code in values.indices.to_pylist()]
    if pa.types.is_floating(values.type):  # pandas writes a missing label as NaN
        values = pc.if_else(pc.is_nan(values), None, values)
    try:
        return values.cast(pa.string()).to_pylist()
    except pa.ArrowException:
        raise _wrong_type(name, column, values.type) from None


def _wrong_type(name: str, column: str, its_type: object) -> DataError:
    return DataError(
        f"{name}: column {column!r} is of type {its_type}, expected text or numbers; write it so "
        "or leave it out"
    )
