"""The one way to a Parquet file that anybody may have made: Arrow opens it after a look through it.

A file of a few kilobytes can claim billions of rows, and a text that it holds once can stand in
each of them. So rows are counted, and such texts are not written out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from features.errors import DataError
from features.storage import parquet_walk
from features.storage.expansion import RATIO, most_bytes
from features.storage.parquet_walk import Claims

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_FREE_VALUES = 2**20


@dataclass(frozen=True)
class Opened:
    """A Parquet file, open for reading.

    Attributes:
        file: a pyarrow.parquet.ParquetFile, whose `metadata` nobody asks for columns: on some that
            do not exist Arrow ends the process.
        schema: its columns, as they are without dictionaries.
        claims: what it claims.
        bytes: its size.
    """

    file: "pq.ParquetFile"
    schema: "pa.Schema"
    claims: Claims
    bytes: int


def opened(content: bytes, most_values: int | None = None) -> Opened:
    """Open a file for reading; texts that lie in a dictionary are read as one, also in lists.

    Args:
        content: the file.
        most_values: how many values a column may have; None: as many as the file's size allows.

    Raises:
        DataError: see `parquet_walk.look_through`, or it claims more values.
        pyarrow.ArrowException, OSError: it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    claims = parquet_walk.look_through(content)
    most = _FREE_VALUES + RATIO * len(content) if most_values is None else most_values
    if claims.values > most:
        raise DataError(f"it claims {claims.values:,} rows, expected at most {most:,}")
    source = pa.BufferReader(content)
    plain = pq.ParquetFile(source)
    texts = [
        column.path
        for position, column in enumerate(plain.schema)
        if position in claims.dictionaries and column.physical_type == "BYTE_ARRAY"
    ]
    file = pq.ParquetFile(source, read_dictionary=texts)
    return Opened(file, plain.schema_arrow, claims, len(content))


def read(opened: Opened, names: Sequence[str]) -> "pa.Table":
    """Return columns of a file, with texts written out in every row.

    Args:
        opened: the file.
        names: of columns, each of which it has once.

    Raises:
        DataError: they take far more memory than the file, or are neither texts, numbers nor lists.
        pyarrow.ArrowException, OSError: it is damaged.
    """
    import pyarrow as pa

    schema = pa.schema([opened.schema.field(name) for name in names])
    taken, most, tables = 0, most_bytes(opened.bytes), [schema.empty_table()]
    for group in range(opened.file.num_row_groups):  # whole files of lists Arrow does not read so
        table = opened.file.read_row_group(group, columns=list(names)).select(list(names))
        table.validate(full=True)  # that no place is beyond its dictionary
        taken += sum(_text_bytes(chunk) for column in table.columns for chunk in column.chunks)
        if taken > most:
            raise DataError(f"it has texts of more than {most:,} bytes in all")
        tables.append(table.cast(schema))
    return pa.concat_tables(tables)


def _text_bytes(column: "pa.Array") -> int:
    """Return how many bytes the texts of a column take when they are written out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = column.flatten()
    if pa.types.is_nested(column.type):
        raise DataError(f"it has a column of type {column.type}, expected texts, numbers or lists")
    if not pa.types.is_dictionary(column.type):
        return 0
    return pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py() or 0
