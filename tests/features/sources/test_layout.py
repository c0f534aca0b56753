import numpy as np
import pytest

from features.sources.kinds import is_image
from features.sources.layout import below_wrappers, layout, number_labels, split_of, unwrap

LAYOUTS = {
    "flat": (["a.jpg", "b.jpg"], [-1, -1], [0, 0], ()),
    "classes": (["b/1.jpg", "a/1.jpg", "a/2.jpg"], [1, 0, 0], [0, 0, 0], ("a", "b")),
    "images beside classes": (["a/1.jpg", "x.jpg"], [0, -1], [0, 0], ("a",)),
    "deeper folders": (["a/x/1.jpg", "b/x/y/2.jpg"], [0, 1], [0, 0], ("a", "b")),
    "numbers": (["10/a.jpg", "9/a.jpg", "2/a.jpg"], [2, 1, 0], [0, 0, 0], ("2", "9", "10")),
    "code points": (["é/1.jpg", "z/1.jpg", "Z/1.jpg"], [2, 1, 0], [0, 0, 0], ("Z", "z", "é")),
    "splits": (
        ["train/a/1.jpg", "validation/b/1.jpg", "test/a/1.jpg"], [0, 1, 0], [1, 2, 3], ("a", "b"),
    ),
    "splits, other names": (
        ["TRAINING/a/1.jpg", "Valid/a/1.jpg", "val/a/1.jpg", "testing/a/1.jpg"],
        [0, 0, 0, 0], [1, 2, 2, 3], ("a",),
    ),
    "splits, unlabelled": (["test/1.jpg", "train/2.jpg"], [-1, -1], [3, 1], ()),
    "a single split": (["test/a/1.jpg", "test/b.jpg"], [0, -1], [3, 3], ("a",)),
    "splits and another folder": (
        ["extra/b/3.jpg", "test/a/1.jpg", "train/a/2.jpg", "x.jpg"], [1, 0, 0, -1], [0, 3, 1, 0],
        ("a", "b"),
    ),
    "a class named like a split": (["bus/1.jpg", "train/1.jpg"], [0, 1], [0, 0], ("bus", "train")),
    "nothing": ([], [], [], ()),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name):
    paths, labels, splits, class_names = LAYOUTS[name]
    found = layout(paths)
    assert found.labels.tolist() == labels
    assert found.splits.tolist() == splits
    assert found.class_names == class_names
    assert (found.labels.dtype, found.splits.dtype) == (np.int32, np.uint8)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["w/a/1.jpg", "w/b/2.jpg"], ["a/1.jpg", "b/2.jpg"]),
        (["w/1.jpg", "w/2.jpg"], ["1.jpg", "2.jpg"]),
        (["w/a/1.jpg", "v/b/2.jpg"], None),
        (["w/a/1.jpg", "x.jpg"], None),
        (["train/a/1.jpg", "train/b/2.jpg"], None),
        (["x.jpg"], None),
        ([], None),
    ],
)
def test_a_wrapping_folder_is_taken_off(paths, expected):
    assert unwrap(paths) == (paths if expected is None else expected)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["w/a/1.jpg", "w/b/2.jpg"], ["a/1.jpg", "b/2.jpg"]),
        (["v/w/a/1.jpg", "v/w/b/2.jpg", "v/w/x.jpg"], ["a/1.jpg", "b/2.jpg", "x.jpg"]),
        (["w/train/a/1.jpg", "w/test/a/2.jpg"], ["train/a/1.jpg", "test/a/2.jpg"]),
        (["a/1.jpg", "a/2.jpg"], None),
        (["a/1.jpg", "a/2.jpg", "a/x/3.jpg"], None),
        (["a/1.jpg", "b/2.jpg"], None),
        (["train/a/1.jpg"], None),
        (["x.jpg"], None),
        ([], None),
    ],
)
def test_folders_around_class_folders_are_taken_off(paths, expected):
    assert below_wrappers(paths) == (paths if expected is None else expected)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", 1), ("Training_Set", 1), ("TRAIN", 1), ("trainset", 1), ("train2017", 1),
        ("dev", 2), ("val-images", 2), ("valid", 2), ("TestData", 3), (" test ", 3),
        ("trains", None), ("invalid", None), ("test 1", None), ("train_station", None),
        ("images", None), ("", None), ("training shoes", None),
    ],
)  # fmt: skip
def test_names_of_splits(name, split):
    assert split_of(name) == split


@pytest.mark.parametrize(
    ("names", "labels", "class_names"),
    [
        (["10", "-1", "9", "", "9"], [2, 0, 1, -1, 1], ("-1", "9", "10")),
        (["10.0", "1.0", "2.50", "-3"], [3, 1, 2, 0], ("-3", "1.0", "2.50", "10.0")),
        (["caf\u00e9", "cafe\u0301"], [0, 0], ("caf\u00e9",)),
        (["10", "9", "x"], [0, 1, 2], ("10", "9", "x")),
        (["01", "1", "1"], [0, 1, 1], ("01", "1")),
        (["٣", "2"], [1, 0], ("2", "٣")),
        (["9" * 5000, "1"], [1, 0], ("1", "9" * 5000)),
        (["", ""], [-1, -1], ()),
    ],
)
def test_labels_are_numbered_in_the_order_of_their_names(names, labels, class_names):
    found, found_names = number_labels(names)
    assert (found.tolist(), found_names) == (labels, class_names)


def test_suffixes():
    assert all(is_image(f"a.{suffix}") for suffix in ("jpg", "JPEG", "Tif", "gif", "webp", "jfif"))
    assert not any(is_image(name) for name in ("a.txt", "jpg", "a.jpg.txt", "a.svg", "a.avif"))
