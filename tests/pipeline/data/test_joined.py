"""What a name of several layers stands for, and their rows side by side."""

import json

import numpy as np
import pytest

from features.errors import DataError, UsageError
from features.storage.row_blocks import Rows
from pipeline.data.images import check_same_images, read_images
from pipeline.data.joined import Joined, is_joined, join, written
from pipeline.data.layers import features_of, read_rows, rows_of, stored_rows
from pipeline.results import inputs as candidate_inputs
from tests.features.examples import attributes, recipe, write

COUNT = 20
IDS = [f"{number:03d}.png" for number in range(COUNT)]
LABELS = (np.arange(COUNT) % 2).astype(np.int32)


def file_of(path, layers, ids=IDS, labels=LABELS, digests=None, **changes):
    """Write a feature file of some layers, by name and width; return its path and features."""
    rng = np.random.default_rng(len(layers))
    values = {name: rng.normal(size=(COUNT, width)) for name, width in layers.items()}
    values = {name: x.astype(np.float32) for name, x in values.items()}
    digests = (
        np.arange(COUNT * 16, dtype=np.uint8).reshape(COUNT, 16) if digests is None else digests
    )
    rows = Rows(values, ids, digests, labels, np.zeros(COUNT, np.uint8), [], {})
    settings = {"layers": tuple(layers), "source": {"kind": "folder", "count": COUNT}} | changes
    facts = {"class_names": json.dumps(["cat", "dog"])}
    provenance = {"source": "s", "seconds": 2.0, "images_this_run": COUNT}
    write(path, [rows], attributes(recipe(**settings)) | facts
          | {"provenance": json.dumps(provenance)})  # fmt: skip
    return path, values


@pytest.fixture
def two(tmp_path):
    """Feature files of VGG16 and ResNet50, of the same images."""
    vgg, x = file_of(tmp_path / "vgg.h5", {"pool4": 3, "pool5": 5})
    r50, z = file_of(tmp_path / "r50.h5", {"pool5": 4}, backbone="resnet50")
    return [vgg, r50], x, z


def test_layers_of_one_file_stand_side_by_side(two):
    (vgg, _), x, _ = two
    layer = join([vgg], "pool5+pool4")
    assert (layer.title, layer.dimensions, layer.widths) == ("vgg16.pool5+pool4", 8, (5, 3))
    rows = np.array([1, 7, 8])
    expected = np.hstack([x["pool5"], x["pool4"]])[rows]
    np.testing.assert_array_equal(read_rows(layer, rows), expected)
    np.testing.assert_array_equal(stored_rows(layer, rows)[:], expected)
    assert layer.seconds_per_image == pytest.approx(0.1), "one extraction gives both"


@pytest.mark.parametrize("name", ["vgg16:pool5+resnet50:pool5", "vgg:pool5+r50:pool5"])
def test_layers_of_two_files_stand_side_by_side(two, name):
    paths, x, z = two
    layer = join(paths, name)
    assert layer.title == "vgg16+resnet50.pool5+pool5"
    np.testing.assert_array_equal(
        read_rows(layer, np.arange(COUNT)), np.hstack([x["pool5"], z["pool5"]])
    )
    assert layer.seconds_per_image == pytest.approx(0.2)


def test_all_layers_of_all_files(two):
    paths, _, _ = two
    assert join(paths, "all+").dimensions == 12
    assert join(paths[:1], "all+").title == "vgg16.pool4+pool5"


def test_a_name_with_its_file_is_one_layer(two):
    paths, _, _ = two
    layer = join(paths, "r50:pool5")
    assert not isinstance(layer, Joined)
    assert layer.title == "resnet50.pool5"
    assert is_joined("r50:pool5")
    assert not is_joined("pool5")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pool4+pool6", "no layer in these feature files is called 'pool6'; did you mean"),
        ("pool4+pool5", r"pool5 is in .*vgg.h5 and in .*r50.h5; .*: vgg16:pool5, or r50:pool5"),
        ("pool4+vgg16:pool4", "a layer is there twice"),
        ("pool4+", "no layer in these feature files is called ''"),
    ],
)
def test_names_that_cannot_be_meant(two, name, message):
    with pytest.raises(UsageError, match=message) as caught:
        join(two[0], name)
    assert "\n" not in str(caught.value)


