"""Splits: seeded, stratified, groups together, kept by id."""

import dataclasses

import numpy as np
import pytest

from features.errors import DataError, UsageError
from features.records import Split
from pipeline.data.groups import columns_like_groups
from pipeline.data.splits import FILE, Splits
from pipeline.data.splitting import SplitConfig, make_splits

NAMES = ("ant", "bee", "cat")


def splits(images=300, parts=None, groups=None, labels=None, **settings):
    labels = (np.arange(images) % len(NAMES)).astype(np.int32) if labels is None else labels
    ids = tuple(f"{number:05d}.png" for number in range(images))
    parts = np.zeros(images, np.uint8) if parts is None else parts
    groups = np.arange(images) if groups is None else groups
    return make_splits(ids, labels, NAMES, parts, groups, SplitConfig(**settings))


def test_a_fifth_is_locked_away_and_classes_keep_their_proportions():
    made = splits()
    assert len(made.test) == 60
    assert np.bincount(made.labels[made.test]).tolist() == [20, 20, 20]
    assert made.count == 5
    assert len(made.folds) == SplitConfig.repeats


def test_in_every_round_training_validation_and_test_are_apart():
    made = splits()
    rounds = list(made.rounds())
    assert len(rounds) == 10
    for train, held in rounds:
        assert not set(train) & set(held)
        assert set(train) | set(held) == set(made.rest)
        assert not set(made.test) & (set(train) | set(held))
    assert sorted(np.concatenate([held for _, held in made.rounds(1)])) == made.validated.tolist()


def test_repeats_part_the_images_anew():
    first, second = splits().folds
    assert (first != second).any()


def test_many_images_have_one_part_held_out():
    made = splits(3000)
    ((train, held),) = made.rounds()
    assert (len(made.test), len(held), len(train)) == (600, 480, 1920)
    assert made.validated.tolist() == held.tolist()


def test_folds_on_demand_for_many_images_too():
    assert splits(3000, folds=3, repeats=1).folds.max() == 2


def test_the_parts_of_the_source_are_kept():
    parts = np.full(3000, Split.TRAIN, np.uint8)
    parts[:500], parts[500:800] = Split.TEST, Split.VALIDATION
    made = splits(3000, parts)
    assert made.test.tolist() == list(range(500))
    assert made.validated.tolist() == list(range(500, 800))


