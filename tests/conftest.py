"""What tests share: small images on disk, recipes, rows; and a cache folder of their own."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# What a shell starts in the background ignores Ctrl-C, and so would what the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Begin with the longest tests, so that no process waits for another's last one."""
    marks = {item: item.get_closest_marker("timeout") for item in items}
    items.sort(key=lambda item: -marks[item].args[0] if marks[item] else 0)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("OFFSHELF_CACHE", str(folder))
    return folder


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of two class folders with 10 random PNG images of 40 x 48 pixels each."""
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 256, (40, 48, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture(scope="session")
def real_weights():
    """A function that gives a backbone's real weights from the user's cache, or skips."""
    from features.backbones.catalog import find
    from features.backbones.weights import cached

    def get(name: str):
        weights = cached(find(name))
        if weights is None:
            pytest.skip(
                f"weights of {name} are not cached: `python -m pipeline weights fetch {name}`"
            )
        return weights

    return get
