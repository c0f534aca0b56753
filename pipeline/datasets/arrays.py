"""A labelled data set in memory, wherever it was downloaded from."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from features.errors import DataError
from features.records import DIGEST_BYTES, Split

LabelledImages: TypeAlias = tuple[np.ndarray, np.ndarray]  # consecutive images, their labels


@dataclass(frozen=True)
class Arrays:
    """All images of a data set: the official training split, then the official test split.

    Attributes:
        images: uint8, (N, H, W, 3) RGB or (N, H, W) grey.
        labels: int32, (N,).
        split: uint8, (N,), codes of `features.records.Split`.
    """

    images: np.ndarray
    labels: np.ndarray
    split: np.ndarray

    @property
    def digest(self) -> str:
        """BLAKE2b over the bytes of images, labels (little-endian) and split, 32 hex digits."""
        hasher = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for values, dtype in ((self.images, "u1"), (self.labels, "<i4"), (self.split, "u1")):
            hasher.update(np.ravel(values).astype(dtype, copy=False).data)
        return hasher.hexdigest()

    def of_split(self, split: Split) -> LabelledImages:
        """Return the images and labels of one split."""
        rows = self.split == split
        return self.images[rows], self.labels[rows]


def collect(
    chunks: Iterable[LabelledImages], train: int, test: int, shape: tuple[int, ...]
) -> Arrays:
    """Put the chunks of a data set one after the other.

    Args:
        chunks: consecutive images with their labels.
        train: the number of training images, which come first.
        test: the number of test images.
        shape: the shape of one image.

    Raises:
        DataError: the chunks hold other numbers of images or labels, or images of another shape.
    """
    count, filled = train + test, 0
    arrays = Arrays(
        images=np.empty((count, *shape), np.uint8),
        labels=np.empty(count, np.int32),
        split=np.repeat(np.array([Split.TRAIN, Split.TEST], np.uint8), [train, test]),
    )
    for images, labels in chunks:
        rows = slice(filled, filled + len(images))
        if images.shape[1:] != shape or rows.stop > count or len(labels) != len(images):
            raise DataError(
                f"got {len(images)} images of shape {images.shape[1:]} with {len(labels)} labels "
                f"after {filled} images, expected {count} of shape {shape} in all"
            )
        arrays.images[rows], arrays.labels[rows] = images, labels
        filled = rows.stop
    if filled != count:
        raise DataError(f"got {filled} images, expected {count}")
    return arrays
