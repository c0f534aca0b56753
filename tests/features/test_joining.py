"""Feature files of one recipe are joined to one, which says what it was made of."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from features.errors import DataError, UsageError
from features.extraction.consolidating import consolidate
from features.extraction.shards import Shards, partial_folder
from features.records import JOINED, LAYOUTS, SHARDED, SINGLE
from features.storage import sharded
from features.storage.hdf5 import put_attributes
from features.storage.index import folder_of
from features.storage.store import FeatureFile
from features.storage.texts import Texts
from pipeline.commands.main import main
from tests.features.faults import stub
from tests.hostile.spoiling_hdf5 import reseal


def listed(photos, name, *lines):
    """Write a manifest; of each class an image is listed that is not there."""
    path = photos / f"{name}.csv"
    path.write_text("\n".join(["path,label,camera", *lines]))
    return path


def of_class(name, *labels):
    rows = [f"{name}/{n}.png,{labels[n % len(labels)]},camera {n % 3}" for n in range(10)]
    return [*rows, f"{name}/none.png,{labels[0]},"]


@pytest.fixture
def manifests(photos):
    """Two parts, whose classes differ, and the whole."""
    cats, dogs = of_class("cat", "cat", ""), of_class("dog", "dog", "wolf", "cat")
    return [
        listed(photos, "cats", *cats),
        listed(photos, "dogs", *dogs),
        listed(photos, "all", *cats, *dogs),
    ]


@pytest.fixture
def extracted(manifests, tmp_path):
    def extract(which, **options):
        out = tmp_path / f"{manifests[which].stem}-{len([*tmp_path.iterdir()])}.h5"
        return stub.extract(manifests[which], out, max_rejected=0.5, **options)

    return extract


@pytest.mark.parametrize("layout", [None, *LAYOUTS])
@pytest.mark.parametrize("layouts", [(SINGLE, SINGLE), (SHARDED, SINGLE), (SHARDED, SHARDED)])
def test_it_equals_an_extraction_of_all_images(extracted, tmp_path, layouts, layout):
    parts = [extracted(which, layout=kind) for which, kind in enumerate(layouts)]
    out = consolidate(parts, tmp_path / "out.h5", layout, progress=False)
    whole = extracted(2)
    assert stub.datasets(out) == stub.datasets(whole)
    with FeatureFile(out) as joined, FeatureFile(whole) as file:
        assert joined.layout == (layout or max(layouts, key=SHARDED.__eq__))
        assert joined.problems() == []
        assert joined.class_names == file.class_names == ("cat", "dog", "wolf")
        source = joined.recipe.source
        assert replace(joined.recipe, source=file.recipe.source) == file.recipe
        assert (source["kind"], source["count"]) == (JOINED, 22)
        assert joined.source_reading.to_dict() == file.source_reading.to_dict()
        assert joined.provenance["images_this_run"] == 22
        assert [(part.rows, part.rejected) for part in joined.parts] == [(10, 1), (10, 1)]
        for part, path in zip(joined.parts, parts, strict=True):
            with FeatureFile(path) as of_part:
                assert part.source == of_part.recipe.source
                assert part.provenance["source"] == of_part.provenance["source"]
        assert file.parts == ()
    assert not partial_folder(out).exists() or not [*partial_folder(out).glob("*.h5")]


def test_classes_that_differ_in_unicodes_forms_alone_are_one(extracted, tmp_path):
    parts = [extracted(0), extracted(1)]
    for path, names in zip(parts, (["caf\u00e9"], ["cafe\u0301", "dog", "wolf"]), strict=True):
        with h5py.File(path, "r+") as file:
            del file.attrs["class_names"]
            put_attributes(file, {"class_names": json.dumps(names)})
            reseal(file)
    out = consolidate(parts, tmp_path / "out.h5", progress=False)
    with FeatureFile(out) as file:
        assert file.class_names == ("caf\u00e9", "dog", "wolf")
        assert {file.labels[list(file.ids).index("cat/0.png")]} == {0}
        assert file.problems() == []


def test_a_joined_file_is_joined_and_copied_as_any_other(extracted, manifests, tmp_path, capsys):
    third = listed(manifests[0].parent, "third", "dog/../cat/../x.png,cat,", "other.png,cat,")
    (third.parent / "x.png").write_bytes((third.parent / "cat" / "0.png").read_bytes())
    third_file = stub.extract(third, tmp_path / "third.h5", max_rejected=0.5)
    first = consolidate([extracted(0), extracted(1)], tmp_path / "first.h5", progress=False)
    out = tmp_path / "out.h5"
    words = ["consolidate", str(first), str(third_file), "--out", str(out), "--layout", "sharded"]
    assert main(words) == 0
    assert "joined 2 files of 24 images" in capsys.readouterr().err
    again = consolidate(out, tmp_path / "again.h5", progress=False)
    for path in (out, again):
        with FeatureFile(path) as file:
            assert [part.rows for part in file.parts] == [10, 10, 1]
            assert file.problems() == []
    assert main(["inspect", str(out)]) == 0
    assert f"source    joined 10 rows of {manifests[0]}, 10 rows of" in capsys.readouterr().out


@pytest.mark.parametrize("change", [{"store": "float16"}, {"batch_size": 8}, {"pooling": "max"}])
def test_files_of_other_settings_are_not_joined(extracted, tmp_path, capsys, change):
    out, parts = tmp_path / "out.h5", [extracted(0), extracted(1, **change)]
    assert main(["consolidate", *map(str, parts), "--out", str(out)]) == 1
    lines = capsys.readouterr().err.splitlines()
    (name,) = change
    assert len(lines) == 1 and f"was made with other settings than {parts[0]} ({name}: " in lines[0]
    assert not out.exists()


def test_files_of_other_columns_are_not_joined(extracted, manifests, tmp_path):
    first = extracted(0)
    manifests[1].write_text(manifests[1].read_text().replace("camera", "lens", 1))
    with pytest.raises(DataError, match=r"has other columns than .* \(camera -> lens\)"):
        consolidate([first, extracted(1)], tmp_path / "out.h5", progress=False)


@pytest.mark.parametrize("collide", [False, True])
def test_an_id_that_is_there_twice(extracted, manifests, tmp_path, collide, monkeypatch):
    """As a row of both, or as one that was rejected."""
    first, second = extracted(0), extracted(1)
    if collide:  # different texts have equal hashes
        monkeypatch.setattr(Texts, "hashes", lambda texts: (texts.lengths % 3).astype(np.uint64))
        consolidate([first, second], tmp_path / "distinct.h5", progress=False)
    out = tmp_path / "out.h5"
    with pytest.raises(DataError, match="11 ids occur more than once, such as cat/0.png in .*cats"):
        consolidate([first, second, first], out, progress=False)
    lines = [line for line in of_class("dog", "dog") if "none" not in line]
    manifests[1].write_text("\n".join(["path,label,camera", *lines, "cat/none.png,dog,"]))
    with pytest.raises(DataError, match="1 id occurs more than once, such as cat/none.png"):
        consolidate([first, extracted(1)], out, progress=False)
    assert not out.exists()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_damaged_part_is_found_before_anything_is_in_place(extracted, tmp_path, layout):
    parts = [extracted(0), extracted(1, layout=SHARDED)]
    with FeatureFile(parts[1]) as file:
        damaged, layer = file.shards[-1], file.layers[0]
    with h5py.File(damaged) as file:
        at = file[f"features/{layer}"].id.get_chunk_info(0).byte_offset
    with damaged.open("r+b") as file:
        file.seek(at)
        file.write(b"\x01\x02")
    out = tmp_path / "out.h5"
    with pytest.raises(DataError, match=f"{damaged.name}: /features/{layer} has changed"):
        consolidate(parts, out, layout, progress=False)
    assert not out.exists() and not folder_of(out).exists()


def test_features_in_shards_are_read_once(extracted, tmp_path, monkeypatch):
    parts = [extracted(0, layout=SHARDED), extracted(1, layout=SHARDED)]
    rows, read = [], sharded.ShardFiles.read

    def reading(files, number, path, part):
        values = read(files, number, path, part)
        rows.append(len(values))
        return values

    monkeypatch.setattr(sharded.ShardFiles, "read", reading)
    consolidate(parts, tmp_path / "out.h5", SINGLE, progress=False)
    assert sum(rows) == 20


def test_a_join_that_was_stopped_goes_on(extracted, tmp_path, monkeypatch):
    parts, out, write, starts = [extracted(0), extracted(1)], tmp_path / "out.h5", Shards.write, []

    def stopping(shards, start, stop, block):
        write(shards, start, stop, block)
        starts.append(start)
        if len(starts) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Shards, "write", stopping)
    monkeypatch.setattr("features.extraction.shards.SHARD_IMAGES", 4)
    with pytest.raises(KeyboardInterrupt):
        consolidate(parts, out, SHARDED, progress=False)
    consolidate(parts, out, SHARDED, progress=False)
    assert starts == [0, 4, 8, 10, 14, 18]
    with FeatureFile(out) as file:
        assert file.problems() == [] and len(file) == 20


def test_more_shards_than_an_index_may_have_are_refused(extracted, tmp_path, monkeypatch):
    monkeypatch.setattr("features.extraction.consolidating.MOST_SHARDS", 1)
    with pytest.raises(UsageError, match="2 shards, expected at most 1; join fewer files"):
        consolidate([extracted(0), extracted(1)], tmp_path / "out.h5", SHARDED, progress=False)


def test_an_extraction_does_not_take_it_for_its_own(extracted, manifests, tmp_path):
    out = consolidate([extracted(0), extracted(1)], tmp_path / "out.h5", progress=False)
    with pytest.raises(UsageError, match="was joined of 2 feature files.*--restart to replace it"):
        stub.extract(manifests[2], out, max_rejected=0.5)
    stub.extract(manifests[2], out, max_rejected=0.5, restart=True)
    with FeatureFile(out) as file:
        assert file.parts == () and file.recipe.source["kind"] == "manifest"
