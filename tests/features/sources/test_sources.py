import os
import pickle
import re
from functools import partial

import pytest

from features.decoding import decode
from features.errors import DataError, UsageError
from features.records import Split
from features.sources import open_source
from tests.features.sources.builders import (
    BUILDERS,
    CLASSES,
    IMAGES,
    SPLITS,
    files,
    write_files,
    write_tar,
    write_zip,
)

WITH_PATHS = ("folder", "manifest", "archive")


@pytest.mark.parametrize("name", BUILDERS)
def test_every_kind_gives_the_same_images(name, tmp_path):
    kind, build, has_splits = BUILDERS[name]
    with open_source(build(tmp_path)) as source:
        assert source.kind == kind
        assert source.class_names == CLASSES
        assert [record.index for record in source] == list(range(len(IMAGES)))
        paths = {colour: path for path, colour in IMAGES.items()}  # whatever the ids are
        found = []
        for record in source:
            image = decode(source.read(record.index))
            assert image.size == (8, 6)
            path = paths[image.getpixel((7, 5))]
            found.append(path)
            split, class_name, _ = path.split("/")
            assert source.class_names[record.label] == class_name
            assert record.split == (SPLITS[split] if has_splits else Split.NONE)
            if kind in WITH_PATHS:
                assert record.id == path
        assert source.sequential or found == sorted(IMAGES)
        assert sorted(found) == sorted(IMAGES)


@pytest.mark.parametrize("name", BUILDERS)
def test_ids_are_unique_and_images_can_be_read_in_any_order(name, tmp_path):
    with open_source(BUILDERS[name][1](tmp_path)) as source:
        contents = [pickle.dumps(source.read(index)) for index in range(len(source))]
        for index in (5, 0, 3, 3, 1):
            assert pickle.dumps(source.read(index)) == contents[index]
        assert len({record.id for record in source}) == len(source) == len(set(contents))


@pytest.mark.parametrize("name", BUILDERS)
def test_the_fingerprint_stays_and_sees_a_change(name, tmp_path, monkeypatch):
    def fingerprint(folder):
        (tmp_path / folder).mkdir()
        with open_source(BUILDERS[name][1](tmp_path / folder)) as source:
            return source.fingerprint()

    before = fingerprint("a")
    assert fingerprint("b") == before
    monkeypatch.setitem(IMAGES, "train/cat/z.png", (9, 9, 9))
    assert fingerprint("c") != before


@pytest.mark.parametrize("limit", [None, 3])
@pytest.mark.parametrize("name", BUILDERS)
def test_a_source_that_travels_is_the_same_where_it_arrives(name, limit, tmp_path):
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    with open_source(BUILDERS[name][1](tmp_path), limit) as source:
        assert source.travels == (source.kind in ("folder", "manifest"))
        if source.travels:
            arrived = pickle.loads(cloudpickle.dumps(source, 5))
            assert arrived.fingerprint() == source.fingerprint()
            for record in source:
                assert arrived.read(record.index) == source.read(record.index)


@pytest.mark.parametrize("name", ["folder", "csv"])
def test_a_file_of_another_size_than_was_listed_is_no_image_of_the_source(name, tmp_path):
    source = open_source(BUILDERS[name][1](tmp_path))
    record = source[2]
    (path,) = tmp_path.rglob(record.id.rpartition("/")[2])
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"more")
    expected = f"{path} has {size + 4} bytes, and had {size} when it was listed"
    with pytest.raises(DataError, match=re.escape(expected)):
        source.read(2)


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_order_does_not_depend_on_the_order_of_an_archive(write, tmp_path):
    contents = files()
    backwards = dict(reversed(contents.items()))
    suffix = write.__name__[-3:]
    with (
        open_source(write(tmp_path / f"a.{suffix}", contents)) as one,
        open_source(write(tmp_path / f"b.{suffix}", backwards)) as other,
    ):
        assert list(one) == list(other)
        assert [record.id for record in one] == sorted(contents)
        assert one.fingerprint() == other.fingerprint()
        assert [one.read(i) for i in range(6)] == [other.read(i) for i in range(6)]