@pytest.mark.parametrize("images", [300, 3000])
def test_groups_never_part(images):
    groups = np.random.default_rng(0).integers(0, images // 4, images)
    made = splits(images, groups=groups)
    for folds in made.folds:
        for group in np.unique(groups):
            assert len(set(folds[groups == group].tolist())) == 1


def test_equal_seeds_give_equal_splits_and_others_do_not():
    assert splits(seed=3).digest == splits(seed=3).digest != splits(seed=4).digest


@pytest.mark.parametrize("images", [300, 3000])
def test_what_is_written_is_read(tmp_path, images):
    made = splits(images)
    made.write(tmp_path)
    again = Splits.read(tmp_path)
    assert again.digest == made.digest
    assert (again.ids, again.class_names, again.count, again.scheme) == (
        made.ids, made.class_names, made.count, made.scheme,
    )  # fmt: skip


def test_the_file_names_the_part_of_each_image(tmp_path):
    import pyarrow.parquet as pq

    made = splits(3000)
    table = pq.read_table(made.write(tmp_path)).to_pandas().set_index("id")
    counts = table["part"].value_counts().to_dict()
    assert counts == {"train": 1920, "test": 600, "validation": 480}
    assert table.loc[made.ids[made.test[0]], "part"] == "test"


def test_a_changed_file_is_told(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    splits().write(tmp_path)
    table = pq.read_table(tmp_path / FILE)
    ids = pa.array(["other.png", *table["id"].to_pylist()[1:]])
    pq.write_table(table.set_column(0, "id", ids), tmp_path / FILE)
    with pytest.raises(DataError, match="has changed"):
        Splits.read(tmp_path)
    (tmp_path / FILE).write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="cannot be read"):
        Splits.read(tmp_path)
    with pytest.raises(UsageError, match="no results folder"):
        Splits.read(tmp_path / "elsewhere")


def test_a_class_with_too_few_images_is_named():
    labels = np.zeros(300, np.int32)
    labels[:100], labels[100:103] = 1, 2
    with pytest.raises(DataError, match=r"class 'cat' has 3 independent images.*at least 5"):
        splits(labels=labels)


def test_a_class_in_the_test_part_alone_is_named():
    labels = (np.arange(300) % 2).astype(np.int32)
    parts = np.zeros(300, np.uint8)
    labels[:50], parts[:50] = 2, Split.TEST
    with pytest.raises(DataError, match="'cat'"):
        splits(labels=labels, parts=parts)


def grouped(patients, each, test=()):
    """Labels, the source's splits and groups: `each` images of each patient, some in the test."""
    groups = np.repeat(np.arange(patients), each)
    labels = (groups % 2).astype(np.int32)
    split = np.full(len(groups), Split.TRAIN, np.uint8)
    split[list(test)] = Split.TEST
    ids = tuple(f"{number}.png" for number in range(len(groups)))
    return ids, labels, ("a", "b"), split, groups


def test_groups_on_both_sides_of_the_source_s_splits_are_left_out_of_learning(tmp_path):
    # Of 40 patients with 5 images each, 10 are tested with 2 images, and of 4 of these more train.
    test = [5 * patient + image for patient in range(10) for image in range(2)]
    ids, labels, names, split, groups = grouped(40, 5, test)
    drop = [5 * patient + image for patient in range(4, 10) for image in range(2, 5)]
    keep = np.setdiff1d(np.arange(200), drop)
    splits = make_splits(
        tuple(ids[row] for row in keep), labels[keep], names, split[keep], groups[keep],
        SplitConfig(folds=3),
    )  # fmt: skip
    assert len(splits.excluded) == 4 * 3
    assert not set(splits.groups[splits.rest]) & set(splits.groups[splits.test])
    assert "12 left out, because others of their group are judged" in splits.counts()
    for train, held in splits.rounds():
        assert not set(train) & set(splits.excluded)
        assert not set(splits.groups[train]) & set(splits.groups[held])
    splits.write(tmp_path)
    again = Splits.read(tmp_path)
    assert again.digest == splits.digest
    assert again.groups.tolist() == splits.groups.tolist()
    assert (again.frame()["split"] == "excluded").sum() == 12


def test_too_many_groups_on_both_sides_are_refused():
    test = [5 * patient for patient in range(40)]
    with pytest.raises(DataError, match="160 of 160 images to learn from belong to groups"):
        make_splits(*grouped(40, 5, test), SplitConfig())


def test_the_source_s_validation_shares_no_group_with_training():
    ids, labels, names, split, groups = grouped(60, 4, range(40))
    split[40:42] = Split.VALIDATION  # half of a patient's images
    split[44:52] = Split.VALIDATION
    splits = make_splits(ids, labels, names, split, groups, SplitConfig())
    ((train, held),) = splits.rounds()
    assert len(held) == 10
    assert len(splits.excluded) == 2
    assert not set(splits.groups[train]) & set(splits.groups[held])


def test_groups_are_in_the_digest_only_where_there_are_any():
    alone = grouped(40, 1)
    before = make_splits(*alone, SplitConfig(folds=2))
    assert dataclasses.replace(before, groups=None).digest == before.digest
    pairs = make_splits(*grouped(40, 2), SplitConfig(folds=2))
    assert dataclasses.replace(pairs, groups=None).digest != pairs.digest


def test_columns_that_may_name_groups():
    labels = np.repeat([0, 1], 50)
    columns = {
        "patient": [f"p{number // 5}" for number in range(100)],
        "label": ["cat"] * 50 + ["dog"] * 50,
        "file": [str(number) for number in range(100)],
        "mostly empty": ["", *["a", "b", "c"] * 3, *[""] * 90],
    }
    assert columns_like_groups(columns, labels) == ["patient"]
