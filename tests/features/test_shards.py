import os
from dataclasses import replace

import h5py
import numpy as np
import pytest

from features.errors import DataError, UsageError
from features.extraction.shards import Shards, partial_folder, shard_images
from features.storage.store import FeatureFile
from tests.features.examples import attributes, recipe, rows


@pytest.fixture
def out(tmp_path):
    partial_folder(tmp_path / "out.h5").mkdir()
    return tmp_path / "out.h5"


def plan(out, **changes) -> Shards:
    return Shards(out, recipe(**changes), total=11, images=4)


def fill(shards, upto=3):
    for start, stop in shards.missing()[:upto]:
        shards.write(start, stop, rows(start, stop - start - 1, rejected=1))


def test_shards_make_the_file_and_are_gone(out):
    shards = plan(out)
    assert shards.resume(restart=False) == 0
    assert shards.missing() == [(0, 4), (4, 8), (8, 11)]
    fill(shards)
    shards.assemble(out, attributes(recipe()))
    assert list(shards.folder.iterdir()) == [], "the folder itself goes with its lock"
    with FeatureFile(out) as file:
        assert file.problems() == []
        expected = [rows(0, 3), rows(4, 3), rows(8, 2)]
        np.testing.assert_array_equal(
            file.features("a"), np.concatenate([block.features["a"] for block in expected])
        )
        assert [name for name, _ in file.rejected] == ["bad/3.png", "bad/7.png", "bad/10.png"]


def test_resume_takes_over_what_is_there(out):
    first = plan(out)
    first.resume(restart=False)
    fill(first, upto=2)
    second = plan(out)
    assert second.resume(restart=False) == 8
    assert second.missing() == [(8, 11)]


def test_shards_with_texts_of_other_lengths(out):
    """Whether they were written in one run or in two, the file is the same."""
    lengths, contents = iter((3, 500, 40)), []
    blocks = {
        start: replace(
            rows(start, stop - start), ids=[f"{n:0{length}}" for n in range(start, stop)],
            extra={"note": ["é" * (length - n % 2) for n in range(start, stop)]},
        )
        for (start, stop), length in zip(plan(out).ranges(), lengths, strict=True)
    }  # fmt: skip
    for together in (3, 1):
        shards = plan(out)
        shards.resume(restart=False)
        for start, stop in shards.missing()[:together]:
            shards.write(start, stop, blocks[start])
        if together < 3:
            shards = plan(out)
            assert shards.resume(restart=False) == 4
            for start, stop in shards.missing():
                shards.write(start, stop, blocks[start])
        shards.assemble(out, attributes(recipe()))
        contents.append(out.read_bytes())
    assert contents[0] == contents[1]
    with FeatureFile(out) as file:
        assert file.problems() == []
        assert file.ids == [name for block in blocks.values() for name in block.ids]
        notes = [text for block in blocks.values() for text in block.extra["note"]]
        assert file.column("note").tolist() == notes


def test_a_shard_of_schema_1_is_made_again(out, caplog):
    first = plan(out)
    first.resume(restart=False)
    fill(first)
    with h5py.File(first.folder / "0000000004.h5", "r+") as file:
        file.attrs["schema"] = 1
    assert plan(out).resume(restart=False) == 7
    assert "before 0.2" in caplog.text
    assert "extracted again" in caplog.text


def test_restart_throws_it_away(out):
    first = plan(out)
    first.resume(restart=False)
    fill(first)
    assert plan(out, pooling="max").resume(restart=True) == 0


def test_other_settings_are_refused_with_both_values(out):
    first = plan(out)
    first.resume(restart=False)
    fill(first, upto=1)
    with pytest.raises(UsageError, match=r"pooling: avg -> max.*--restart"):
        plan(out, pooling="max").resume(restart=False)


def _flip(path):
    data = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        at = file["features/a"].id.get_chunk_info(0).byte_offset
    data[at] ^= 1
    path.write_bytes(data)


def _truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def _swap(path):
    path.write_bytes(path.with_name("0000000000.h5").read_bytes())


@pytest.mark.parametrize("fault", [_flip, _truncate, _swap])
def test_a_damaged_shard_is_made_again(out, fault, caplog):
    first = plan(out)
    first.resume(restart=False)
    fill(first)
    fault(first.folder / "0000000004.h5")
    second = plan(out)
    assert second.resume(restart=False) == 7
    assert second.missing() == [(4, 8)]
    assert "extracted again" in caplog.text


def test_shards_on_another_grid_are_made_again(out, caplog):
    first = plan(out)
    first.resume(restart=False)
    fill(first)
    second = Shards(out, recipe(), total=11, images=8)
    assert second.resume(restart=False) == 3, "the last one is on both grids"
    assert caplog.text.count("extracted again") == 1, "of the one in the middle, nobody asks"
    fill(second)
    second.assemble(out, attributes(recipe()))
    assert list(second.folder.iterdir()) == []


def test_values_that_are_not_finite_are_refused(out):
    spoiled = rows(0, 3, rejected=1)
    spoiled.features["b"][1, 0, 1, 2] = np.inf
    shards = plan(out)
    with pytest.raises(UsageError, match=r"b of klasse/bild 1 .* not finite in float32"):
        shards.write(0, 4, spoiled)
    assert not list(shards.folder.iterdir())


def test_a_shard_damaged_meanwhile_ends_the_run(out):
    shards = plan(out)
    shards.resume(restart=False)
    fill(shards)
    _flip(shards.folder / "0000000004.h5")
    with pytest.raises(DataError, match=r"0000000004\.h5 is damaged"):
        shards.assemble(out, attributes(recipe()))
    assert not out.exists()
    assert plan(out).resume(restart=False) == 7


@pytest.mark.parametrize(
    ("row_bytes", "batch_size", "total", "images"),
    [
        (2048 * 4, 32, 10**6, 512),
        (7 * 7 * 2048 * 4, 32, 10**6, 480),
        (7 * 7 * 2048 * 4, 32, 10**4, 32),
        (10**9, 32, 10**7, 32),
        (4, 1000, 10**5, 1000),
        (4, 3, 10**5, 510),
        (2048 * 4, 32, 10**7, 4864),
        (2048 * 4, 32, 10**9, 2**15),
    ],
)
def test_shards_are_whole_batches_of_bounded_size(row_bytes, batch_size, total, images):
    assert shard_images(row_bytes, batch_size, total) == images
