"""A Parquet file is taken as it is, or refused in one line before Arrow sees what it claims."""

import copy
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import DataError
from features.sources.tables import rows_of
from features.storage import parquet_guard, parquet_walk
from pipeline.data.tables import Table
from pipeline.results import prediction_tables
from tests.hostile import thrift
from tests.hostile.spoiling_parquet import columns, pages

ROWS = 30
COLUMNS = {
    "id": [f"{n}.png" for n in range(ROWS)], "label": ["cat", "dog"] * (ROWS // 2),
    "n": np.arange(ROWS), "p:cat": np.arange(ROWS) / ROWS,
}  # fmt: skip
SPLITS = SimpleNamespace(ids=range(ROWS), class_names=("cat", "dog"))
FOOTER_ENCRYPTION, COLUMN_ENCRYPTION = 8, 8


def written(table=None, **options):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(COLUMNS) if table is None else table, sink, **options)
    return sink.getvalue().to_pybytes()


def read(content):
    opened = parquet_guard.opened(content)
    return parquet_guard.read(opened, opened.schema.names)


def as_table(path):
    table = Table(path)
    table.texts("id"), table.ids("label"), table.numbers(["n"], "i"), table.numbers(["p:cat"], "f")


def as_rows(path):
    with path.open("rb") as file:
        return list(rows_of("m.parquet", file))


def as_predictions(path):
    return prediction_tables._read(path, SPLITS)


READERS = (as_table, as_rows, as_predictions)


def ends(path):
    """What became of a file by each reader: whether it was taken."""
    taken = []
    for reader in READERS:
        try:
            reader(path)
            taken.append(True)
        except DataError as error:
            assert "\n" not in str(error)
            taken.append(False)
    return taken


