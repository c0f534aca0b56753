"""Stores that are nothing but fsspec's, here its own in memory: read, listed, written and refused as S3 is."""

import fsspec
import pytest

import features
from features.errors import DataError, UsageError
from features.remote import attempts, connections
from features.remote.schemes import SCHEMES, Scheme
from features.sources import open_source
from tests.features.faults import stub
from tests.features.remote.test_sources import listing
from tests.features.sources.builders import BUILDERS


@pytest.fixture
def memory(monkeypatch, cache):
    monkeypatch.setitem(SCHEMES, "memory", Scheme("memory", "nothing", "fsspec"))
    monkeypatch.setattr(attempts, "PAUSE", 0.0)
    connections._store.cache_clear()
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    connections._store.cache_clear()


def put_folder(files, folder, place):
    for path in folder.rglob("*"):
        if path.is_file():
            files.pipe_file(f"{place}/{path.relative_to(folder).as_posix()}", path.read_bytes())


@pytest.mark.parametrize(
    "name", ["folder", "csv", "parquet", "zip, deflated", "tar", "tar.gz", "npz", "shard pattern"]
)
def test_sources_are_read_as_on_the_disk(memory, tmp_path, name):
    (tmp_path / "local").mkdir()
    local = BUILDERS[name][1](tmp_path / "local")
    put_folder(memory, tmp_path / "local", "/lab/place")
    url = f"memory://lab/place/{local.relative_to(tmp_path / 'local').as_posix()}".removesuffix(
        "/."
    )
    assert listing(open_source(url)) == listing(open_source(local))


def test_features_are_written_and_read_again(memory, photos, tmp_path):
    out = stub.extract(photos, "memory://lab/out.h5")
    (tmp_path / "fetched.h5").write_bytes(memory.cat_file("/lab/out.h5"))
    local = stub.extract(photos, tmp_path / "local.h5")
    assert stub.datasets(tmp_path / "fetched.h5") == stub.datasets(local)
    with features.FeatureFile(out) as file:
        assert len(file) == 20 and file.problems() == []
    assert memory.find("/lab") == ["/lab/out.h5"]
    memory.pipe_file("/lab/out.h5", b"somebody's thesis")
    with pytest.raises(
        UsageError, match="is no HDF5 file, and was not fetched; it is not overwritten"
    ):
        stub.extract(photos, out)


def test_a_wrong_length_is_tried_again_and_then_given_up(memory, photos, monkeypatch):
    put_folder(memory, photos, "/lab/photos")
    source = open_source("memory://lab/photos")
    store, whole = connections.store_of("memory"), memory.cat_file
    calls = []

    def short(path, start=None, end=None):
        calls.append(path)
        return whole(path, start, end)[: -1 if len(calls) < 3 else None]

    monkeypatch.setattr(store.files, "cat_file", short)
    assert source.read(0) == (photos / "cat" / "0.png").read_bytes()
    assert len(calls) == 3
    monkeypatch.setattr(store.files, "cat_file", lambda path, start, end: b"")
    with pytest.raises(
        DataError, match="cat/0.png could not be reached: wrong length, 6 times in a row"
    ):
        source.read(0)
