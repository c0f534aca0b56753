"""Small sources of images that a small network can tell apart."""

from pathlib import Path

import numpy as np

from features.records import Split

NAMES = ("ant", "bee", "cat")


def colours(count: int, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return noise with more red, green or blue in it: uint8 (count, size, size, 3), labels."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count, dtype=np.int64) % 3)
    x = rng.integers(0, 150, (count, size, size, 3))
    x[np.arange(count), :, :, labels] += 60
    return x.astype(np.uint8), labels


def split_codes(count: int) -> np.ndarray:
    """Return codes of splits: half of the images train, a quarter each validates and tests."""
    order = (Split.TRAIN, Split.VALIDATION, Split.TRAIN, Split.TEST)
    return np.resize(np.array(order, np.uint8), count)


def write_arrays(path: Path, x: np.ndarray, labels: np.ndarray, names=NAMES, **arrays) -> Path:
    """Write an arrays source with splits."""
    arrays = {"split": split_codes(len(x))} | arrays
    np.savez(path, images=x, labels=labels, class_names=np.array(names), **arrays)
    return path


def digits(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return drawn digits 0, 1 and 7, moved about: uint8 (count, 28, 28), labels.

    A little noise keeps them different, as identical images would form groups.
    """
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 3)
    drawn = []
    for label in labels:
        image = Image.new("L", (28, 28))
        corner = (int(rng.integers(4, 12)), int(rng.integers(1, 7)))
        ImageDraw.Draw(image).text(corner, "017"[label], fill=255, font_size=20)
        noise = rng.integers(0, 8, (28, 28))
        drawn.append(np.clip(np.asarray(image, int) + noise, 0, 255).astype(np.uint8))
    return np.stack(drawn), labels
