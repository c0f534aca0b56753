import json

import pytest

from features.errors import DataError, UsageError
from features.sources import open_source
from tests.features.sources.builders import write_files, write_tar


def ids(source):
    return [record.id for record in source]


def test_one_shard_with_numbers_as_labels(tmp_path):
    contents = {"2.JPG": b"two", "2.cls": b"10\n", "1.jpg": b"one", "1.cls": b"9", "3.png": b""}
    source = open_source(write_tar(tmp_path / "s-0.tar", contents))
    assert source.kind == "webdataset"
    assert ids(source) == ["s-0/1.jpg", "s-0/2.JPG", "s-0/3.png"]
    assert source.class_names == ("9", "10")
    assert [record.label for record in source] == [0, 1, -1]
    assert [source.read(index) for index in range(3)] == [b"one", b"two", b""]
    assert [source.extent(index) for index in range(3)] == ["3", "3", "0"]


def test_keys_end_at_the_first_dot_of_the_file_name(tmp_path):
    contents = {
        "v1.0/a.jpg": b"image", "v1.0/a.seg.png": b"mask", "v1.0/a.cls": b"cat",
        "v2.0/a.jpg": b"other", "v2.0/a.txt": b"", "v2.0/a.json": b'{"class": 7}',
        ".hidden.jpg": b"",
    }  # fmt: skip
    source = open_source(write_tar(tmp_path / "s.tar", contents))
    assert ids(source) == ["s/v1.0/a.jpg", "s/v2.0/a.jpg"]
    assert source.class_names == ("7", "cat")
    assert [record.label for record in source] == [1, 0]
    assert sum(source.passed_over.values()) == 2


def test_a_compressed_shard_keeps_its_order(tmp_path):
    contents = {"b.cls": b"x", "b.jpg": b"b", "a.cls": b"y", "a.jpg": b"a"}
    with open_source(write_tar(tmp_path / "s.tar.gz", contents, "w:gz")) as source:
        assert source.sequential
        assert ids(source) == ["s/b.jpg", "s/a.jpg"]
        assert [source.read(index) for index in range(2)] == [b"b", b"a"]
        assert [record.label for record in source] == [0, 1]


@pytest.mark.parametrize(
    "contents",
    [
        {"a/1.jpg": b"", "b/2.jpg": b"", "info.json": b'{"label": 1}'},
        {"a/1.jpg": b"", "b/2.jpg": b"", "a/1.json": b'{"boxes": [1, 2]}'},
        {"a/1.jpg": b"", "b/2.jpg": b"", "a/1.json": b"[1]"},
        {"a/1.jpg": b"", "b/2.jpg": b"", "b/1.cls": b"x"},
    ],
)
def test_other_tars_with_such_files_are_archives(contents, tmp_path):
    source = open_source(write_tar(tmp_path / "a.tar", contents))
    assert source.kind == "archive"
    assert source.class_names == ("a", "b")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"1.cls": b"\xff\xfe"}, "label of '1' cannot be read"),
        ({"1.json": b"{"}, "label of '1' cannot be read"),
        ({"1.json": b'{"label": [1, 2]}'}, "neither a name nor a number"),
        ({"1.json": b'{"label": 0.5}'}, "0.5 is neither a name nor a number"),
        ({"1.json": b"[" * 100_000}, "label of '1' cannot be read"),
    ],
)
def test_labels_that_cannot_be_meant(contents, message, tmp_path):
    path = write_tar(tmp_path / "s.tar", {"1.jpg": b"", **contents})
    with pytest.raises(DataError, match=message) as error:
        open_source(path)
    assert "s.tar" in str(error.value)


def shards(folder, numbers):
    for number in numbers:
        contents = {"0.jpg": number.encode(), "0.json": json.dumps({"label": number}).encode()}
        write_tar(folder / f"s-{number}.tar", contents)


@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [
        ("s-{000..012}.tar", [f"{number:03}" for number in range(13)]),
        ("s-{8..11}.tar", ["8", "9", "10", "11"]),
        ("s-{0..10}.tar", [str(number) for number in range(11)]),
        ("s-{08..11}.tar", ["08", "09", "10", "11"]),
        ("s-{0..1}{0..1}.tar", ["00", "01", "10", "11"]),
    ],
)
def test_patterns_count_as_a_shell_does(pattern, numbers, tmp_path):
    shards(tmp_path, numbers)
    shards(tmp_path, ["999"])  # not meant
    source = open_source(tmp_path / pattern)
    assert ids(source) == sorted(f"s-{number}/0.jpg" for number in numbers)
    contents = [source.read(index).decode() for index in range(len(source))]
    assert contents == [source.class_names[record.label] for record in source]
    assert sorted(contents) == sorted(numbers)


def test_ids_of_all_shards_together_are_sorted(tmp_path):
    for name in ("a", "a-b", "a.b"):
        write_tar(tmp_path / f"{name}.tar", {"1.jpg": b"", "1.cls": b"x", "0.jpg": b""})
    source = open_source(tmp_path)
    assert ids(source) == sorted(ids(source))
    assert len(source) == 6


def test_a_missing_shard_is_named(tmp_path):
    shards(tmp_path, ["0", "2"])
    with pytest.raises(UsageError, match=r"no shard .*s-1\.tar"):
        open_source(tmp_path / "s-{0..2000000000}.tar")
    with pytest.raises(UsageError, match="stands for no shard"):
        open_source(tmp_path / "s-{2..0}.tar")


def test_shards_of_the_same_name(tmp_path):
    for folder in ("x0", "x1"):
        (tmp_path / folder).mkdir()
        write_tar(tmp_path / folder / "s.tar", {"1.jpg": b"", "1.cls": b""})
    with pytest.raises(UsageError, match="names of their own"):
        open_source(tmp_path / "x{0..1}" / "s.tar")


def test_a_shard_that_vanishes(tmp_path):
    shards(tmp_path, ["0", "1"])
    source = open_source(tmp_path)
    (tmp_path / "s-1.tar").unlink()
    assert source.read(0) == b"0"
    with pytest.raises(DataError, match=r"s-1\.tar has vanished"):
        source.read(1)


def test_a_folder_of_tars_may_hold_other_files_but_no_images(tmp_path):
    shards(tmp_path, ["0"])
    write_files(tmp_path, {"features.h5": b"", "features.h5.partial/0.h5": b""})
    assert ids(open_source(tmp_path)) == ["s-0/0.jpg"]
    write_files(tmp_path, {"x.jpg": b""})
    assert ids(open_source(tmp_path)) == ["x.jpg"]
