"""Extraction to feature files in shards: made, replaced, and mended."""

import pytest

from features.errors import DataError, UsageError
from features.extraction.consolidating import consolidate
from features.records import SHARDED, SINGLE
from features.storage.index import folder_of
from features.storage.store import FeatureFile
from tests.features.faults import spoiled_shards, stub


@pytest.fixture
def images(tmp_path):
    return stub.images(tmp_path / "images.npz", 20)


def test_extraction_in_shards_equals_a_single_file(images, tmp_path, caplog):
    out = stub.extract(images, tmp_path / "out.h5", layout=SHARDED)
    single = stub.extract(images, tmp_path / "single.h5")
    assert stub.datasets(out) == stub.datasets(single)
    caplog.set_level("INFO")
    stub.extract(images, out, layout=SHARDED)
    assert "is there already: 20 images" in caplog.text
    for path, layout in ((out, SINGLE), (single, SHARDED)):
        with pytest.raises(UsageError, match=r"is there already, with --layout .*consolidate"):
            stub.extract(images, path, layout=layout)


@pytest.mark.parametrize(
    ("before", "after"), [(SHARDED, SHARDED), (SHARDED, SINGLE), (SINGLE, SHARDED)]
)
def test_a_file_that_is_replaced_takes_its_own_shards_along(images, tmp_path, before, after):
    out = stub.extract(images, tmp_path / "new" / "out.h5", layout=before)
    other = {"interpolation": "nearest", "restart": True, "layout": after}
    stub.extract(images, out, **other)
    whole = stub.extract(images, tmp_path / "whole.h5", interpolation="nearest")
    assert stub.datasets(out) == stub.datasets(whole)
    with FeatureFile(out) as file:
        assert {*folder_of(out).glob("*")} == {*file.shards}
    assert folder_of(out).exists() == (after == SHARDED)


def test_shards_that_a_renamed_index_names_stay(images, tmp_path):
    out = stub.extract(images, tmp_path / "out.h5", layout=SHARDED)
    whole, old = stub.datasets(out), out.rename(tmp_path / "old.h5")
    other = {"interpolation": "nearest", "layout": SHARDED}
    stub.extract(images, out, **other)
    stub.extract(images, out, **other | {"interpolation": "bicubic", "restart": True})
    assert stub.datasets(old) == whole
    with FeatureFile(old) as file, FeatureFile(out) as new:
        assert len([*folder_of(out).iterdir()]) == len(file.shards) + len(new.shards)


@pytest.mark.parametrize(
    "fault", [spoiled_shards.missing, spoiled_shards.cut, spoiled_shards.no_hdf5]
)
def test_a_repeated_command_mends_a_damaged_shard(images, tmp_path, fault, caplog):
    out, written = stub.extract(images, tmp_path / "out.h5", layout=SHARDED), []
    whole = stub.datasets(out)
    with FeatureFile(out) as file:
        before = file.shards
        fault(before, None)
    with stub.telling(written.append):
        stub.extract(images, out, layout=SHARDED)
    assert "is damaged (" in caplog.text and "and is mended" in caplog.text
    assert written == [16, 20], "the others are kept"
    assert stub.datasets(out) == whole
    with FeatureFile(out) as file:
        assert file.problems() == [] and file.shards == before
    assert {*tmp_path.iterdir()} == {images, out, folder_of(out)}


def test_a_damaged_copy_is_not_taken_for_an_extraction(images, tmp_path, monkeypatch):
    monkeypatch.setattr("features.extraction.shards.SHARD_IMAGES", 4)
    single = stub.extract(images, tmp_path / "single.h5")
    out = consolidate(single, tmp_path / "out.h5", progress=False)
    with FeatureFile(out) as file:
        spoiled_shards.cut([file.shards[0]] * 3, None)
    with pytest.raises(DataError, match=r"is damaged \(.*--restart makes it anew"):
        stub.extract(images, out, layout=SHARDED)
    stub.extract(images, out, layout=SHARDED, restart=True)
    with FeatureFile(out) as file:
        assert file.problems() == []
