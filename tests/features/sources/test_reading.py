import json

import numpy as np
import pytest

from features.errors import DataError
from features.records import Split
from features.sources import open_source
from features.sources.reading import Reading, count_images
from tests.features.sources.builders import BUILDERS, CLASSES, write_files


def test_the_sentence_says_what_was_found_and_what_was_not_read():
    reading = Reading(
        {"cat": 600, "dog": 600},
        {"train": 1000, "test": 200},
        passed_over={".ppm": 2, ".heic": 12},
        not_read=("labels.csv", "arrays `label`"),
    )
    assert reading.sentence() == (
        "found 1,200 images of 2 classes (cat 600, dog 600) in train 1,000 and test 200; "
        "unlabelled 0; passed over 14 files: 12 .heic, 2 .ppm; not read: labels.csv, arrays `label`"
    )
    assert reading.images == 1200


def test_the_sentence_of_unlabelled_images_without_splits():
    assert Reading({}, {"none": 1}, 1).sentence() == "found 1 image; unlabelled 1"


def test_the_sentence_stays_one_short_line():
    classes = {f"class {number}": 1 for number in range(1000)} | {"\x1b[31m\n" + "x" * 300: 1}
    sentence = Reading(dict(reversed(classes.items())), {"train": 1000, "none": 1}).sentence()
    assert "found 1,001 images of 1,001 classes (\\x1b[31m\\nxxx" in sentence
    assert "and 996 more) in train 1,000 and no split 1; unlabelled 0" in sentence
    assert sentence.isprintable()
    assert len(sentence) < 250


def test_a_reading_comes_back_from_json():
    reading = Reading({"a": 1}, {"none": 2}, 1, {".txt": 1}, ("x.csv",), ("1 image is odd.",))
    assert Reading.from_dict(json.loads(json.dumps(reading.to_dict()))) == reading
    assert Reading.from_dict({"of a later version": 3}) == Reading()
    with pytest.raises(DataError, match=r"splits\[\.\.\.\]: expected `int` >= 0"):
        Reading.from_dict({"splits": {"train": -1}})


def test_counts_of_images():
    labels, splits = np.array([1, -1, 1, 0], np.int32), np.array([3, 0, 1, 1], np.uint8)
    classes, in_splits, unlabelled = count_images(labels, splits, ("a", "b", "c"))
    assert (classes, unlabelled) == ({"a": 1, "b": 2, "c": 0}, 1)
    assert list(in_splits.items()) == [("train", 2), ("test", 1), ("none", 1)]
    assert Split.NONE == 0


@pytest.mark.parametrize("name", BUILDERS)
def test_every_kind_of_source_says_how_it_was_read(name, tmp_path):
    _, build, has_splits = BUILDERS[name]
    with open_source(build(tmp_path)) as source:
        reading = source.reading
    assert reading.classes == dict(zip(CLASSES, (2, 4), strict=True))
    expected = {"train": 3, "validation": 1, "test": 2} if has_splits else {"none": 6}
    assert reading.splits == expected
    assert (reading.unlabelled, reading.not_read, reading.warnings) == (0, (), ())


def test_a_limited_source_counts_what_is_left(tmp_path):
    names = [f"{folder}/{number}.png" for folder in "ab" for number in range(5)]
    write_files(tmp_path, dict.fromkeys([*names, "a/x.md"], b""))
    reading = open_source(tmp_path, limit=4).reading
    assert (reading.classes, reading.passed_over) == ({"a": 2, "b": 2}, {".md": 1})
