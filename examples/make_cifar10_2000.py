"""Make the bundled example images from CIFAR-10: 150 training and 50 test images a class.

    python -m pipeline fetch cifar10 --out data/cifar10.h5
    python examples/make_cifar10_2000.py data/cifar10.h5 examples/cifar10-2000.zip

The same input gives the same bytes, as long as Pillow compresses PNGs the same way.
"""

import hashlib
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from features.records import Split
from pipeline.datasets.arrays import Arrays
from pipeline.datasets.catalog import find
from pipeline.datasets.files import read

SEED = 0
PER_CLASS = {Split.TRAIN: 150, Split.TEST: 50}
MIDNIGHT_1980 = (1980, 1, 1, 0, 0, 0)  # the first moment that zip can tell


def choose(arrays: Arrays, classes: int) -> dict[Split, np.ndarray]:
    """Return the rows to take of each part, int64, drawn class by class, ascending in each.

    No test image has the very pixels of a training image taken.
    """
    generators = [np.random.default_rng([SEED, label]) for label in range(classes)]
    chosen: dict[Split, np.ndarray] = {}
    taken: set[bytes] = set()
    for split, count in PER_CLASS.items():
        chosen[split] = np.concatenate(
            [
                np.sort(generator.choice(_candidates(arrays, split, label, taken), count, False))
                for label, generator in enumerate(generators)
            ]
        )
        taken |= {arrays.images[row].tobytes() for row in chosen[split]}
    return chosen


def _candidates(arrays: Arrays, split: Split, label: int, taken: set[bytes]) -> list[int]:
    rows = np.flatnonzero((arrays.split == split) & (arrays.labels == label))
    return [int(row) for row in rows if arrays.images[row].tobytes() not in taken]


def make(source: Path, out: Path) -> None:
    """Write `<part>/<class>/<index in the official part>.png` for each chosen image to a zip."""
    _, arrays = read(source)
    names = find("cifar10").class_names
    files = {}
    for split, rows in choose(arrays, len(names)).items():
        first = np.flatnonzero(arrays.split == split)[0]
        for row in rows:
            name = f"{split.name.lower()}/{names[arrays.labels[row]]}/{row - first:05d}.png"
            files[name] = _png(arrays.images[row])
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(_entry(name), files[name])


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, MIDNIGHT_1980)
    entry.create_system = 3  # Unix wherever it is made, so that the bytes are the same
    entry.external_attr = 0o644 << 16
    return entry


def _png(pixels: np.ndarray) -> bytes:
    encoded = BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", optimize=True)
    return encoded.getvalue()


if __name__ == "__main__":
    source, out = map(Path, sys.argv[1:])
    make(source, out)
    print(f"{out}: {out.stat().st_size:,} bytes, {hashlib.sha256(out.read_bytes()).hexdigest()}")
