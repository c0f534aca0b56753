"""Names of folders and arrays that people give to splits, images and labels."""

import numpy as np
import pytest

from features.errors import DataError
from features.sources import open_source
from tests.features.sources.builders import write_files, write_zip


@pytest.mark.parametrize("names", [("train1", "test1"), ("0_train", "val-2"), ("train", "unseen")])
def test_classes_that_may_be_splits_are_warned_of(names, tmp_path):
    contents = {f"{split}/{animal}/0.png": b"" for split in names for animal in ("cat", "dog")}
    (warning,) = open_source(write_files(tmp_path, contents)).reading.warnings
    assert "called like" in warning
    assert "--splits" in warning


def test_splits_below_the_classes_are_read_as_splits(tmp_path):
    contents = {f"{animal}/{split}/0.png": b"" for split in ("train", "val") for animal in "ab"}
    reading = open_source(write_files(tmp_path, contents)).reading
    assert reading.classes == {"a": 2, "b": 2}
    assert reading.splits == {"train": 2, "validation": 2}


@pytest.mark.parametrize(
    ("images", "labels"), [("trainX", "trainY"), ("x_training", "y_training"), ("dev_img", "dev_y")]
)
def test_arrays_of_splits_under_other_names(images, labels, tmp_path):
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    arrays = {images: pixels, labels: np.arange(4) % 2, "x_test": pixels, "y_test": np.arange(4)}
    np.savez(tmp_path / "a.npz", **arrays)
    reading = open_source(tmp_path / "a.npz").reading
    assert (reading.images, reading.unlabelled, reading.not_read) == (8, 0, ())
    np.savez(tmp_path / "a.npz", images=pixels, **arrays)
    names = ", ".join(f"`{name}`" for name in sorted(arrays))
    assert open_source(tmp_path / "a.npz").reading.not_read == (f"arrays {names}",)


def test_arrays_that_may_be_labels_are_pointed_at(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 8, 8), np.uint8), kinds=np.arange(4))
    (warning,) = open_source(tmp_path / "a.npz").reading.warnings
    assert warning.endswith("arrays `kinds` may hold some; an array of labels is called `labels`")


def test_a_zip_that_was_cut_says_so(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.jpg": bytes(1000)})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="was cut: the directory at its end is missing"):
        open_source(path)
