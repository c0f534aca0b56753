import hashlib
import re
import runpy
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.records import Split
from pipeline.datasets.arrays import collect
from pipeline.datasets.catalog import DATASETS
from tests.pipeline.standins import official

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
CLASSES = DATASETS["cifar10"].class_names


@pytest.fixture(scope="module")
def images():
    """Every image of the archive: (part, class, official index) and its decoded pixels."""
    found = {}
    with zipfile.ZipFile(EXAMPLES / "cifar10-2000.zip") as archive:
        for name in archive.namelist():
            part, label, index = re.fullmatch(r"(train|test)/(\w+)/(\d{5})\.png", name).groups()
            with Image.open(BytesIO(archive.read(name)), formats=["PNG"]) as image:
                assert (image.mode, image.size) == ("RGB", (32, 32)), name
                found[part, label, int(index)] = np.asarray(image)
    return found


def test_every_class_is_there_in_both_parts(images):
    counts = Counter((part, label) for part, label, _ in images)
    assert counts == {("train", c): 150 for c in CLASSES} | {("test", c): 50 for c in CLASSES}


def test_no_test_image_is_a_training_image(images):
    pixels = {part: set() for part in ("train", "test")}
    for (part, _, _), image in images.items():
        pixels[part].add(image.tobytes())
    assert not pixels["train"] & pixels["test"]


def test_labels_and_pixels_are_the_official_ones(images):
    arrays = official("cifar10")
    parts = {"train": arrays.of_split(Split.TRAIN), "test": arrays.of_split(Split.TEST)}
    for (part, label, index), image in images.items():
        official_images, official_labels = parts[part]
        assert CLASSES[official_labels[index]] == label
        assert np.array_equal(official_images[index], image)


@pytest.mark.parametrize(
    ("folder", "names"),
    [("examples", ["cifar10-2000.zip"]), ("features/backbones/golden", ["cat.png", "coffee.png"])],
)
def test_readme_notes_the_checksums(folder, names):
    readme = (ROOT / folder / "README.md").read_text()
    for name in names:
        sha256 = hashlib.sha256((ROOT / folder / name).read_bytes()).hexdigest()
        assert name in readme
        assert sha256 in readme


def test_the_draw_is_repeatable_and_passes_over_duplicates():
    generator = np.random.default_rng(1)
    labels = np.concatenate([np.repeat([0, 1], 160), np.repeat([0, 1], 60)])
    pixels = generator.integers(0, 256, (len(labels), 32, 32, 3), np.uint8)
    pixels[320:330] = pixels[
        160:170
    ]  # of class 0 in the test part, of class 1 in the training part
    arrays = collect([(pixels, labels)], 320, 120, (32, 32, 3))
    choose = runpy.run_path(str(EXAMPLES / "make_cifar10_2000.py"))["choose"]

    chosen = choose(arrays, 2)

    taken = {arrays.images[row].tobytes() for row in chosen[Split.TRAIN]}
    assert not any(arrays.images[row].tobytes() in taken for row in chosen[Split.TEST])
    assert np.bincount(arrays.labels[chosen[Split.TRAIN]]).tolist() == [150, 150]
    assert np.bincount(arrays.labels[chosen[Split.TEST]]).tolist() == [50, 50]
    assert all(np.array_equal(chosen[split], choose(arrays, 2)[split]) for split in chosen)