@pytest.mark.parametrize("count", [1, 3, 7, 10, 1000])
def test_limit_takes_images_evenly(count, tmp_path):
    names = [f"{folder}/{i:02}.png" for folder in ("a", "b") for i in range(5)]
    write_files(tmp_path, {name: name.encode() for name in names})
    source = open_source(tmp_path, limit=count)
    expected = [names[i * 10 // count] for i in range(count)] if count < 10 else names
    assert [record.id for record in source] == expected
    assert [source.read(i).decode() for i in range(len(source))] == expected
    assert [record.index for record in source] == list(range(len(expected)))
    assert source.class_names == ("a", "b")
    if 1 < count < 10:
        assert source.fingerprint() != open_source(tmp_path).fingerprint()


@pytest.mark.parametrize("limit", [0, -3])
def test_limit_below_one_is_refused(limit, tmp_path):
    with pytest.raises(UsageError, match=f"limit={limit}: expected"):
        open_source(tmp_path, limit=limit)


def test_what_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="nothing at .*absent"):
        open_source(tmp_path / "absent")
    with pytest.raises(UsageError, match="cannot be opened"):
        open_source(tmp_path / ("x" * 300))


@pytest.mark.parametrize("name", ["a.jpg", "a.rar", "a.tar.zst", "a"])
def test_unknown_kinds_are_told_what_is_accepted(name, tmp_path):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match=r"unknown kind.*folder.*\.csv.*\.zip.*\.npz"):
        open_source(tmp_path / name)


def empty_zip(folder):
    return write_zip(folder / "a.zip", {"a.txt": b"", "b.txt": b""})


def empty_tar(folder):
    return write_tar(folder / "a.tar", {"a.txt": b"", "b.txt": b""})


def text_folder(folder):
    return write_files(folder, {"a.txt": b"", "sub/b.txt": b"", ".hidden": b""})


@pytest.mark.parametrize("build", [empty_zip, empty_tar, text_folder])
def test_no_images(build, tmp_path):
    with pytest.raises(DataError, match=r"no images found in .*2 other files.*\.jpg.*\.gif"):
        open_source(build(tmp_path))


def test_an_empty_folder_and_an_empty_manifest_have_no_images(tmp_path):
    with pytest.raises(DataError, match="no images found in .*: 0 other files"):
        open_source(tmp_path)
    (tmp_path / "a.csv").write_text("path,label\n")
    with pytest.raises(DataError, match="no images found"):
        open_source(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "a.npz", "a.h5", "a.parquet"]
)
@pytest.mark.parametrize("content", [b"", b"nothing of the kind " * 100])
def test_junk_with_a_known_suffix(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name) as error:
        open_source(tmp_path / name)
    assert "\n" not in str(error.value)


def open_files():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts file handles by /proc")
@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_files_are_closed_by_close_and_after_an_error(name, tmp_path):
    write = partial(write_tar, mode="w:gz" if name == "a.tgz" else "w")
    write = write_zip if name == "a.zip" else write
    before = open_files()
    for contents in ({"a.jpg": b""}, {"a.jpg": b"", "a.cls": b"x"}):
        with open_source(write(tmp_path / name, contents)) as source:
            assert open_files() == before + (name != "a.tar")  # that one is opened for each read
        assert open_files() == before, source
    write(tmp_path / name, {"a.txt": b""})
    with pytest.raises(DataError, match="no images found"):
        open_source(tmp_path / name)
    assert open_files() == before
    write(tmp_path / name, {"a.csv": b"no,such\n"})
    with pytest.raises(DataError, match="no column 'path'; its columns are: no, such") as error:
        open_source(tmp_path / name)
    assert open_files() == before, error


def test_folders_are_named_as_splits(tmp_path):
    """Where their names do not say so; a name that is none lists the folders."""
    from PIL import Image

    from features.records import Split

    for split in ("one", "two"):
        for label in ("cat", "dog"):
            folder = tmp_path / "images" / split / label
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(folder / "0.png")
    for splits in ({"train": "one", "test": "two"}, "train=one, test=two", [("train", "one")]):
        with open_source(tmp_path / "images", splits=splits) as source:
            assert source.class_names == ("cat", "dog")
            test = Split.NONE if len(splits) == 1 else Split.TEST
            assert source.splits.tolist() == [Split.TRAIN] * 2 + [test] * 2
            assert source.reading.splits["train"] == 2
    with open_source(tmp_path / "images") as source:
        assert source.class_names == ("one", "two")
    with pytest.raises(UsageError, match="no folder 'three' with images; the folders are one, two"):
        open_source(tmp_path / "images", splits="train=three")
    for wrong in ("train", "learn=one", "train=", {"train": 3}, 5):
        with pytest.raises(UsageError, match="expected SPLIT=FOLDER"):
            open_source(tmp_path / "images", splits=wrong)
    (tmp_path / "m.csv").write_text("path\nimages/one/cat/0.png")
    with pytest.raises(UsageError, match="does not have its labels by folders"):
        open_source(tmp_path / "m.csv", splits="train=one")