def test_there_is_something_to_join(two):
    with pytest.raises(UsageError, match="one layer only, pool5"):
        join(two[0][1:], "all+")


def test_many_layers_have_a_short_name(tmp_path):
    layers = {f"a_layer_with_a_long_name_{number}": 2 for number in range(12)}
    path, _ = file_of(tmp_path / "f.h5", layers)
    title = join([path], "all+").title
    assert title.startswith("vgg16.12-layers-")
    assert len(title) < 40
    other = join([path], "+".join(reversed(list(layers)))).title
    assert other != title


def test_a_record_tells_the_parts_and_finds_them_again(two):
    paths, x, z = two
    facts = json.loads(json.dumps(join(paths, "vgg16:pool4+resnet50:pool5").facts()))
    candidate_inputs.check(facts, "inputs")
    assert [part["layer"] for part in facts["parts"]] == ["pool4", "pool5"]
    assert written(facts) == "vgg16:pool4+resnet50:pool5"
    assert join(paths, written(facts)).digest == facts["content"]
    wanted = [IDS[4], IDS[2], IDS[11]]
    expected = np.hstack([x["pool4"], z["pool5"]])[[4, 2, 11]]
    np.testing.assert_array_equal(features_of(facts, wanted), expected)
    np.testing.assert_array_equal(rows_of(facts, wanted)[:], expected)
    moved = paths[1].rename(paths[1].with_name("moved.h5"))
    np.testing.assert_array_equal(features_of(facts, wanted, moved), expected)
    with pytest.raises(DataError, match="say with --features"):
        features_of(facts, wanted)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda facts: facts | {"parts": facts["parts"][:1]},
        lambda facts: facts | {"dimensions": 9},
        lambda facts: facts | {"recipe": {}},
        lambda facts: facts | {"parts": [facts, facts]},
        lambda facts: facts | {"parts": [facts["parts"][0], {"content": "x"}]},
        lambda facts: facts | {"parts": [facts["parts"][0], {"layer": 3, "content": "x"}]},
    ],
)
def test_inputs_that_are_no_joined_layers_are_refused(two, spoil):
    facts = json.loads(json.dumps(join(two[0], "all+").facts()))
    with pytest.raises(DataError, match="^inputs"):
        candidate_inputs.check(spoil(facts), "inputs")


def test_changed_values_of_a_part_are_noticed(two, tmp_path):
    paths, _, _ = two
    facts = join(paths, "all+").facts()
    facts["parts"][1]["content"] = "0" * 32
    with pytest.raises(DataError, match="pool5 has changed since the candidate learned from it"):
        features_of(facts, IDS)


def test_other_images_of_the_same_names_are_refused(tmp_path):
    first, _ = file_of(tmp_path / "a.h5", {"x": 3})
    digests = np.arange(COUNT * 16, dtype=np.uint8).reshape(COUNT, 16).copy()
    digests[5, 0] ^= 1
    second, _ = file_of(tmp_path / "b.h5", {"y": 3}, digests=digests)
    images = [read_images(path, None) for path in (first, second)]
    with pytest.raises(UsageError, match=r"b.h5 was made from other images .* such as 005.png"):
        check_same_images(images[0], second, images[1])


def test_rows_that_lie_elsewhere_in_a_file_are_refused(tmp_path):
    """The labelled images are the same, but an image without a label lies between them."""
    labels = LABELS.copy()
    labels[-1] = -1
    first, _ = file_of(tmp_path / "a.h5", {"x": 3}, labels=labels)
    moved = np.roll(labels, 1)
    ids = [IDS[-1], *IDS[:-1]]
    digests = np.roll(np.arange(COUNT * 16, dtype=np.uint8).reshape(COUNT, 16), 1, axis=0)
    second, _ = file_of(tmp_path / "b.h5", {"y": 3}, ids=ids, labels=moved, digests=digests)
    images = [read_images(path, None) for path in (first, second)]
    assert list(images[0].ids) == list(images[1].ids)
    with pytest.raises(UsageError, match="in the same order"):
        check_same_images(images[0], second, images[1])
