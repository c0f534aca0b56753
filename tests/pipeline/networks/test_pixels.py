"""Pixels: each image decoded once, in the order of the splits, by the splits that classify makes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.errors import DataError, UsageError
from features.sources import open_source
from pipeline.config import NetworkConfig
from pipeline.data.splits import Splits
from pipeline.data.splitting import SplitConfig, make_splits
from pipeline.networks import pixels
from tests.pipeline.networks.images import NAMES, colours, write_arrays

DAMAGED = Path(__file__).parents[2] / "cases/inputs/damaged"


@pytest.fixture
def folder(tmp_path):
    """Class folders of 12 PNG images each, 20 x 24 pixels."""
    x, labels = colours(36, 24)
    for number, (image, label) in enumerate(zip(x, labels, strict=True)):
        of_class = tmp_path / "images" / NAMES[label]
        of_class.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[:20]).save(of_class / f"{number}.png")
    return tmp_path / "images"


def read(source, tmp_path, size=None, **changes):
    out, folder = tmp_path / "out", tmp_path / "work"
    out.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    values = {"folds": 3, "progress": False} | changes
    return pixels.read(NetworkConfig(source, out, **values), folder, size)


def test_images_keep_a_common_size_and_are_as_they_were(folder, tmp_path):
    images = read(folder, tmp_path)
    assert images.x.shape == (36, 20, 24, 3)
    for image, values, label in zip(images.splits.ids, images.x, images.splits.labels, strict=True):
        np.testing.assert_array_equal(values, np.asarray(Image.open(folder / image)))
        assert image.startswith(NAMES[label])
    assert images.facts["image_size"] == [20, 24]


def test_splits_are_those_that_classify_makes(folder, tmp_path):
    images = read(folder, tmp_path, seed=4)
    with open_source(folder) as source:
        ids = tuple(record.id for record in source)
        labels = np.array([record.label for record in source], np.int32)
    expected = make_splits(
        ids, labels, NAMES, np.zeros(36, np.uint8), np.arange(36), SplitConfig(folds=3, seed=4)
    )
    assert images.splits.digest == expected.digest == Splits.read(tmp_path / "out").digest


def test_images_come_in_the_order_of_splits_that_are_there(folder, tmp_path):
    first = read(folder, tmp_path)
    kept = np.random.default_rng(0).permutation(36)[:30]
    splits = Splits(
        tuple(first.splits.ids[row] for row in kept), first.splits.labels[kept], NAMES,
        first.splits.folds[:, kept], first.splits.count, first.splits.scheme, first.splits.seed,
    )  # fmt: skip
    expected = np.array(first.x)[kept]
    splits.write(tmp_path / "out")
    images = read(folder, tmp_path, folds=None)
    assert images.splits.digest == splits.digest
    np.testing.assert_array_equal(images.x, expected)


def test_what_cannot_be_read_is_told_and_left_out(folder, tmp_path, caplog):
    (folder / "ant" / "bad.png").write_bytes(b"no picture")
    images = read(folder, tmp_path)
    assert "1 of 37 images cannot be read" in caplog.text
    assert "ant/bad.png" not in images.splits.ids
    assert images.x.shape == (36, 20, 24, 3)
    lost = folder / images.splits.ids[3]
    lost.write_bytes(b"no picture any more")
    with pytest.raises(DataError, match=f"{images.splits.ids[3]} in .* can no longer be read"):
        read(folder, tmp_path, folds=None)


def test_damaged_images_are_taken_where_that_is_asked_for(folder, tmp_path, caplog):
    for name in ("a_base_cut_eoi", "a_base_hole4k"):
        shutil.copy(DAMAGED / f"{name}.jpg", folder / "ant")
    images = read(folder, tmp_path, (20, 24), accept_damaged=True)
    assert "2 images are damaged and taken with what could be decoded" in caplog.text
    assert len(images.x) == 38
    assert images.facts["notes"] == {"damaged and taken with what could be decoded": 2}
    test = images.splits.test
    (tmp_path / "locked").mkdir()
    ids = [images.splits.ids[row] for row in test]
    x = pixels.locked(images.facts, ids, tmp_path / "locked", None)
    np.testing.assert_array_equal(x, images.x[test])
    with pytest.raises(DataError, match=r"a_base_\w+.jpg in .* can no longer be read"):
        read(folder, tmp_path, (20, 24), folds=None)


def test_images_of_several_sizes_are_made_one(folder, tmp_path):
    Image.new("RGB", (50, 50)).save(folder / "ant" / "0.png")
    assert read(folder, tmp_path).x.shape[1:3] == pixels.DEFAULT_SIZE
    assert read(folder, tmp_path, size=(10, 12), folds=None).x.shape == (37, 10, 12, 3)


def test_groups_never_part(folder, tmp_path):
    rows = [
        f"{path.relative_to(folder).as_posix()},{path.parent.name},{number % 9}"
        for number, path in enumerate(sorted(folder.glob("*/*.png")))
    ]
    (folder / "m.csv").write_text("\n".join(["path,label,patient", *rows]))
    images = read(folder / "m.csv", tmp_path, group_by="patient")
    patients = {row.split(",")[0]: row.split(",")[2] for row in rows}
    for folds in images.splits.folds:
        of_patient = {}
        for image, fold in zip(images.splits.ids, folds.tolist(), strict=True):
            assert of_patient.setdefault(patients[image], fold) == fold
    with pytest.raises(UsageError, match="no such column; it has patient"):
        read(folder / "m.csv", tmp_path, group_by="camera")


def test_nothing_to_learn_from(tmp_path):
    x, labels = colours(12)
    same = write_arrays(tmp_path / "same.npz", x, labels * 0)
    with pytest.raises(DataError, match="has one class only, 'ant'"):
        read(same, tmp_path)
    none = write_arrays(tmp_path / "none.npz", x, labels * 0 - 1)
    with pytest.raises(DataError, match="has no labels"):
        read(none, tmp_path)
