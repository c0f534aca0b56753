"""Sources that claim more than they hold, or that unpack to far more than they are."""

import io
import os
import struct
import sys
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import DataError, UsageError
from features.sources import files, folder, manifest, open_source, tables
from tests.features.pictures import encode, solid
from tests.features.sources.builders import write_files, write_tar, write_zip

POSIX = pytest.mark.skipif(os.name == "nt", reason="has no pipes and no /proc")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="has no /proc")
MIB = 2**20


def error_of(source, image):
    with pytest.raises(OSError) as error:
        source.read([record.id for record in source].index(image))
    return str(error.value)


def member(name, size, **fields):
    info = tarfile.TarInfo(name)
    info.size = size
    for field, value in fields.items():
        setattr(info, field, value)
    return info


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_is_larger_than_it_claims_is_not_unpacked_whole(tmp_path, method):
    content = bytes(64 * MIB)
    path = write_zip(tmp_path / "a.zip", {"a/x.png": content}, compression=method)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", len(content)), b"\x64\0\0\0"))
    with open_source(path) as source:
        tracemalloc.start()
        assert "damaged in the archive" in error_of(source, "a/x.png")
        assert tracemalloc.get_traced_memory()[1] < 100 * MIB  # and not twice 64
        tracemalloc.stop()


def test_a_member_that_is_smaller_than_it_claims_is_damaged(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a/x.png": b"0123456789"})
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 10), struct.pack("<I", 99)))
    with open_source(path) as source:
        assert "damaged in the archive: it ends too early" in error_of(source, "a/x.png")


@pytest.mark.parametrize("write", [write_zip, write_tar, write_files])
def test_what_is_large_and_begins_like_no_image_is_not_read(tmp_path, monkeypatch, write):
    monkeypatch.setattr(files, "_LARGE_BYTES", 1000)
    picture = encode(solid((1, 2, 3)))
    large = picture + bytes(2000)
    path = write(tmp_path / "a.zip", {"x.png": bytes(2000), "y.png": large, "z.png": bytes(999)})
    if write is write_tar:
        path = path.rename(tmp_path / "a.tar")
    with open_source(path) as source:
        assert "not a JPEG, PNG" in error_of(source, "x.png")
        assert source.read(1) == large
        assert source.read(2) == bytes(999)


def test_a_table_in_an_archive_may_be_large(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_LARGE_BYTES", 10)
    table = b"path,label\na.png,cat\n"
    path = write_zip(tmp_path / "a.zip", {"table.csv": table, "a.png": encode(solid((1, 2, 3)))})
    with open_source(path) as source:
        assert source.class_names == ("cat",)


def test_a_compressed_tar_that_unpacks_to_hundreds_of_times_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_FREE_BYTES", MIB)
    path = write_tar(tmp_path / "a.tar.gz", {"a/x.png": bytes(4 * MIB)}, "w:gz")
    with pytest.raises(
        DataError, match=r"a\.tar\.gz is refused: it unpacks to more than 100 times"
    ):
        open_source(path)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_without_end_in_a_tar(tmp_path, form):
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as tar:
        tar.addfile(member("a/" + "n" * 100_000, 0))
    with pytest.raises(DataError, match="has a header of 100,0.. bytes"):
        open_source(tmp_path / "a.tar")
    with tarfile.open(tmp_path / "b.tar", "w", format=form) as tar:
        tar.addfile(member("a/" * 3000 + "x.png", 0))
    with pytest.raises(DataError, match="has a name of 6,005 characters"):
        open_source(tmp_path / "b.tar")


def test_a_tar_that_leads_back_to_its_beginning(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member("a/x.png", 0, pax_headers={"size": "-2048"}))
    with pytest.raises(DataError, match="'a/x.png' claims -2,048 bytes"):
        open_source(tmp_path / "a.tar")


def test_maps_of_sparse_files_are_not_read(tmp_path):
    facts = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member("a/x.png", 512, pax_headers=facts), io.BytesIO(b"9" * 512))
    with pytest.raises(DataError, match="'a/x.png' is not an ordinary file"):
        open_source(tmp_path / "a.tar")


def parse(name, content):
    return manifest.parse(name, io.BytesIO(content), len(content))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"path\n" + b"a" * 2 * MIB, "line 2: longer than 1,048,576 characters"),
        (b"path\n" + b"a" * 5000, "line 2: a path of 5,000 characters, expected at most 4,096"),
        (b'path\n"a"\n"b' + b"\n" * 20_000, "a quote before it is never closed"),
        (b"path" + b",c" * 1000, "has 1,001 columns"),
        (b"path," + b"c" * 2000, "a column called c{40}...: shorten"),
    ],
)
def test_tables_without_end(table, message):
    with pytest.raises(DataError, match=message):
        parse("m.csv", table)


