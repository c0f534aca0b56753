"""Images in a store and behind URLs give the rows that the same images on the disk give."""

import errno
import pickle

import numpy as np
import pytest

import features
from features.errors import DataError, UsageError
from features.remote import ranged
from features.remote.connections import store_of
from features.remote.location import RemotePath
from features.sources import open_source
from tests.features.faults import stub
from tests.features.pictures import encode, solid
from tests.features.sources.builders import BUILDERS, files, write_tar, write_zip


def listing(source):
    with source:
        return [
            (record, np.asarray(source.read(record.index)).tobytes()) for record in source
        ], source.class_names, source.reading.to_dict()  # fmt: skip


@pytest.mark.parametrize("name", BUILDERS)
def test_each_kind_of_source_is_read_as_on_the_disk(bucket, tmp_path, name):
    kind, build, _ = BUILDERS[name]
    folder = tmp_path / "local"
    folder.mkdir()
    local = build(folder)
    bucket.put_folder(folder, "some/place/")
    url = f"{bucket.url}/some/place/{local.relative_to(folder).as_posix()}".removesuffix("/.")
    remote = open_source(url)
    assert (remote.kind, str(remote.location)) == (kind, url)
    assert listing(remote) == listing(open_source(local))


def test_a_folder_that_travels_is_not_listed_again_and_notices_another_object(bucket, server):
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    for name, content in files().items():
        bucket.put(f"photos/{name}", content)
    source = open_source(f"{bucket.url}/photos")
    server.requests.clear()
    arrived = pickle.loads(cloudpickle.dumps(source, 5))
    assert arrived.travels and [arrived[row] for row in range(6)] == list(source)
    assert [arrived.read(row) for row in range(6)] == [files()[record.id] for record in source]
    assert len(server.requests) == 6
    bucket.put(f"photos/{source[2].id}", files()[source[2].id] + b"more")
    with pytest.raises(DataError, match="was changed by somebody"):
        arrived.read(2)


def test_a_folder_of_many_kinds_of_files_is_read_as_on_the_disk(bucket, tmp_path):
    local = tmp_path / "photos"
    for name, content in {
        "cat/a.png": encode(solid((1, 2, 3))), "cat/b": encode(solid((4, 5, 6))),
        "dog/c.jpg": encode(solid((7, 8, 9)), "JPEG"), "dog/.hidden.png": b"x", "notes.txt": b"hello",
        "labels.csv": b"path,label\n", "dog/empty.png": b"",
    }.items():  # fmt: skip
        (local / name).parent.mkdir(parents=True, exist_ok=True)
        (local / name).write_bytes(content)
    url = bucket.put_folder(local, "photos/")
    assert listing(open_source(url)) == listing(open_source(local))


def test_a_folder_is_listed_page_by_page(bucket, photos, monkeypatch):
    """One that fails is asked for again, and no other one is."""
    url = bucket.put_folder(photos, "photos/")
    client, asked = store_of("s3").files, []
    call = client.call_s3

    def pages_of_three(method, **options):
        asked.append(options.get("ContinuationToken"))
        if len(asked) == 3:
            raise OSError(errno.EBUSY, "slow down")
        return call(method, MaxKeys=3, **options)

    monkeypatch.setattr(client, "call_s3", pages_of_three)
    assert listing(open_source(url)) == listing(open_source(photos))
    pages = -(-len([*photos.rglob("*.png")]) // 3)
    assert (len(asked), len(set(asked)), asked[2]) == (pages + 1, pages, asked[3])


def test_from_a_store_to_a_store_and_all_datasets_are_equal(bucket, photos, tmp_path):
    local = stub.extract(photos, tmp_path / "local.h5")
    out = f"{bucket.url}/out/photos.h5"
    source = bucket.put_folder(photos, "photos/")
    assert str(stub.extract(source, out)) == out
    (tmp_path / "fetched.h5").write_bytes(bucket.get("out/photos.h5"))
    assert stub.datasets(tmp_path / "fetched.h5") == stub.datasets(local)
    assert bucket.keys("out/") == ["out/photos.h5"]
    assert bucket.uploads() == []
    with features.FeatureFile(out) as file:
        assert file.problems() == []
        assert file.provenance["source"] == source


def test_a_manifest_of_urls_leaves_out_what_is_not_there(bucket, server, photos, tmp_path):
    url = bucket.put_folder(photos, "photos/")
    server.files["w.png"] = (photos / "cat" / "0.png").read_bytes()
    (tmp_path / "here.png").write_bytes((photos / "dog" / "0.png").read_bytes())
    rows = [f"{url}/cat/1.png", f"{url}/cat/none.png", f"{server.url}/web/w.png",
            f"{server.url}/web/none.png", "here.png"]  # fmt: skip
    manifest = tmp_path / "list.csv"
    manifest.write_text("url,label\n" + "".join(f"{row},cat\n" for row in rows))
    out = stub.extract(manifest, tmp_path / "out.h5", max_rejected=0.5)
    with features.FeatureFile(out) as file:
        assert set(file.ids) == {rows[0], rows[2], rows[4]}
        assert dict(file.rejected) == {
            rows[1]: "cannot be read: not there", rows[3]: "cannot be read: not there"
        }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("file:///etc/passwd", "give the plain path"),
        ("ftp://host/x.png", "ftp:// is not taken"),
        ("gopher://host/x.png", "gopher:// is not taken"),
        ("s3://b/x.png\x00", "do not print"),
    ],
)
def test_a_manifest_has_urls_of_known_kinds_alone(tmp_path, row, message):
    manifest = tmp_path / "list.csv"
    manifest.write_text(f"path\n{row}\n")
    with pytest.raises(DataError, match=f"line 2: .*{message}"):
        open_source(manifest)


