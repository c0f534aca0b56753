"""Feature files in shards: read as single files are, and shown to be whole."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import h5py
import numpy as np
import pytest

from features.disk import durable
from features.errors import DataError
from features.extraction.consolidating import consolidate
from features.extraction.shards import Shards, partial_folder
from features.records import SHARDED, SINGLE
from features.storage import sharded
from features.storage.hdf5 import put_attributes
from features.storage.index import folder_of
from features.storage.schema import DIGEST, content, hasher, seal
from features.storage.store import FeatureFile
from pipeline.commands.main import main
from tests.features.examples import attributes, recipe, rows
from tests.features.faults import spoiled_shards, stub

BLOCKS = [(0, 4, 1), (5, 0, 2), (7, 5, 0), (12, 6, 1)]  # one shard without rows
RECIPE = recipe(source={"kind": "folder", "count": 19, "fingerprint": "f"})


def made(out, layout, **changes):
    """Write a file of 15 rows and 4 rejected images, as an extraction does."""
    partial_folder(out).mkdir(parents=True, exist_ok=True)
    shards = Shards(out, replace(RECIPE, **changes), 19, 5)
    for (start, stop), block in zip(shards.ranges(), BLOCKS, strict=True):
        shards.write(start, stop, rows(*block))
    shards.assemble(out, attributes(shards.recipe), layout)
    partial_folder(out).rmdir()
    return out


@pytest.fixture
def single(tmp_path):
    return made(tmp_path / "single.h5", SINGLE)


@pytest.fixture
def out(tmp_path):
    return made(tmp_path / "out.h5", SHARDED)


def edited(path, change):
    """Change an index as somebody would who knows its digests."""
    with h5py.File(path, "r+") as file:
        change(file)
        for name in ("name", "rows", "bytes", "digest"):
            dataset = file[f"shards/{name}"]
            digest = hasher()
            digest.update(content(dataset[...]))
            del dataset.attrs[DIGEST]
            put_attributes(dataset, {DIGEST: digest.hexdigest()})
        del file.attrs[DIGEST]
        put_attributes(file, {DIGEST: seal(file)})


def everything(file):
    layers = [(name, file.features(name).tolist(), file.shape(name)) for name in file.layers]
    columns = [column.tolist() for column in (file.digests, file.labels, file.splits)]
    columns += [(name, file.column(name).tolist()) for name in file.columns]
    return layers, columns, file.ids, file.rejected, file.class_names, file.recipe, len(file)


def test_every_dataset_is_that_of_a_single_file(single, out):
    with FeatureFile(single) as one, FeatureFile(out) as many:
        assert (one.layout, many.layout) == (SINGLE, SHARDED)
        assert everything(one) == everything(many)
        assert many.problems() == []
        assert one.shards == []
        assert [path.parent for path in many.shards] == [folder_of(out)] * 4
        sizes = sum(path.stat().st_size for path in many.shards)
        assert many.nbytes == out.stat().st_size + sizes
        for layer in one.layers:
            for blocks in zip(
                one.blocks(f"features/{layer}"), many.blocks(f"features/{layer}"), strict=True
            ):
                np.testing.assert_array_equal(*blocks)
        assert one.frame("a").equals(many.frame("a"))


@pytest.mark.parametrize(
    "chosen",
    [slice(None), slice(3, 11), slice(2, 15, 3), slice(8, 8), slice(-4, None), slice(40, 50),
     np.array([0, 3, 4, 5, 14]), np.array([9]), np.array([], int), np.arange(15) % 2 == 0, 7],
    ids=str,
)  # fmt: skip
def test_rows_are_read_by_number_slice_and_mask(single, out, chosen, monkeypatch):
    monkeypatch.setattr(sharded, "MOST_OPEN", 1)
    with FeatureFile(single) as one, FeatureFile(out) as many:
        for layer in ("a", "b"):
            np.testing.assert_array_equal(one.features(layer, chosen), many.features(layer, chosen))
        with pytest.raises(IndexError):
            many.features("a", np.array([15]))


def test_threads_read_at_the_same_time(single, out, monkeypatch):
    monkeypatch.setattr(sharded, "MOST_OPEN", 1)
    chosen = [np.sort(np.random.default_rng(n).permutation(15)[:7]) for n in range(200)]
    with FeatureFile(single) as one, FeatureFile(out) as many, ThreadPoolExecutor(4) as pool:
        whole = one.features("a")
        for rows, values in zip(
            chosen, pool.map(lambda rows: many.features("a", rows), chosen), strict=True
        ):
            np.testing.assert_array_equal(values, whole[rows])


def test_a_shard_is_shown_to_be_the_right_one_again_when_it_has_changed(out, monkeypatch):
    monkeypatch.setattr(sharded, "MOST_OPEN", 1)
    seals = []
    monkeypatch.setattr(sharded, "seal", lambda file: seals.append(file.filename) or seal(file))
    with FeatureFile(out) as many:
        values = [many.features("a", np.array([0, 14])) for _ in range(3)]  # the first, the last
        assert len(seals) == 2
        np.testing.assert_array_equal(values[0], values[2])
        with h5py.File(many.shards[0], "r+") as file:
            file.attrs["licence"] = "another"
        os.truncate(many.shards[0], many._shards.table[0].bytes)
        with pytest.raises(DataError, match="-[0-9a-f]{16}.h5 cannot be read"):
            many.features("a", slice(2))


def test_ids_give_the_rows_that_they_give_of_a_single_file(single, out):
    with FeatureFile(single) as one, FeatureFile(out) as many:
        wanted = [one.ids[row] for row in (13, 2, 6)]
        places = many.ids.places_of(wanted)
        np.testing.assert_array_equal(
            many.features("a", np.sort(places)), one.features("a", np.sort(places))
        )


def test_shards_are_given_names_and_not_copied(tmp_path):
    out = tmp_path / "out.h5"
    partial_folder(out).mkdir()
    shards = Shards(out, RECIPE, 19, 5)
    for (start, stop), block in zip(shards.ranges(), BLOCKS, strict=True):
        shards.write(start, stop, rows(*block))
    before = {path.stat().st_ino for path in shards.folder.glob("*.h5")}
    shards.assemble(out, attributes(RECIPE), SHARDED)
    assert {path.stat().st_ino for path in folder_of(out).iterdir()} == before


def test_where_files_cannot_have_two_names_they_are_copied(tmp_path, monkeypatch, caplog):
    def refused(disk, old, new):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(durable.Disk, "link", refused)
    out = made(tmp_path / "out.h5", SHARDED)
    assert "4 shards were copied" in caplog.text
    with FeatureFile(out) as file:
        assert file.problems() == []


def test_index_and_shards_are_moved_together(single, out, tmp_path):
    place = tmp_path / "elsewhere"
    place.mkdir()
    out.rename(place / "renamed.h5")
    with (
        FeatureFile(place / "renamed.h5") as file,
        pytest.raises(
            DataError,
            match=r"renamed.h5: its shard out.h5.shards/0{10}-\w+.h5 is missing.*together",
        ),
    ):
        file.features("a")
    folder_of(out).rename(place / "out.h5.shards")
    (tmp_path / "link.h5").symlink_to(place / "renamed.h5")
    for path in (place / "renamed.h5", tmp_path / "link.h5"):
        with FeatureFile(single) as one, FeatureFile(path) as file:
            assert everything(one) == everything(file)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (spoiled_shards.missing, "is missing"), (spoiled_shards.cut, r"it has [\d,]+ bytes, expected"), (spoiled_shards.swapped, "it has"),
        (spoiled_shards.of_another_recipe, "it has|another one than was written"),
        (spoiled_shards.no_hdf5, "cannot be read"), (spoiled_shards.an_index, "cannot be read"),
    ],
)  # fmt: skip
def test_a_shard_that_is_not_the_one_that_was_written(out, tmp_path, capsys, fault, message):
    other = made(tmp_path / "other.h5", SHARDED, pooling="max")
    with FeatureFile(out) as file, FeatureFile(other) as another:
        fault(file.shards, another.shards)
    with FeatureFile(out) as file:
        assert len(file.ids) == 15, "what the index has is there"
        assert len(file.features("a", slice(0, 4))) == 4, "so are the rows of other shards"
        with pytest.raises(DataError, match=f"out.h5: its shard out.h5.shards/0.*{message}"):
            file.features("a")
        assert [line for line in file.problems() if "shard" in line]
    assert main(["inspect", str(out)]) == 1
    assert "problem: " in capsys.readouterr().out
    with pytest.raises(DataError, match="shard"):
        consolidate(out, tmp_path / "new.h5", progress=False)
    assert not (tmp_path / "new.h5").exists()
    assert not partial_folder(tmp_path / "new.h5").exists()


def test_a_bit_that_changes_in_a_shard_is_found_by_inspection(out):
    with FeatureFile(out) as file:
        path = file.shards[3]
    with h5py.File(path) as shard:
        at = shard["features/a"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with FeatureFile(out) as file:
        assert [line for line in file.problems() if path.name in line and "/features/a" in line]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("name", "../../etc/passwd", "no name of a shard"), ("name", "/etc/passwd", "no name"),
        ("name", "", "no name"), ("rows", 10**15, "claims"), ("rows", -1, "claims"),
        ("rows", 7, "its shards hold 16 rows"), ("bytes", 2**62, ""), ("bytes", 0, "claims"),
    ],
)  # fmt: skip
def test_an_index_that_lies(out, name, value, message):
    def lie(file):
        values = file[f"shards/{name}"][...]
        values[3] = value
        file[f"shards/{name}"][...] = values

    edited(out, lie)
    if message:
        with pytest.raises(DataError, match=f"out.h5 is no feature file: .*{message}"):
            FeatureFile(out)
    else:
        with FeatureFile(out) as file, pytest.raises(DataError, match="bytes, expected"):
            file.features("a")


def test_an_index_that_names_a_shard_twice(out):
    def repeat(file):
        names = file["shards/name"][...]
        names[3] = names[2]
        file["shards/name"][...] = names

    edited(out, repeat)
    with pytest.raises(DataError, match="a name twice"):
        FeatureFile(out)


@pytest.mark.parametrize("folder", ["..", "", "a/b", "/tmp", "a\\b", 5])
def test_the_folder_of_an_index_lies_beside_it(out, folder):
    def lead_away(file):
        del file.attrs["shards"]
        put_attributes(file, {"shards": folder})

    edited(out, lead_away)
    with pytest.raises(DataError, match="'shards'"):
        FeatureFile(out)


def test_an_index_with_other_columns_than_its_shards(out):
    def relabel(file):
        labels = file["images/label"][...]
        labels[0] = 1 - labels[0]
        file["images/label"][...] = labels
        digest = hasher()
        digest.update(content(labels))
        del file["images/label"].attrs[DIGEST]
        put_attributes(file["images/label"], {DIGEST: digest.hexdigest()})

    edited(out, relabel)
    with FeatureFile(out) as file:
        assert "/images/label of the index is not what its shards hold" in file.problems()


def test_an_index_that_claims_another_layer(out):
    def widen(file):
        digest = dict(file["features/a"].attrs)
        del file["features/a"]
        file.create_dataset("features/a", (0, 4), np.float32).attrs.update(digest)

    edited(out, widen)
    with FeatureFile(out) as file, pytest.raises(DataError, match="the index says float32"):
        file.features("a")


def test_a_single_file_is_no_index_and_an_index_no_single_file(single, out):
    for path, schema in ((single, 3), (out, 2)):
        with h5py.File(path, "r+") as file:
            file.attrs["schema"] = schema
        with pytest.raises(DataError, match="is no feature file"):
            FeatureFile(path)


def test_an_older_version_says_what_it_reads(out):
    with h5py.File(out, "r+") as file:
        file.attrs["schema"] = 4
    with pytest.raises(DataError, match="its schema is 4, this version reads 2, and 3 of shards"):
        FeatureFile(out)


# Consolidation


def test_one_file_is_made_of_shards_and_shards_of_one_file(single, out, tmp_path):
    one = consolidate(out, tmp_path / "one.h5", progress=False)
    assert one.read_bytes() == single.read_bytes(), "as if it had been extracted so"
    many = consolidate(single, tmp_path / "many.h5", progress=False)
    assert stub.datasets(many) == stub.datasets(single)
    again = consolidate(many, tmp_path / "again.h5", progress=False)
    assert again.read_bytes() == single.read_bytes()
    for path in (one, many, again):
        with FeatureFile(path) as file:
            assert file.problems() == []
    assert {*tmp_path.iterdir()} == {single, out, one, many, again, folder_of(out), folder_of(many)}


def test_what_cannot_be_consolidated_is_said_in_a_line(single, out, tmp_path, capsys):
    new, begun = tmp_path / "new.h5", tmp_path / "begun.h5"
    partial_folder(begun).mkdir()
    Shards(begun, RECIPE, 19, 5).write(0, 5, rows(*BLOCKS[0]))
    for words, message in (
        ([single, "--out", new, "--layout", "single"], "has --layout single already"),
        ([single, "--out", out], "is there already"),
        ([single, "--out", single], "is there already"),
        ([single, "--out", begun], "has begun and is not finished"),
    ):
        assert main(["consolidate", *map(str, words)]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and message in lines[0]
    assert main(["consolidate", str(tmp_path / "none.h5"), "--out", str(new)]) == 1
    assert "no such feature file" in capsys.readouterr().err
    assert len([*partial_folder(begun).glob("*.h5")]) == 1
    assert not new.exists()


def test_shards_of_a_file_that_has_changed_are_not_made(single, tmp_path):
    with h5py.File(single) as file:
        at = file["features/b"].id.get_chunk_info(0).byte_offset
    data = bytearray(single.read_bytes())
    data[at] ^= 1
    single.write_bytes(data)
    with pytest.raises(DataError, match="/features/b has changed since it was written"):
        consolidate(single, tmp_path / "new.h5", progress=False)
    assert not (tmp_path / "new.h5").exists()


@pytest.fixture
def in_shards_of_four(monkeypatch):
    monkeypatch.setattr("features.extraction.shards.SHARD_IMAGES", 4)


def test_consolidation_goes_on_with_its_own_shards_alone(
    single, tmp_path, monkeypatch, in_shards_of_four
):
    new, written, write = tmp_path / "new.h5", [], Shards.write

    def stopping(shards, start, stop, block):
        write(shards, start, stop, block)
        written.append(start)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Shards, "write", stopping)
    with pytest.raises(KeyboardInterrupt):
        consolidate(single, new, progress=False)
    assert len([*partial_folder(new).glob("*.h5")]) == 2
    consolidate(single, new, progress=False)
    assert written == [0, 4, 8, 12]
    assert stub.datasets(new) == stub.datasets(single)
    other, written[:] = made(tmp_path / "other.h5", SINGLE, batch_size=8), [0]
    last = tmp_path / "last.h5"
    with pytest.raises(KeyboardInterrupt):
        consolidate(single, last, progress=False)
    consolidate(other, last, progress=False)
    assert written == [0, 0, 0, 4, 8, 12], "the shards are of another file"
    assert stub.datasets(last) == stub.datasets(other)
