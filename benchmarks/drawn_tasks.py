"""Tasks that are drawn, far from photographs: textures, noise, solar cells, digits, shapes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

SIDE = 64  # pixels

Drawn = Callable[
    [np.random.Generator, int], np.ndarray
]  # draws an image of a class, float (S, S, 3)


def _grid() -> tuple[np.ndarray, np.ndarray]:
    down, across = np.mgrid[:SIDE, :SIDE]
    return down.astype(float), across.astype(float)


def colour(rng: np.random.Generator, label: int) -> np.ndarray:
    """Smooth blots, reddish, greenish or bluish."""
    image = 90 + 30 * rng.normal(size=(4, 4, 3)).repeat(SIDE // 4, 0).repeat(SIDE // 4, 1)
    image[..., label % 3] += 40
    return image


def orientation(rng: np.random.Generator, label: int) -> np.ndarray:
    """Gratings of any frequency and phase, turned by the class."""
    down, across = _grid()
    angle = np.pi * (label + 0.3 * rng.normal()) / 4
    wave = (down * np.sin(angle) + across * np.cos(angle)) * rng.uniform(0.3, 1.2)
    return _grey(128 + 60 * np.sin(wave + rng.uniform(0, 6)) + 40 * rng.normal(size=wave.shape))


def texture(rng: np.random.Generator, label: int) -> np.ndarray:
    """Filtered noise, whose grain is the class."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.normal(size=(SIDE, SIDE)), 0.7 + 0.25 * label, mode="wrap")
    return _grey(128 + 50 * noise / noise.std())


def noise(rng: np.random.Generator, label: int) -> np.ndarray:
    """A faint fixed pattern for each class, in noise."""
    code = np.random.default_rng(label).normal(size=(SIDE, SIDE, 3))
    return 128 + 15 * code + 60 * rng.normal(size=code.shape)


def solar_cell(rng: np.random.Generator, label: int) -> np.ndarray:
    """A grey wafer with busbars and grain; a defective one has a dark crack."""
    from scipy.ndimage import gaussian_filter

    down, across = _grid()
    grain = gaussian_filter(rng.normal(size=(SIDE, SIDE)), 3)
    wafer = rng.uniform(110, 170) + 10 * grain / grain.std() - 25 * (down % 21 < 2)
    wafer -= 0.02 * ((down - 32) ** 2 + (across - 32) ** 2)
    if label % 2:
        y, x, angle = rng.uniform(15, 49), rng.uniform(15, 49), rng.uniform(0, np.pi)
        off = np.abs((down - y) * np.cos(angle) - (across - x) * np.sin(angle))
        along = np.abs((down - y) * np.sin(angle) + (across - x) * np.cos(angle))
        wafer -= 45 * (off + rng.normal(size=off.shape) < 1.5) * (along < rng.uniform(8, 25))
    return _grey(wafer + 5 * rng.normal(size=wafer.shape))


def drawn_digit(rng: np.random.Generator, label: int) -> np.ndarray:
    """A printed digit of any size and place."""
    from PIL import Image, ImageDraw

    image = Image.new("L", (SIDE, SIDE))
    size = int(rng.integers(24, 44))
    corner = tuple(int(place) for place in rng.integers(4, 20, 2))
    ImageDraw.Draw(image).text(corner, str(label), fill=255, font_size=size)
    return _grey(np.asarray(image, float))


def cells(rng: np.random.Generator, label: int) -> np.ndarray:
    """Pink tissue with violet nuclei, many or few."""
    down, across = _grid()
    image = np.full((SIDE, SIDE, 3), (225.0, 170.0, 200.0))
    for _ in range(rng.poisson(6 + 5 * label)):
        y, x, radius = rng.uniform(0, SIDE), rng.uniform(0, SIDE), rng.uniform(2, 5)
        image[(down - y) ** 2 + (across - x) ** 2 < radius**2] = (110, 60, 150)
    return image + 12 * rng.normal(size=image.shape)


def shape(rng: np.random.Generator, label: int) -> np.ndarray:
    """A disc, triangle, square or hexagon of any colour, size and place."""
    from PIL import Image, ImageDraw

    back, fill = (tuple(int(value) for value in rng.integers(0, 256, 3)) for _ in range(2))
    image, radius = Image.new("RGB", (SIDE, SIDE), back), rng.uniform(10, 24)
    centre = rng.uniform(radius, SIDE - radius, 2)
    corners = (60, 3, 4, 6)[label]
    angles = rng.uniform(0, 6) + 2 * np.pi * np.arange(corners) / corners
    places = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ImageDraw.Draw(image).polygon([tuple(place) for place in places.tolist()], fill=fill)
    return np.asarray(image, float) + 8 * rng.normal(size=(SIDE, SIDE, 3))


def spectrogram(rng: np.random.Generator, label: int) -> np.ndarray:
    """A tone that stays, rises, trembles or is interrupted, in noise: time against frequency."""
    from scipy.signal import spectrogram as transform

    time = np.arange(2 * SIDE**2) / (2 * SIDE**2)
    cycles = rng.uniform(300, 1500) * time
    cycles += (0, 900 * time**2, 12 * np.sin(12 * np.pi * time), 0)[label]
    tone = np.sin(2 * np.pi * cycles) * ((np.sin(16 * np.pi * time) > 0) if label == 3 else 1)
    sound = tone + 1.5 * rng.normal(size=time.shape)
    power = np.log(transform(sound, len(time), nperseg=2 * SIDE, noverlap=0)[2][:SIDE] + 1e-9)
    return _grey(255 * (power - power.min()) / np.ptp(power))


def _grey(plane: np.ndarray) -> np.ndarray:
    return plane[..., None].repeat(3, axis=2)


# The tasks that are drawn, each with its number of classes.
TASKS: dict[str, tuple[Drawn, int]] = {
    "colour": (colour, 3), "orientation": (orientation, 4), "texture": (texture, 4),
    "noise": (noise, 4), "solar cells": (solar_cell, 2), "printed digits": (drawn_digit, 10),
    "tissue": (cells, 2), "shapes": (shape, 4), "spectrograms": (spectrogram, 4),
}  # fmt: skip


def write(task: str, path: Path, count: int) -> Path:
    """Write the images of a task as a source of arrays; return its path."""
    draw, classes = TASKS[task]
    rng, labels = np.random.default_rng(0), np.arange(count) % classes
    images = np.stack([draw(rng, int(label)) for label in labels])
    np.savez(path, images=np.clip(images, 0, 255).astype(np.uint8), labels=labels)
    return path


def write_handwritten(path: Path) -> Path:
    """Write scikit-learn's handwritten digits, 8 x 8 pixels, enlarged."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.kron(digits.images / 16 * 255, np.ones((4, 4))).astype(np.uint8)
    np.savez(path, images=images, labels=digits.target)
    return path
