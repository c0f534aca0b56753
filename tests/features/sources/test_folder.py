import errno
import os
import shutil
import tracemalloc

import pytest

from features.errors import DataError
from features.sources import files, open_source
from features.sources.folder import FolderSource
from tests.features.sources.builders import write_files

ONE = {"cat/1.jpg": b"1"}


def read_error(source, name):
    ids = [record.id for record in source]
    with pytest.raises(OSError) as error:
        source.read(ids.index(name))
    return error.value


def test_what_is_no_image_is_counted_and_what_is_hidden_is_not(tmp_path):
    passed_over = {"a.txt": b"", "cat/notes.md": b"", "cat/noext": b""}
    hidden = {".DS_Store": b"", "cat/.x.jpg": b"", ".git/y.jpg": b"", "Thumbs.db": b"",
              "__MACOSX/cat/._1.jpg": b"", "__MACOSX/cat/1.jpg": b""}  # fmt: skip
    source = open_source(write_files(tmp_path, {**ONE, **passed_over, **hidden}))
    assert [record.id for record in source] == ["cat/1.jpg"]
    assert source.passed_over == {".txt": 1, ".md": 1, "without a suffix": 1}


def test_names_in_any_script_sorted_by_code_point(tmp_path):
    names = ["A.jpg", "a b.jpg", "a.jpg", "é.jpg", "кот.jpg", "猫.jpg", "🐈.jpg"]
    source = open_source(write_files(tmp_path, {name: name.encode() for name in names[::-1]}))
    assert [record.id for record in source] == names
    assert [source.read(index).decode() for index in range(len(source))] == names


def test_a_name_that_is_not_utf8_gets_an_id_and_is_read(tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    with open(folder + b"/\xff.jpg", "wb") as file:
        file.write(b"content")
    source = open_source(tmp_path)
    assert source[0].id == "caf\\xe9/\\xff.jpg"
    assert source[0].id.encode("utf-8")
    assert source.class_names == ("caf\\xe9",)
    assert source.read(0) == b"content"


def test_ids_and_not_names_give_the_order(tmp_path):
    # As a name the byte is U+DCFF, after every letter; its id begins with a backslash.
    for name in (b"\xff.jpg", b"a.jpg", b"Z.jpg", b"\\xff.jpg"):
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(name)
    source = open_source(tmp_path)
    assert source.ids == ["Z.jpg", "\\xff.jpg", "\\xff.jpg", "a.jpg"]
    names = [b"Z.jpg", b"\\xff.jpg", b"\xff.jpg", b"a.jpg"]  # equal ids by name
    assert [source.read(row) for row in range(4)] == names


def test_what_is_named_like_an_image_and_cannot_be_read_is_listed(tmp_path):
    write_files(tmp_path, {**ONE, "cat/folder.jpg/inside.jpg": b""})
    (tmp_path / "cat/loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "cat/broken.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "cat/pipe.jpg")
    source = open_source(tmp_path)
    assert len(source) == 5
    assert isinstance(read_error(source, "cat/folder.jpg"), IsADirectoryError)
    assert read_error(source, "cat/loop.jpg").errno == errno.ELOOP
    assert isinstance(read_error(source, "cat/broken.jpg"), FileNotFoundError)
    assert read_error(source, "cat/pipe.jpg").strerror == "not a regular file"
    assert source.read([record.id for record in source].index("cat/1.jpg")) == b"1"


def test_linked_class_folders_are_followed_and_loops_are_not(tmp_path):
    write_files(tmp_path / "elsewhere", {"x.jpg": b"x"})
    root = write_files(tmp_path / "root", {"cat/1.jpg": b"1"})
    (root / "dog").symlink_to(tmp_path / "elsewhere")
    (root / "puppy").symlink_to(tmp_path / "elsewhere")
    (root / "cat/up").symlink_to(root)
    (tmp_path / "elsewhere/self").symlink_to(".")
    (root / "nowhere").symlink_to("nowhere")
    source = open_source(root)
    assert [record.id for record in source] == ["cat/1.jpg", "dog/x.jpg", "puppy/x.jpg"]
    assert source.class_names == ("cat", "dog", "puppy")
    assert sum(source.passed_over.values()) == 1


def test_a_file_too_large_to_be_an_image_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    source = open_source(write_files(tmp_path, {"a.jpg": bytes(10), "b.jpg": bytes(11)}))
    assert source.read(0) == bytes(10)
    assert read_error(source, "b.jpg").errno == errno.EFBIG


def test_a_folder_that_goes_while_it_is_listed(tmp_path, monkeypatch):
    write_files(tmp_path / "root", ONE)
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("cat/"):
            shutil.rmtree(tmp_path / "root")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match="root/cat cannot be listed: No such file"):
        open_source(tmp_path / "root")


def test_sizes_are_the_extent(tmp_path):
    source = open_source(write_files(tmp_path, {"a.jpg": bytes(10), "b.jpg": bytes(11)}))
    assert [source.extent(index) for index in range(2)] == ["10", "11"]


def test_many_images_are_held_as_arrays(tmp_path):
    """A Python string alone takes more than 80 bytes."""
    for number in range(4000):
        path = tmp_path / f"class{number % 4}" / f"image-{number:020d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    FolderSource(tmp_path / "class0")  # loads what the first one loads
    tracemalloc.start()
    try:
        source = FolderSource(tmp_path)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(source) == 4000
    assert held / 4000 < 80 and peak / 4000 < 400