def test_a_parquet_table_is_taken_in_as_it_comes(monkeypatch):
    monkeypatch.setattr(files, "_FREE_BYTES", 100_000)
    file = io.BytesIO()
    rows = 300_000
    names = pa.array([f"{n:06}" for n in range(rows)])
    pq.write_table(pa.table({"path": names, "x": ["a"] * rows}), file, compression="brotli")
    with pytest.raises(DataError, match="more than 100 times the text"):
        manifest.parse("m.parquet", io.BytesIO(file.getvalue()), 10_000)


def test_a_parquet_table_holds_equal_texts_once(monkeypatch):
    monkeypatch.setattr(tables, "_PARQUET_ROWS", 2)
    file = io.BytesIO()
    long = "label " * 100
    pq.write_table(pa.table({"path": ["a", "b", "c"], "note": [long, None, long]}), file)
    notes = parse("m.parquet", file.getvalue()).columns["note"]
    assert notes == [long.strip(), "", long.strip()]
    assert notes[0] is notes[2]


def npz(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def header(shape, descr="|u1", length=None):
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x02\0" + struct.pack("<I", length or len(text)) + text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header((10**12, 8, 8)), r"images claims the shape \(1000000000000, 8, 8\)"),
        (header((-1, 8, 8)) + bytes(64), r"claims the shape \(-1, 8, 8\)"),
        (header((0, 8, 8), length=2**31), "no array of images"),
        (header((1, 2048, 2048)) + bytes(2048 * 2048), "expected at most"),
    ],
)
def test_headers_that_lie(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(files, "_FREE_BYTES", 100_000)
    with pytest.raises(DataError, match=message):
        open_source(npz(tmp_path / "a.npz", images=content))


def test_labels_that_do_not_fit_are_not_read(tmp_path):
    labels = header((10**6,), "<i8") + bytes(8 * 10**6)
    images = header((2, 4, 4, 3)) + bytes(96)
    path = npz(tmp_path / "a.npz", images=images, labels=labels)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"labels is int64 of shape \(1000000,\)"):
        open_source(path)
    assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    tracemalloc.stop()


def test_thousands_of_arrays(tmp_path):
    arrays = {f"n{n}": header((0,)) for n in range(1001)}
    with pytest.raises(DataError, match="1,001 arrays, expected at most 1,000"):
        open_source(npz(tmp_path / "a.npz", **arrays))


def test_compressed_arrays_and_labels_are_read_as_they_are(tmp_path):
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    np.savez_compressed(tmp_path / "a.npz", images=images, labels=np.array(["b", "a"]))
    with open_source(tmp_path / "a.npz") as source:
        assert source.labels.tolist() == [1, 0]
        assert np.array_equal(source.read(1), images[1])


@POSIX
@pytest.mark.parametrize("name", ["a.csv", "a.zip", "a.tar", "a.npz", "a.h5"])
def test_a_pipe_as_a_source(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError, match="is no regular file"):
        open_source(tmp_path / name)


@LINUX
def test_what_is_on_no_disk_is_not_read(tmp_path):
    write_files(tmp_path / "a", {"cat/1.png": encode(solid((1, 2, 3)))})
    (tmp_path / "a/cat/2.png").symlink_to("/proc/kmsg")
    (tmp_path / "a/proc").symlink_to("/proc")
    (tmp_path / "m.csv").symlink_to("/proc/self/maps")
    with open_source(tmp_path / "a") as source:
        assert [record.id for record in source] == ["cat/1.png", "cat/2.png"]
        assert source.read(1) == b""
        assert source.reading.passed_over == {}
    with pytest.raises(UsageError, match=r"m\.csv is no regular file"):
        open_source(tmp_path / "m.csv")


@POSIX
def test_links_that_lead_out_are_counted_and_those_to_folders_above_are_not_followed(tmp_path):
    write_files(tmp_path, {"root/cat/1.png": b"1", "more/2.png": b"2", "3.png": b"3"})
    root = tmp_path / "root"
    (root / "dog").symlink_to(tmp_path / "more")
    (root / "all").symlink_to(tmp_path)
    (root / "cat/3.png").symlink_to(tmp_path / "3.png")
    (root / "cat/4.png").symlink_to("1.png")
    with open_source(root) as source:
        found = [record.id for record in source]
        assert found == ["cat/1.png", "cat/3.png", "cat/4.png", "dog/2.png"]
        assert source.warnings == [f"2 links to images or folders outside {root} were followed"]


@POSIX
def test_links_between_all_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_MOST_VISITS", 5)
    names = "abcdef"
    write_files(tmp_path, {f"{name}/1.png": b"1" for name in names})
    for name in names:
        for other in names:
            (tmp_path / name / f"to_{other}").symlink_to(tmp_path / other)
    with pytest.raises(DataError, match="is reached in more than 5 ways"):
        open_source(tmp_path)