@pytest.mark.parametrize("options", [
    {}, {"compression": "none", "use_dictionary": False}, {"compression": "zstd"}, {"compression": "gzip"},
    {"compression": "brotli"}, {"compression": "lz4"}, {"data_page_version": "2.0"}, {"version": "1.0"},
    {"row_group_size": 7}, {"write_page_index": True}, {"max_rows_per_page": 7},
    {"use_byte_stream_split": ["p:cat"], "use_dictionary": False}, {"store_schema": False},
    {"column_encoding": {"id": "DELTA_LENGTH_BYTE_ARRAY", "n": "DELTA_BINARY_PACKED"}, "use_dictionary": False},
    {"write_page_checksum": True}, {"sorting_columns": [pq.SortingColumn(0)]},
])  # fmt: skip
def test_what_arrow_writes_is_read(options, tmp_path):
    table = pa.table(COLUMNS).append_column("many", [[["a", "b", None], [], None] * (ROWS // 3)])
    content = written(table, **options)
    assert read(content) == pq.read_table(pa.BufferReader(content))
    claims = parquet_walk.look_through(content)
    assert (claims.rows, claims.values) == (ROWS, 5 * ROWS // 3)


@pytest.mark.parametrize("table", [
    {}, {"a": pa.array([], pa.string())}, {"a": pa.nulls(3)}, {"a": pa.array(["é", None, "é"], pa.large_string())},
    {"a": pa.array([b"\xff", b""], pa.binary())}, {"a": pa.array([b"ab"], pa.binary(2))}, {"a.b": ["x"], "c d": [1]},
    {"a": pa.array(["x", "y", "x"]).dictionary_encode()}, {"a": [True, None]},
    {"a": pa.array([1], pa.decimal128(38, 2))}, {"a": pa.array([1], pa.timestamp("ns"))},
    {"a": pa.array([[["x"], []], None])},
])  # fmt: skip
def test_types_are_read_as_they_are(table):
    content = written(pa.table(table))
    assert read(content) == pq.read_table(pa.BufferReader(content)).cast(
        parquet_guard.opened(content).schema
    )


@pytest.mark.parametrize("codec", [-1, 8, 77, 2**31 - 1])
def test_a_compression_that_does_not_exist_is_refused(codec, tmp_path):
    body, footer = thrift.footer(written())
    for column in columns(footer):
        column[4][1] = codec
    (tmp_path / "t.parquet").write_bytes(thrift.with_footer(body, footer))
    for reader in READERS:
        with pytest.raises(DataError, match=f"compressed by what does not exist .{codec}."):
            reader(tmp_path / "t.parquet")


def test_what_is_encrypted_is_refused(tmp_path):
    body, footer = thrift.footer(written())
    whole, column = copy.deepcopy(footer), copy.deepcopy(footer)
    whole[FOOTER_ENCRYPTION] = [thrift.STRUCT, {1: [thrift.STRUCT, {}]}]
    key = [thrift.STRUCT, {2: [thrift.STRUCT, {1: [9, [thrift.TEXT, b"id"]]}]}]
    column[4][1][1][1][1][1][COLUMN_ENCRYPTION] = key
    for fields in (whole, column):
        (tmp_path / "t.parquet").write_bytes(thrift.with_footer(body, fields))
        for reader in READERS:
            with pytest.raises(DataError, match="it is encrypted"):
                reader(tmp_path / "t.parquet")


@pytest.mark.parametrize("options", [{}, {"data_page_version": "2.0", "use_dictionary": False}])
def test_every_number_of_a_footer_may_be_any(options, tmp_path):
    body, footer = thrift.footer(written(**options))
    path, taken = tmp_path / "t.parquet", []
    for at, (_, _, kind) in enumerate(thrift.places(footer)):
        if kind in thrift.INTEGERS:
            for number in (-1, 9, 2**31 - 1):
                fields = copy.deepcopy(footer)
                thrift.put(thrift.places(fields)[at], number)
                path.write_bytes(thrift.with_footer(body, fields))
                taken += ends(path)
    assert 0 < sum(taken) < len(taken)


def test_every_number_of_a_page_may_be_any(tmp_path):
    content = written(compression="none")
    body, footer = thrift.footer(content)
    path, taken = tmp_path / "t.parquet", []
    for start, head in pages(content):
        length = len(thrift.packed_struct(head))
        for at, (_, _, kind) in enumerate(thrift.places(head)):
            for number in (0, 5, 9, 63) if kind in thrift.INTEGERS else ():
                other = copy.deepcopy(head)
                thrift.put(thrift.places(other)[at], number)
                packed = thrift.packed_struct(other)
                if len(packed) == length:  # so that the others lie where they did
                    spoiled = body[:start] + packed + body[start + length :]
                    path.write_bytes(thrift.with_footer(spoiled, footer))
                    taken += ends(path)
    assert 0 < sum(taken) < len(taken)


def test_a_place_beyond_its_dictionary_is_refused(tmp_path):
    content = written(compression="none")
    start, head = next(pages(content))
    words = head[7][1][1]
    words[1] -= 1  # of so many words all are referred to
    body, footer = thrift.footer(content)
    packed = thrift.packed_struct(head)
    path = tmp_path / "t.parquet"
    path.write_bytes(
        thrift.with_footer(body[:start] + packed + body[start + len(packed) :], footer)
    )
    assert ends(path) == [False] * len(READERS)


@pytest.mark.parametrize(("table", "options", "message"), [
    ({"id": ["\0" * 10**8]}, {"compression": "zstd", "use_dictionary": False}, "pages claim 100,0"),
    ({"id": [f"{'x' * 10**5}{n}" for n in range(100)]},
     {"column_encoding": {"id": "DELTA_BYTE_ARRAY"}, "use_dictionary": False}, "DELTA_BYTE_ARRAY"),
    ({"id": np.zeros(10**7, np.int8)}, {"row_group_size": 10**7}, "claims 10,000,000 rows, expected at most"),
    ({"id": [["a"] * 10**7]}, {}, "claims 10,000,000 rows"),
    ({"id": pa.array([b"x" * 2000], pa.binary(2000))}, {}, "values of 2,000 bytes, expected at most 1,024"),
])  # fmt: skip
def test_few_bytes_do_not_take_much_memory(table, options, message):
    content = written(pa.table(table), write_statistics=False, store_schema=False, **options)
    assert len(content) < 150_000
    with pytest.raises(DataError, match=message):
        parquet_guard.opened(content)


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.list_(pa.string())]
)
def test_a_long_text_is_not_written_out_in_every_row(kind):
    text = ["y" * 10**6]
    words = pa.array([text if pa.types.is_list(kind) else text[0]] * 80, kind)
    content = written(pa.table({"id": words}), write_statistics=False)
    with pytest.raises(DataError, match="texts of more than"):
        read(content)


@pytest.mark.parametrize("nested", [200, 100_000])
def test_structures_are_bounded(nested, monkeypatch):
    body, footer = thrift.footer(written())
    inner = bytes([0x0C]) + b"\xc6\x01" + bytes([0x1C]) * nested + bytes(nested + 1)  # field 99
    packed = thrift.packed_struct(footer)[:-1] + inner + b"\0"
    with pytest.raises(DataError, match="lie more than 16 deep"):
        read(body + packed + len(packed).to_bytes(4, "little") + b"PAR1")
    monkeypatch.setattr(parquet_walk, "_MOST_VALUES", 2000)
    footer[99] = [9, [5, *[0] * 2000]]
    with pytest.raises(DataError, match="more than 2,000 values"):
        read(thrift.with_footer(body, footer))


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"PAR1\0\0\0\0PAR1", b"\xff" * 50 + b"PAR1", bytes(100)]
)
def test_what_is_no_parquet_file_is_refused(content):
    with pytest.raises(DataError, match="no Parquet file"):
        parquet_guard.opened(content)


def test_groups_of_rows_have_the_same_columns(tmp_path):
    body, footer = thrift.footer(written(row_group_size=ROWS // 2))
    del footer[4][1][1][1][1][-1]
    (tmp_path / "t.parquet").write_bytes(thrift.with_footer(body, footer))
    assert ends(tmp_path / "t.parquet") == [False] * len(READERS)
