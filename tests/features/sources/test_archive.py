import io
import os
import stat
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from features.errors import DataError
from features.sources import files, open_source
from tests.features.sources.builders import write_tar, write_zip

WRITERS = {"zip": write_zip, "tar": write_tar}
EVERY = pytest.mark.parametrize("suffix", WRITERS)


def written(tmp_path, suffix, contents):
    return WRITERS[suffix](tmp_path / f"a.{suffix}", contents)


def ids(source):
    return [record.id for record in source]


@EVERY
def test_a_wrapping_folder_is_ignored_for_labels_only(suffix, tmp_path):
    contents = {"data/train/b/2.jpg": b"2", "data/test/a/1.jpg": b"1", "data/README.md": b""}
    source = open_source(written(tmp_path, suffix, contents))
    assert ids(source) == ["data/test/a/1.jpg", "data/train/b/2.jpg"]
    assert source.class_names == ("a", "b")
    assert [(record.label, int(record.split)) for record in source] == [(0, 3), (1, 1)]
    assert sum(source.passed_over.values()) == 1


@EVERY
def test_names_begin_with_a_dot_or_are_hidden(suffix, tmp_path):
    contents = {"./a/1.jpg": b"1", "./a//2.jpg": b"2", "a/.3.jpg": b"", "__MACOSX/a/._1.jpg": b""}
    source = open_source(written(tmp_path, suffix, contents))
    assert ids(source) == ["a/1.jpg", "a/2.jpg"]
    assert [source.read(index) for index in range(2)] == [b"1", b"2"]
    assert sum(source.passed_over.values()) == 0


@EVERY
def test_a_manifest_below_a_wrapping_folder(suffix, tmp_path):
    table = b"path,label\nimages/2.jpg,x\nimages/3.jpg,y\n"
    contents = {"w/all.csv": table, "w/images/1.jpg": b"1", "w/images/2.jpg": b"2"}
    source = open_source(written(tmp_path, suffix, contents))
    assert ids(source) == ["w/images/2.jpg", "w/images/3.jpg"]
    assert source.class_names == ("x", "y")
    assert source.read(0) == b"2"
    with pytest.raises(FileNotFoundError):
        source.read(1)
    assert source.extent(1) == "-1"


@EVERY
def test_columns_of_a_manifest_stay_with_their_images(suffix, tmp_path):
    """Also where rows keep the archive's order."""
    table = b"path,camera\n1.jpg,one\n2.jpg,two\n3.jpg,three\n"
    contents = {"w/all.csv": table, **{f"w/{n}.jpg": b"" for n in (3, 1, 2)}}
    with open_source(written(tmp_path, suffix, contents)) as source:
        order = {"w/1.jpg": "one", "w/2.jpg": "two", "w/3.jpg": "three"}
        assert source.columns == {"camera": [order[name] for name in ids(source)]}


@EVERY
def test_more_than_one_table_is_no_manifest(suffix, tmp_path):
    contents = {"a/1.jpg": b"1", "x.csv": b"path\nq.jpg", "y.csv": b"path\nq.jpg"}
    source = open_source(written(tmp_path, suffix, contents))
    assert ids(source) == ["a/1.jpg"]
    assert sum(source.passed_over.values()) == 2


@EVERY
def test_a_bad_manifest_is_named(suffix, tmp_path):
    path = written(tmp_path, suffix, {"m.csv": b"path\n../x.jpg", "x.jpg": b""})
    with pytest.raises(DataError, match=rf"a.{suffix}, m.csv, line 2: .* leads outside"):
        open_source(path)


@EVERY
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_equal_names_the_last_counts(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.jpg", b"old")
            archive.writestr("a.jpg", b"new")
    else:
        write_tar(path, {"a.jpg": b"old"})
        write_tar(path, {"a.jpg": b"new"}, "a")
    source = open_source(path)
    assert ids(source) == ["a.jpg"]
    assert source.read(0) == b"new"


@EVERY
@pytest.mark.parametrize(
    "name", ["/x.jpg", "../x.jpg", "a/../../x.jpg", "C:/x.jpg", "a\\..\\x.jpg"]
)
def test_members_that_lead_outside_are_refused(suffix, name, tmp_path):
    path = written(tmp_path, suffix, {"ok.jpg": b"", name: b""})
    with pytest.raises(DataError, match=f"a.{suffix} is refused: its member .*x.jpg.* outside"):
        open_source(path)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "is a link"),
        (tarfile.LNKTYPE, "is a link"),
        (tarfile.FIFOTYPE, "is not an ordinary file"),
        (tarfile.CHRTYPE, "is not an ordinary file"),
        (tarfile.GNUTYPE_SPARSE, "is not an ordinary file"),
    ],
)
def test_tar_members_that_are_no_files_are_refused(kind, reason, tmp_path):
    member = tarfile.TarInfo("evil.jpg")
    member.type, member.linkname = kind, "ok.jpg"
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("ok.jpg"))
        archive.addfile(member)
    with pytest.raises(DataError, match=f"'evil.jpg' {reason}"):
        open_source(tmp_path / "a.tar")


