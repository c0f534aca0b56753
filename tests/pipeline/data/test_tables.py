"""Tables that we wrote are read within bounds, and what does not belong there is told."""

import hashlib
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import DataError
from pipeline.data.tables import Table

GOOD = {"id": ["a", "b", "a"], "n": np.array([1, 2, 3], np.int16), "x": np.ones(3, np.float32)}


def table(folder, compression="snappy", **changes):
    path = folder / "t.parquet"
    pq.write_table(pa.table(GOOD | changes), path, compression=compression)
    return path


def test_columns_are_read_as_they_were_written(tmp_path):
    path = table(tmp_path)
    read = Table(path, hashlib.sha256(path.read_bytes()).hexdigest(), 3)
    assert (read.names, read.rows) == (("id", "n", "x"), 3)
    assert read.texts("id") == GOOD["id"]
    assert read.numbers(["n"], "i").tolist() == [[1], [2], [3]]
    assert read.numbers(["x", "x"], "f").shape == (3, 2)


def test_an_empty_table(tmp_path):
    pq.write_table(pa.table({"id": pa.array([], pa.string())}), tmp_path / "t")
    assert Table(tmp_path / "t").texts("id") == []


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("id", [b"a", b"b", b"c"]),
        ("id", ["a", None, "c"]),
        ("id", [1, 2, 3]),
        ("id", [["a"], ["b"], []]),
        ("n", [1, None, 3]),
        ("n", [1.5, 2, 3]),
        ("n", ["1", "2", "3"]),
        ("n", np.array([1, 2, 2**64 - 1], np.uint64)),
        ("x", [0.5, np.nan, 1]),
        ("x", [0.5, np.inf, 1]),
        ("x", [0.5, None, 1]),
        ("x", [True, False, True]),
        ("x", [{"y": 1}, {"y": 2}, {"y": 3}]),
    ],
)  # fmt: skip
def test_what_does_not_belong_into_a_column_is_told(tmp_path, column, values):
    read = Table(table(tmp_path, **{column: values}))
    with pytest.raises(DataError, match=rf"t\.parquet cannot be read: .*{column}"):
        read.texts("id") if column == "id" else read.numbers(
            [column], "i" if column == "n" else "f"
        )


def test_a_column_that_is_missing_or_there_twice(tmp_path):
    with pytest.raises(DataError, match="not one column 'y'"):
        Table(table(tmp_path)).texts("y")
    names = pa.table([["a"], ["b"]], names=["id", "id"])
    pq.write_table(names, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="not one column 'id'"):
        Table(tmp_path / "t.parquet").texts("id")


def test_few_bytes_never_become_many_rows(tmp_path):
    path = tmp_path / "t.parquet"
    writer = pq.ParquetWriter(path, pa.schema({"id": pa.string()}))
    rows = pa.table({"id": pa.array(["x"] * 10**6)})
    writer.write_table(rows, row_group_size=10**6)
    writer.close()
    assert path.stat().st_size < 10**4
    with pytest.raises(DataError, match="claims 1,000,000 rows, expected at most"):
        Table(path)
    assert Table(path, most_rows=10**6).texts("id")[-1] == "x"
    with pytest.raises(DataError, match="claims 1,000,000 rows, expected at most 9"):
        Table(path, most_rows=9)


def test_a_long_text_in_many_rows_is_held_once(tmp_path):
    pq.write_table(pa.table({"id": ["x" * 10**4] * 1000}), tmp_path / "t.parquet")
    texts = Table(tmp_path / "t.parquet", most_rows=1000).texts("id")
    assert all(text is texts[0] for text in texts)


def test_other_compressions_are_refused(tmp_path):
    with pytest.raises(DataError, match="compressed by ZSTD"):
        Table(table(tmp_path, "zstd"))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 no more PAR1", b"\0" * 1000])
def test_damage_is_told_in_one_line(tmp_path, content):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(DataError, match="run `classify` again") as caught:
        Table(tmp_path / "t")
    assert "\n" not in str(caught.value)


def test_every_truncation_and_many_flips_are_told_or_harmless(tmp_path):
    whole = table(tmp_path).read_bytes()
    rng = np.random.default_rng(0)
    for number in range(300):
        spoiled = bytearray(whole)
        spoiled[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        (tmp_path / "t").write_bytes(spoiled if number % 2 else whole[: rng.integers(len(whole))])
        try:
            read = Table(tmp_path / "t")
            assert len(read.texts("id")) == len(read.numbers(["n"], "i")) == read.rows
        except DataError as error:
            assert "\n" not in str(error)
        with pytest.raises(DataError):
            Table(tmp_path / "t", hashlib.sha256(whole).hexdigest())


def test_what_is_no_regular_file_is_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="missing, or no regular file"):
        Table(tmp_path / "pipe")
