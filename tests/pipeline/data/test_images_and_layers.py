"""What candidates learn from: labelled rows, as they lie in the file, or a clear refusal."""

import dataclasses

import h5py
import numpy as np
import pytest

from features.errors import DataError, UsageError
from features.records import Split
from pipeline.data.images import check_same_images, read_images
from pipeline.data.layers import features_of, find_layers, write_matrix
from tests.pipeline.featurefiles import LAYER, clusters, write_features


@pytest.fixture
def file(tmp_path):
    x, labels = clusters(30)
    labels[4:7] = -1
    return write_features(tmp_path / "f.h5", x, labels)


def test_only_labelled_images_are_taken(file):
    images = read_images(file, None)
    assert len(images.ids) == len(images.labels) == 27
    assert images.unlabelled == 3
    assert images.rows.tolist() == [*range(4), *range(7, 30)]
    assert images.class_names == ("class 0", "class 1", "class 2")


def test_classes_without_images_are_left_out(tmp_path):
    x, labels = clusters(30)
    path = write_features(tmp_path / "f.h5", x, labels * 2, class_names=list("abcdef"))
    images = read_images(path, None)
    assert images.class_names == ("a", "c", "e")
    assert images.labels.tolist() == labels.tolist()


def test_equal_content_and_an_equal_column_keep_images_together(tmp_path):
    x, labels = clusters(6)
    digests = np.zeros((6, 16), np.uint8)
    digests[:, 0] = [1, 1, 2, 3, 4, 5]
    extra = {"patient": ["a", "b", "b", "", "", "c"]}
    path = write_features(tmp_path / "f.h5", x, labels, digests=digests, extra=extra)
    alone = read_images(path, None).groups
    assert len(set(alone.tolist())) == 5
    joined = read_images(path, "patient").groups
    assert joined[0] == joined[1] == joined[2]
    assert len(set(joined.tolist())) == 4
    with pytest.raises(UsageError, match="patient"):
        read_images(path, "pacient")


@pytest.mark.parametrize(
    ("labels", "message"),
    [(np.full(9, -1), "no labels"), (np.zeros(9, int), "one class only, 'class 0'")],
)
def test_files_that_teach_nothing_are_refused(tmp_path, labels, message):
    names = ["class 0", "class 1"]
    path = write_features(tmp_path / "f.h5", clusters(9)[0], labels, class_names=names)
    with pytest.raises(DataError, match=message):
        read_images(path, None)


def test_an_incomplete_file_is_refused(file):
    with h5py.File(file, "r+") as raw:
        raw.attrs["complete"] = False
    with pytest.raises(DataError, match="not complete"):
        read_images(file, None)


def test_layers_are_named_or_all_or_the_deepest(file):
    (layer,) = find_layers(file, ())
    assert (layer.name, layer.dimensions, layer.title) == (LAYER, 12, f"vgg16.{LAYER}")
    assert find_layers(file, ("all",)) == [layer]
    with pytest.raises(UsageError, match="no layer in"):
        find_layers(file, ("b",))


def test_maps_are_refused(tmp_path):
    path = write_features(tmp_path / "f.h5", np.ones((4, 2, 2, 3), np.float32), [0, 1, 0, 1])
    with pytest.raises(UsageError, match=r"maps of shape \(2, 2, 3\), expected vectors"):
        find_layers(path, ())


def test_rows_are_dumped_as_they_are(file, tmp_path):
    (layer,), images = find_layers(file, ()), read_images(file, None)
    write_matrix(layer, images.rows, tmp_path / "x.npy")
    values = np.load(tmp_path / "x.npy")
    assert values.dtype == np.float32
    assert np.array_equal(values, clusters(30)[0][images.rows])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_told(tmp_path, value):
    x, labels = clusters(30)
    x[17, 3] = value
    (layer,) = find_layers(write_features(tmp_path / "f.h5", x, labels), ())
    with pytest.raises(DataError, match=r"00017.png in .* is not finite"):
        write_matrix(layer, np.arange(5, 30), tmp_path / "x.npy")


def test_other_images_are_refused(file, tmp_path):
    first = read_images(file, None)
    check_same_images(first, file, first)
    for other in (
        dataclasses.replace(first, ids=("other", *first.ids[1:])),
        dataclasses.replace(first, labels=first.labels[::-1]),
        dataclasses.replace(first, class_names=("x", "y", "z")),
    ):
        with pytest.raises(UsageError, match="not the 27 of the first"):
            check_same_images(first, file, other)


def test_vectors_come_in_the_order_of_the_ids(file):
    (layer,) = find_layers(file, ())
    ids = ["00020.png", "00003.png", "00029.png"]
    assert np.array_equal(features_of(layer.facts(), ids), clusters(30)[0][[20, 3, 29]])


def test_vectors_of_another_file_are_refused(file, tmp_path):
    (layer,) = find_layers(file, ())
    facts, (x, labels) = layer.facts(), clusters(30)
    moved = file.rename(tmp_path / "moved.h5")
    with pytest.raises(DataError, match="--features where it lies now"):
        features_of(facts, ["00000.png"])
    assert np.array_equal(features_of(facts, ["00000.png"], moved), x[:1])
    with pytest.raises(DataError, match="has no image 'new.png'"):
        features_of(facts, ["new.png"], moved)
    other = write_features(tmp_path / "other.h5", x, labels, pooling="max")
    with pytest.raises(DataError, match="was made by recipe"):
        features_of(facts, ["00000.png"], other)
    changed = write_features(tmp_path / "changed.h5", x + 1, labels)
    with pytest.raises(DataError, match="has changed since"):
        features_of(facts, ["00000.png"], changed)


def test_the_source_s_parts_are_kept(tmp_path):
    x, labels = clusters(8)
    parts = np.array([Split.TRAIN] * 5 + [Split.TEST] * 3, np.uint8)
    path = write_features(tmp_path / "f.h5", x, labels, parts=parts)
    assert np.array_equal(read_images(path, None).source_splits, parts)


def test_a_layer_knows_what_its_extraction_cost(tmp_path):
    x, labels = clusters(30)
    (unknown,) = find_layers(write_features(tmp_path / "a.h5", x, labels), ())
    assert unknown.extraction == {}
    made = {"images_this_run": 20, "seconds": 5.0}
    (known,) = find_layers(write_features(tmp_path / "b.h5", x, labels, provenance=made), ())
    assert known.extraction == {"seconds_1000": 250.0}
