"""Duplicates across splits: found, bounded, written, read."""

import numpy as np
import pytest

from features.errors import DataError
from features.records import Split
from pipeline.data import duplicates, neighbours
from pipeline.data.duplicates import (
    FILE,
    MOST,
    SIMILARITY,
    find_duplicates,
    near_duplicate_ids,
    read,
    write,
)
from pipeline.data.splitting import SplitConfig, make_splits
from tests.pipeline.data.test_groups import digests

SOURCE_SPLITS = [Split.TRAIN] * 60 + [Split.VALIDATION] * 20 + [Split.TEST] * 20


def splits(source_splits=SOURCE_SPLITS, **settings):
    count = len(source_splits)
    labels = (np.arange(count) % 2).astype(np.int32)
    ids = tuple(f"{number:04d}.png" for number in range(count))
    config = SplitConfig(**settings)
    return make_splits(
        ids, labels, ("ant", "bee"), np.array(source_splits, np.uint8), np.arange(count), config
    )


def features(count=100, seed=0):
    return np.random.default_rng(seed).normal(2, 1, (count, 40)).astype(np.float32)


def listed(found):
    return {tuple(row) for row in found.table[["id", "twin", "kind"]].to_numpy().tolist()}


def test_duplicates_in_other_splits_are_found_both_ways():
    x, contents = features(), np.arange(100)
    x[85] = x[10] + 0.01  # test and train
    x[70] = x[11] + 0.01  # validation and train
    x[90] = x[71] + 0.01  # test and validation
    x[12] = x[13] + 0.01  # both in train: of no matter
    x[86], contents[86] = x[14], contents[14]
    found = find_duplicates(splits(), digests(contents), x)
    near = [("0085.png", "0010.png"), ("0070.png", "0011.png"), ("0090.png", "0071.png")]
    expected = {(*pair, "near") for pair in near} | {("0086.png", "0014.png", "equal")}
    assert listed(found) == expected | {(other, image, kind) for image, other, kind in expected}
    assert found.table["similarity"].iloc[0] == 1
    assert found.table["similarity"].is_monotonic_decreasing
    row = found.table[found.table["id"] == "0090.png"].iloc[0]
    assert (row["part"], row["twin_part"]) == ("test", "validation")
    assert 0.99 < row["similarity"] <= 1
    assert (found.cut, found.near, found.tests) == (0, True, 20)


def test_those_that_a_candidate_may_have_learned_from_are_named(tmp_path):
    x, contents = features(), np.arange(100)
    x[85], x[70], x[90] = x[10], x[11], x[71]
    write(tmp_path, find_duplicates(splits(), digests(contents), x))
    assert near_duplicate_ids(tmp_path, "validation") == {"0070.png"}
    assert near_duplicate_ids(tmp_path, "test") == {"0085.png", "0090.png"}
    assert near_duplicate_ids(tmp_path / "elsewhere", "test") == frozenset()


def test_with_folds_each_fold_is_a_split(tmp_path):
    made = splits([Split.NONE] * 100, folds=4, repeats=1)
    first, second = np.flatnonzero(made.folds[0] == 0)[:2]
    third = np.flatnonzero(made.folds[0] == 3)[0]
    x = features()
    x[first], x[made.test[0]] = x[third], x[second]
    found = find_duplicates(made, digests(np.arange(100)), x)
    assert set(found.table["part"]) == {"fold 0", "fold 3", "test"}
    write(tmp_path, found)
    assert near_duplicate_ids(tmp_path, "validation") == {made.ids[first], made.ids[third]}
    assert near_duplicate_ids(tmp_path, "test") == {made.ids[made.test[0]]}


def test_where_any_two_images_are_similar_near_duplicates_must_be_more_so():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3)).astype(np.float32) @ rng.normal(size=(3, 40)).astype(np.float32)
    x[85] = x[10] + 0.0001
    found = find_duplicates(splits(), digests(np.arange(100)), x)
    assert 0.99 < found.threshold < 1
    assert ("0085.png", "0010.png", "near") in listed(found)
    assert found.table["similarity"].min() >= found.threshold
    wide = np.random.default_rng(0).normal(size=(100, 200)).astype(np.float32)
    assert find_duplicates(splits(), digests(np.arange(100)), wide).threshold == pytest.approx(
        SIMILARITY
    )