def test_zip_links_and_encrypted_members_are_refused(tmp_path):
    member = zipfile.ZipInfo("evil.jpg")
    member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match="'evil.jpg' is a link"):
        open_source(tmp_path / "a.zip")

    content = bytearray(write_zip(tmp_path / "b.zip", {"secret.jpg": b"x"}).read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"'secret.jpg' is encrypted"):
        open_source(tmp_path / "b.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_damaged_zip_member_costs_that_image_alone(method, tmp_path):
    noise = {name: os.urandom(3000) for name in ("a.jpg", "b.jpg", "c.jpg")}
    path = write_zip(tmp_path / "a.zip", noise, compression=method)
    content = bytearray(path.read_bytes())
    middle = content.index(b"b.jpg") + 1000
    content[middle : middle + 500] = bytes(500)
    path.write_bytes(content)
    source = open_source(path)
    assert [source.read(0), source.read(2)] == [noise["a.jpg"], noise["c.jpg"]]
    with pytest.raises(OSError, match="damaged in the archive"):
        source.read(1)


def test_a_zip_member_of_an_unknown_method(tmp_path):
    content = write_zip(tmp_path / "a.zip", {"a.jpg": b"x"}).read_bytes()
    central = content.index(b"PK\1\2") + 10
    patched = content[:central] + b"\x62\0" + content[central + 2 :]
    (tmp_path / "a.zip").write_bytes(patched)
    with pytest.raises(DataError, match="compressed by ppmd, which Python cannot read") as error:
        open_source(tmp_path / "a.zip")
    assert "it is not damaged" in str(error.value)


@EVERY
def test_a_member_too_large_to_be_an_image_is_not_read(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    source = open_source(written(tmp_path, suffix, {"a.jpg": bytes(10), "b.jpg": bytes(11)}))
    assert source.read(0) == bytes(10)
    with pytest.raises(OSError, match="larger than"):
        source.read(1)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_tar_says_so(mode, share, tmp_path):
    contents = {f"{number}.jpg": os.urandom(2000) for number in range(20)}
    path = write_tar(tmp_path / "a.tar", contents, mode)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    if mode == "w" and share == 0.9:  # not in the padding at the end
        path.write_bytes(path.read_bytes()[: 19 * 2560 + 100])
    if mode == "w:bz2":  # it is all in one block
        with pytest.raises(DataError, match=r"a\.tar .*damaged at its beginning"):
            open_source(path)
        return
    with open_source(path) as source:
        assert source.is_cut
        assert 20 * share - 2 < len(source) < 20
        ids = [record.id for record in source]
        assert [source.read(index) for index in range(len(source))] == [contents[i] for i in ids]


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    path = write_tar(tmp_path / "a.tar", {f"{number}.jpg": b"x" for number in range(9)})
    content = bytearray(path.read_bytes())
    content[4 * 1024 + 10] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match="no member begins at byte 4096"):
        open_source(path)


def test_a_plain_tar_that_is_truncated_later(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"a.jpg": bytes(100), "b.jpg": bytes(5000)})
    source = open_source(path)
    os.truncate(path, 3000)
    assert source.read(0) == bytes(100)
    with pytest.raises(OSError, match="ends within"):
        source.read(1)


def test_a_tar_that_vanishes(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b""})
    source = open_source(path)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.tar has vanished"):
        source.read(0)


def test_compression_goes_by_content_not_by_suffix(tmp_path):
    contents = {"b.jpg": b"b", "a.jpg": b"a"}
    source = open_source(write_tar(tmp_path / "a.tar", contents, "w:gz"))
    assert source.sequential
    assert ids(source) == ["b.jpg", "a.jpg"]
    source = open_source(write_tar(tmp_path / "b.tar.gz", contents, "w"))
    assert not source.sequential
    assert ids(source) == ["a.jpg", "b.jpg"]


def test_a_nul_in_a_tars_name_is_refused(tmp_path):
    """Only the extended headers of tar can have one."""
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("a.jpg")
        member.pax_headers = {"path": "a\0b.jpg"}
        archive.addfile(member)
    with pytest.raises(DataError, match="has a NUL in its name"):
        open_source(tmp_path / "a.tar")


def test_tar_names_that_are_long_or_not_utf8(tmp_path):
    long = "x" * 300 + "/" + "猫" * 90 + ".jpg"
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        for name in (long, "caf\udce9.jpg"):
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"abc"))
    source = open_source(tmp_path / "a.tar")
    assert ids(source) == ["caf\\xe9.jpg", long]
    assert source.read(0) == source.read(1) == b"abc"


def test_zip_names_in_utf8_without_the_flag(tmp_path):
    content = write_zip(tmp_path / "a.zip", {"猫/é.jpg": b"x"}).read_bytes()
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = content.index(signature) + flags
        assert content[place : place + 2] == b"\0\x08"
        content = content[:place] + b"\0\0" + content[place + 2 :]
    (tmp_path / "a.zip").write_bytes(content)
    source = open_source(tmp_path / "a.zip")
    assert ids(source) == ["猫/é.jpg"]
    assert source.read(0) == b"x"


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_threads_read_what_belongs_to_them(name, tmp_path, request):
    request.addfinalizer(partial(sys.setswitchinterval, sys.getswitchinterval()))
    sys.setswitchinterval(1e-6)  # as if there were many threads
    contents = {f"{number:03}.jpg": os.urandom(50_000) for number in range(30)}
    if name == "a.zip":
        path = write_zip(tmp_path / name, contents, compression=zipfile.ZIP_DEFLATED)
    else:
        path = write_tar(tmp_path / name, contents, "w:gz" if name.endswith("gz") else "w")
    with open_source(path) as source, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(source.read, [*range(30)] * 5))
        assert found == [contents[source[index].id] for index in range(30)] * 5
