"""JPEG files of realistic content and size, cut from the two bundled photographs."""

from pathlib import Path

import numpy as np
from PIL import Image

from features.backbones.golden import FOLDER, PHOTOS

QUALITY = 90


def make_jpegs(folder: Path, count: int, size: tuple[int, int] = (500, 375), seed: int = 0) -> Path:
    """Write `count` seeded crops and flips, one class folder a photograph; return `folder`.

    Args:
        folder: made here.
        count: of all files; they take turns among the classes.
        size: width and height of every file, in pixels.
        seed: of the crops.
    """
    rng = np.random.default_rng(seed)
    photos = {name: Image.open(FOLDER / f"{name}.png").convert("RGB") for name in PHOTOS}
    for name in photos:
        (folder / name).mkdir(parents=True)
    for number in range(count):
        name = PHOTOS[number % len(PHOTOS)]
        path = folder / name / f"{number:06d}.jpg"
        _crop(photos[name], size, rng).save(path, quality=QUALITY)
    return folder


def jpegs(folder: Path) -> list[Path]:
    """Return the files in the order in which every competitor takes them."""
    return sorted(folder.glob("*/*.jpg"))


def as_arrays(folder: Path, scratch: Path) -> tuple[Path, Path]:
    """Write the pixels of JPEG files of one size as an `.npz` and an HDF5 file; return both."""
    import h5py

    pixels = np.stack([np.asarray(Image.open(file)) for file in jpegs(folder)])
    np.savez(scratch / "arrays.npz", images=pixels)
    with h5py.File(scratch / "arrays.h5", "w") as file:
        file["images"] = pixels
    return scratch / "arrays.npz", scratch / "arrays.h5"


def _crop(photo: Image.Image, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """Return a part of 60 to 100 % of the largest one of the wanted ratio, flipped or not."""
    share = rng.uniform(0.6, 1.0) * min(photo.width / size[0], photo.height / size[1])
    width, height = share * size[0], share * size[1]
    left, top = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
    part = photo.resize(size, Image.Resampling.BICUBIC, (left, top, left + width, top + height))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part