@pytest.mark.parametrize("equal", [True, False])
def test_flat_images_do_not_explode(equal):
    count = 10 * MOST
    x, contents = features(200), np.arange(200)
    flat = np.arange(200) % 2 == 0
    x[flat] = x[0] + 0.001 * features(200, seed=1)[flat]
    if equal:
        contents[flat] = 0
    source_splits = [Split.TRAIN] * 100 + [Split.VALIDATION] * 50 + [Split.TEST] * 50
    found = find_duplicates(splits(source_splits), digests(contents), x)
    of_a_split = found.table.groupby(["id", "twin_part"]).size()
    assert of_a_split.max() == MOST
    assert found.table["id"].nunique() == count // 2  # every flat image is listed
    assert found.cut == 2 * (50 * 25 + 50 * 25 + 25 * 25) - len(found.table)
    assert "more pairs left out" in found.summary(FILE)


def test_among_too_many_images_near_ones_of_a_sample_are_looked_for(monkeypatch):
    monkeypatch.setattr(duplicates, "LARGEST", 99)
    monkeypatch.setattr(neighbours, "_VALUES", 13 * features().shape[1])  # in blocks of 13 rows
    x, contents = features(), np.arange(100)
    x[85], contents[86] = x[10], contents[14]
    found = find_duplicates(splits(), digests(contents), x)
    monkeypatch.setattr(duplicates, "LARGEST", 100)
    whole = find_duplicates(splits(), digests(contents), x)
    assert listed(found) == listed(whole) >= {("0085.png", "0010.png", "near")}
    assert (found.near, found.sampled, whole.near, whole.sampled) == (False, 40, True, 0)
    monkeypatch.setattr(duplicates, "LARGEST", 99)
    monkeypatch.setattr(duplicates, "SAMPLED", 1)
    few = find_duplicates(splits(), digests(contents), x)
    assert few.sampled == 2
    equal = {("0086.png", "0014.png", "equal"), ("0014.png", "0086.png", "equal")}
    assert equal <= listed(few) <= listed(whole)
    assert few.summary(FILE).endswith(
        "near-duplicates were looked for of 2 sampled images that are judged, as there are more "
        "than 99 images"
    )


def test_what_is_written_is_read(tmp_path):
    x = features()
    x[85] = x[10] + 0.01
    for found in (
        find_duplicates(splits(), digests(np.arange(100)), x),
        find_duplicates(splits(), digests(np.arange(100)), features()),
    ):
        assert write(tmp_path, found) == tmp_path / FILE
        again = read(tmp_path)
        assert again.table.to_numpy().tolist() == found.table.to_numpy().tolist()
        assert again.table["similarity"].dtype == np.float32
        assert (again.threshold, again.near, again.cut, again.tests, again.sampled) == (
            found.threshold, found.near, found.cut, found.tests, found.sampled,
        )  # fmt: skip


@pytest.mark.parametrize("damage", [b"PAR1 no more", b""])
def test_a_damaged_list_is_told(tmp_path, damage):
    (tmp_path / FILE).write_bytes(damage)
    with pytest.raises(DataError, match="cannot be read.*run `classify` again"):
        near_duplicate_ids(tmp_path, "test")


def test_the_summary_counts_in_words():
    x, contents = features(), np.arange(100)
    none = find_duplicates(splits(), digests(contents), x)
    assert none.summary(FILE) == "no image has a duplicate in another split"
    x[85], contents[86] = x[10], contents[14]
    some = find_duplicates(splits(), digests(contents), x)
    assert some.summary("results/duplicates.parquet") == (
        "4 images have a duplicate in another split (2 equal, 2 near; 2 of the 20 test images), "
        "listed in results/duplicates.parquet"
    )