def test_a_web_servers_manifest_does_not_read_with_our_credentials(bucket, server):
    server.files["list.csv"] = f"path\n{bucket.put('secret.png', b'x')}\n".encode()
    with pytest.raises(DataError, match="lies on a web server and lists s3://"):
        open_source(f"{server.url}/web/list.csv")
    server.files["list.csv"] = f"path\n{server.url}/web/a.png\nb.png\n".encode()
    server.files["b.png"] = encode(solid((1, 2, 3)))
    with open_source(f"{server.url}/web/list.csv") as source:
        assert source.read([r.id for r in source].index("b.png")) == server.files["b.png"]


def test_an_archive_does_not_list_urls(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"list.csv": b"path\nhttps://host/a.png\n"})
    with pytest.raises(DataError, match="expected paths in the archive alone"):
        open_source(path)


@pytest.mark.parametrize("has_ranges", [True, False])
def test_an_archive_of_a_web_server(server, tmp_path, has_ranges):
    server.has_ranges = has_ranges
    for name, write in {"a.zip": write_zip, "a.tar": write_tar}.items():
        local = write(tmp_path / name, files())
        server.files[name] = local.read_bytes()
        remote = open_source(f"{server.url}/web/{name}")
        assert listing(remote) == listing(open_source(local))
    fetched = any("remote" in path.parts and path.suffix == ".zip" for path in tmp_path.rglob("*"))
    assert fetched != has_ranges


def test_a_web_server_has_no_folders(server):
    with pytest.raises(UsageError, match="a folder cannot be listed over http://"):
        open_source(f"{server.url}/web/photos")


def test_members_of_a_zip_are_asked_for_one_request_each(bucket, server, tmp_path):
    path = write_zip(tmp_path / "a.zip", files())
    with open_source(bucket.put("a.zip", path.read_bytes())) as source:
        server.requests.clear()
        for index in range(len(source)):
            source.read(index)
        assert len(server.requests) == len(source)


def test_a_file_is_read_at_any_place_and_ahead_in_order(bucket, server, monkeypatch):
    monkeypatch.setattr(ranged, "LEAST_BYTES", 64)
    monkeypatch.setattr(ranged, "MOST_BYTES", 1024)
    content = np.random.default_rng(0).bytes(20_000)
    path = RemotePath(bucket.put("x.bin", content)).pinned()
    rng = np.random.default_rng(1)
    with path.open() as file:
        for start, size in rng.integers(0, 21_000, (20, 2)).tolist():
            file.seek(start)
            assert file.read(size) == content[start : start + size]
        file.seek(-10, 2)
        assert file.read() == content[-10:]
    server.requests.clear()
    with path.open() as file:  # as the headers of a tar: little, then a step
        for start in range(0, 20_000, 50):
            file.seek(start)
            assert file.read(20) == content[start : start + 20]
    assert len(server.requests) < 40
