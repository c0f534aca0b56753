import datetime
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import DataError
from features.sources import manifest, open_source
from tests.features.sources.builders import write_files


def parse(name, content):
    return manifest.parse(name, io.BytesIO(content), len(content))


def lines(*rows):
    return "\n".join(rows).encode()


def parquet(columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def test_columns_in_any_order_and_others_kept():
    table = lines("note,split,path,label,Gerät", "x,TEST,b.jpg, dog ,", ", val ,a.jpg,,徕卡 3 ")
    listing = parse("m.csv", table)
    assert listing.columns == {"note": ["", "x"], "Gerät": ["徕卡 3", ""]}
    assert list(listing.columns) == ["note", "Gerät"], "in their order"
    assert listing.ids == ["a.jpg", "b.jpg"]
    assert listing.labels.tolist() == [-1, 0]
    assert listing.splits.tolist() == [2, 3]
    assert listing.class_names == ("dog",)


def test_path_alone_is_enough():
    listing = parse("m.csv", lines("path", "b.jpg", "", "a.jpg"))
    assert listing.ids == ["a.jpg", "b.jpg"]
    assert listing.labels.tolist() == [-1, -1]
    assert listing.splits.tolist() == [0, 0]


def test_paths_are_taken_without_detours_and_names_may_be_odd():
    listing = parse("m.csv", lines("path", "./x/../a.jpg", '"b, c.jpg"', "猫//d.jpg", "..e.jpg"))
    assert listing.ids == ["..e.jpg", "a.jpg", "b, c.jpg", "猫/d.jpg"]


def test_a_backslash_separates_folders_where_no_path_has_a_slash():
    listing = parse("m.csv", lines("path", "b\\x\\1.jpg", "a\\2.jpg", "3.jpg"))
    assert listing.ids == ["3.jpg", "a/2.jpg", "b/x/1.jpg"]
    listing = parse("m.csv", lines("path", "b\\1.jpg", "a/2.jpg"))
    assert listing.ids == ["a/2.jpg", "b\\1.jpg"]


def test_urls_stand_beside_paths():
    table = lines("path,label", "b.jpg,x", "https://h/c.jpg?token=1,y", "a.jpg,x", "s3://h/d.jpg,")
    listing = parse("m.csv", table)
    assert listing.ids == ["a.jpg", "b.jpg", "https://h/c.jpg", "s3://h/d.jpg"]
    assert listing.urls == ["", "", "https://h/c.jpg?token=1", "s3://h/d.jpg"]
    assert listing.labels.tolist() == [0, 0, 1, -1]
    assert parse("m.csv", lines("path", "a")).urls is None


def test_numbers_as_labels():
    listing = parse("m.csv", lines("path,label", "a,10", "b,9", "c,0"))
    assert listing.class_names == ("0", "9", "10")
    assert listing.labels.tolist() == [2, 1, 0]
    same = parse("m.parquet", parquet({"path": ["a", "b", "c"], "label": [10, 9, 0]}))
    assert same.class_names == listing.class_names
    assert np.array_equal(same.labels, listing.labels)


def test_empty_cells_of_parquet():
    columns = {"path": ["a", "b"], "label": ["x", None], "split": [None, "train"]}
    listing = parse("m.parquet", parquet(columns))
    assert listing.labels.tolist() == [0, -1]
    assert listing.splits.tolist() == [0, 1]
    assert listing.columns == {}


def test_further_columns_of_parquet_are_text():
    columns = {
        "age": [7, None],
        "path": ["b", "a"],
        "dose": [0.5, None],
        "ill": [True, False],
        "day": [datetime.date(2026, 2, 3), None],
        "camera": pa.array(["Leica", None]).dictionary_encode(),
        "nothing": pa.nulls(2),
    }
    assert parse("m.parquet", parquet(columns)).columns == {
        "age": ["", "7"],
        "dose": ["", "0.5"],
        "ill": ["false", "true"],
        "day": ["", "2026-02-03"],
        "camera": ["", "Leica"],
        "nothing": ["", ""],
    }


def test_a_changed_column_changes_the_fingerprint(tmp_path):
    def fingerprint(*rows):
        write_files(tmp_path, {"a": b"", "b": b"", "m.csv": lines(*rows)})
        with open_source(tmp_path / "m.csv") as source:
            return source.fingerprint()

    tables = [
        ("path", "a", "b"),
        ("path,patient", "a,1", "b,2"),
        ("path,patient", "a,1", "b,3"),
        ("path,person", "a,1", "b,2"),
        ("path,patient,camera", "a,1,", "b,2,"),
        ("path,camera,patient", "a,1,", "b,2,"),
    ]
    found = [fingerprint(*rows) for rows in tables]
    assert len(set(found)) == len(tables)
    assert found[1] == fingerprint("patient,path", "2,b", "1,a")


def test_a_limit_takes_the_columns_of_its_images(tmp_path):
    rows = [f"{n},{n}.jpg" for n in range(9)]
    write_files(tmp_path, {"m.csv": lines("number,path", *rows)})
    with open_source(tmp_path / "m.csv", limit=3) as source:
        assert [record.id for record in source] == ["0.jpg", "3.jpg", "6.jpg"]
        assert source.columns == {"number": ["0", "3", "6"]}


BAD = {
    "no path": (lines("file,label", "a,b"), "has no column 'path'; its columns are: file, label"),
    "semicolons": (lines("path;label", "a;b"), "its columns are: path;label"),
    "nothing": (b"", "its columns are: none"),
    "twice": (lines("path", "a.jpg", "b.jpg", "./a.jpg"), "line 4: 'a.jpg' is listed twice"),
    "twice, and again": (
        lines("path", "c", "b", "a", "b", "a", "c"),
        "line 5: 'b' is listed twice",
    ),
    "above": (lines("path", "a.jpg", "../b.jpg"), "line 3: path '../b.jpg' leads outside"),
    "above in the end": (lines("path", "a/../../b.jpg"), "line 2: .* leads outside"),
    "above on Windows": (lines("path", "a\\..\\..\\b.jpg"), "line 2: .* leads outside"),
    "absolute": (lines("path", "/etc/passwd"), "line 2: path '/etc/passwd' is absolute"),
    "drive": (lines("path", "C:\\a.jpg"), "line 2: .* is absolute"),
    "unc": (lines("path", "\\\\host\\a.jpg"), "line 2: .* is absolute"),
    "no name": (lines("path,label", ",cat"), "line 2: path '' is not the name of a file"),
    "nul": (lines("path", "a\0b.jpg"), "line 2"),
    "split": (lines("path,split", "a,tset"), "line 2: split 'tset', expected train, validation"),
    "comma": (lines("path,label", "a, b.jpg,cat"), "line 2: 3 fields, expected 2; quote"),
    "short": (lines("path,label", "a", "b,c"), "line 2: 1 fields, expected 2"),
    "no name of a column": (lines("path,", "a,0"), "a column called ''.*rename it or leave it out"),
    "slash in a column": (lines("path,m/s", "a,1"), "a column called 'm/s'"),
    "dot as a column": (lines("path,.", "a,1"), "a column called '.'"),
    "nul in a column's name": (lines("path,x\0", "a,1"), "a column called"),
    "nul in a column": (lines("path,x", "a,1", "b,\0"), "line 3: column 'x' has a NUL in it"),
    "another column twice": (lines("path,x,y,x", "a,1,2,3"), "column 'x' twice"),
    "columns twice": (lines("path,path", "a,b"), "column 'path' twice"),
    "quotes": (lines("path", '"a', "b"), "line 3"),
    "utf-16": ("path\na.jpg".encode("utf-16"), "is not UTF-8 text"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_told_with_their_line(name):
    content, message = BAD[name]
    with pytest.raises(DataError, match=message) as error:
        parse("m.csv", content)
    assert str(error.value).startswith("m.csv")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"file": ["a"], "label": [1]}, "no column 'path'; its columns are: file, label"),
        ({"path": ["a", "../b"]}, "line 2: path '../b' leads outside"),
        ({"path": [["a"]]}, "column 'path' is of type list<.*>, expected text or numbers"),
        ({"path": ["a"], "x": [{"y": 1}]}, "column 'x' is of type struct<.*>.* leave it out"),
        ({"path": ["a"], "x/y": [1]}, "a column called 'x/y'"),
        ({"path": ["a", None]}, "line 2: path ''"),
    ],
)
def test_bad_parquet(columns, message):
    with pytest.raises(DataError, match=message):
        parse("m.parquet", parquet(columns))


def test_a_line_break_in_quotes_does_not_shift_line_numbers():
    with pytest.raises(DataError, match="line 4"):
        parse("m.csv", lines("path,label", '"a', '.jpg",x', "/b,x"))


def test_a_file_that_is_missing_is_found_when_it_is_read(tmp_path):
    write_files(tmp_path, {"sub/a.jpg": b"a", "m.csv": lines("path", "sub/a.jpg", "sub/b.jpg")})
    source = open_source(tmp_path / "m.csv")
    assert source.read(0) == b"a"
    with pytest.raises(FileNotFoundError):
        source.read(1)
    assert [source.extent(index) for index in range(2)] == ["1", "-1"]


def test_a_label_column_written_by_pandas(tmp_path):
    frame = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "label": pd.Categorical(["x", None])})
    frame.to_parquet(tmp_path / "m.parquet")
    write_files(tmp_path, {"a.jpg": b"", "b.jpg": b""})
    source = open_source(tmp_path / "m.parquet")
    assert [record.label for record in source] == [0, -1]
