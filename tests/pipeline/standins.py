"""Small stand-ins for the public data sets, in the true formats of their archives."""

import dataclasses
import functools
import gzip
import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.processes.packages import cache_folder, sha256_of
from features.records import Split
from pipeline.datasets import catalog, idx
from pipeline.datasets.arrays import Arrays, collect

PACKAGES = cache_folder() / "packages"  # before any test points the cache elsewhere


def draw(name: str, train: int, test: int, seed: int = 0) -> tuple[catalog.Dataset, Arrays]:
    """Return random content of a data set's kind, and the catalog entry that expects just that."""
    generator = np.random.default_rng(seed)
    dataset = catalog.DATASETS[name]
    images = generator.integers(0, 256, (train + test, *dataset.shape), np.uint8)
    labels = generator.integers(0, len(dataset.class_names), train + test, np.uint8)
    return expecting(dataset, images, labels, train)


def expecting(dataset, images, labels, train: int) -> tuple[catalog.Dataset, Arrays]:
    test = len(images) - train
    arrays = collect([(images, labels)], train, test, dataset.shape)
    dataset = dataclasses.replace(dataset, train=train, test=test)
    if dataset.idx_md5:
        return dataclasses.replace(dataset, idx_md5=catalog.idx_md5(arrays)), arrays
    return dataclasses.replace(dataset, digest=arrays.digest), arrays


def tgz(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def package_members(name: str, arrays: Arrays) -> dict[str, bytes]:
    """Return what the package of a data set holds, in the order of the real archive."""
    parts = {
        "train": arrays.of_split(Split.TRAIN),
        "t10k": arrays.of_split(Split.TEST),
    }
    if name == "mnist":
        members = {}
        for part in ("t10k", "train"):
            images, labels = parts[part]
            members[f"package/data/{part}-images-idx3-ubyte"] = idx.encode(images)
            members[f"package/data/{part}-labels-idx1-ubyte"] = idx.encode(labels)
        return members
    sheets = dict(enumerate(np.split(parts["train"][0], 5), start=1))
    members = {f"package/data_batch_{number}.png": _sheet(x) for number, x in sheets.items()}
    members["package/test_batch.png"] = _sheet(parts["t10k"][0])
    members["package/test_lables.json"] = json.dumps(parts["t10k"][1].tolist()).encode()
    members["package/train_lables.json"] = json.dumps(parts["train"][1].tolist()).encode()
    return members


def _sheet(images: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(images.reshape(len(images), 32 * 32, 3)).save(encoded, "PNG")
    return encoded.getvalue()


def keras_files(name: str, folder: Path) -> tuple[catalog.Dataset, Arrays]:
    """Write what keras.datasets downloads for a data set, and return what it should make of it."""
    if name == "cifar10":
        return _cifar_batches(folder / "cifar-10-python.tar.gz")
    dataset, arrays = draw(name, 12, 5)
    parts = {"train": arrays.of_split(Split.TRAIN), "t10k": arrays.of_split(Split.TEST)}
    if name == "mnist":
        (x, y), (x_test, y_test) = parts.values()
        labels = {"y_train": y.astype(np.uint8), "y_test": y_test.astype(np.uint8)}
        np.savez(folder / "mnist.npz", x_train=x, x_test=x_test, **labels)
    else:
        for part, (images, labels) in parts.items():
            for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
                packed = gzip.compress(idx.encode(values))
                (folder / f"{part}-{kind}-ubyte.gz").write_bytes(packed)
    return dataset, arrays


def _cifar_batches(path: Path) -> tuple[catalog.Dataset, Arrays]:
    # Keras fills 10,000 places with each training batch: of a batch of one image, 10,000 copies.
    generator = np.random.default_rng(0)
    data = generator.integers(0, 256, (6, 1, 3072), np.uint8)
    labels = [3, 1, 4, 1, 5, 9]
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    tgz(
        path,
        {
            f"cifar-10-batches-py/{name}": pickle.dumps({b"data": rows, b"labels": [label]}, 3)
            for name, rows, label in zip(names, data, labels, strict=True)
        },
    )
    images = data.reshape(6, 3, 32, 32).transpose(0, 2, 3, 1)
    repeats = [10_000] * 5 + [1]
    return expecting(
        catalog.DATASETS["cifar10"],
        np.repeat(images, repeats, axis=0),
        np.repeat(labels, repeats),
        50_000,
    )


@functools.lru_cache(maxsize=1)
def official(name: str) -> Arrays:
    """Return the true content of a data set from its package, where that is in the cache."""
    dataset = catalog.DATASETS[name]
    archive = PACKAGES / dataset.package.archive
    if not archive.exists() or sha256_of(archive) != dataset.package.sha256:
        pytest.skip(f"{dataset.package.archive} is not in the cache")
    return collect(dataset.read(archive), dataset.train, dataset.test, dataset.shape)
