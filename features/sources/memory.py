"""Images that a caller holds: paths of files, Pillow images, or an array of pixels."""

import errno
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from features.arguments import as_path, refused
from features.decoding import RejectedImage, upright_rgb
from features.errors import UsageError
from features.records import UNLABELLED, ImageRecord, Split
from features.sources.base import Source
from features.sources.files import read_file, size_of

_EXPECTED = "paths, Pillow images, or a uint8 array of shape (N, H, W, 3)"


class MemorySource(Source):
    """Images in the order in which the caller gives them, without labels and splits.

    The id of an image is its path, or its position, such as "image 3".
    """

    kind = "memory"

    def __init__(self, images: Any) -> None:
        """Check the types of the images; nothing is read yet.

        Args:
            images: a sequence of paths (str or Path) and Pillow images, or an array of pixels,
                uint8 of shape (N, H, W, 3), RGB from 0 to 255.

        Raises:
            UsageError: they are of another type, dtype or shape.
        """
        self.location = Path()
        self._images: np.ndarray | list[Path | Image.Image] = (
            _checked_array(images) if _is_pixels(images) else _checked_list(images)
        )
        self.labels = np.full(len(self._images), UNLABELLED, np.int32)
        self.splits = np.full(len(self._images), Split.NONE, np.uint8)
        # Two threads cannot load the same image at a time, and a list may hold an image twice.
        self._locks = {
            id(image): threading.Lock() for image in self._images if isinstance(image, Image.Image)
        }

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> ImageRecord:
        image = self._images[index]
        return ImageRecord(index, str(image) if isinstance(image, Path) else f"image {index}")

    @property
    def common_size(self) -> tuple[int, int] | None:
        if isinstance(self._images, np.ndarray):
            return self._images.shape[1], self._images.shape[2]
        return None

    def read(self, index: int) -> bytes | np.ndarray:
        image = self._images[index]
        if isinstance(image, Path):
            return read_file(image)
        if isinstance(image, np.ndarray):
            return image
        try:
            with self._locks[id(image)]:
                return np.asarray(upright_rgb(image))
        except RejectedImage as error:
            raise OSError(errno.EIO, str(error).removeprefix("cannot be decoded: ")) from None

    def extent(self, index: int) -> str:
        image = self._images[index]
        return str(size_of(image)) if isinstance(image, Path) else ""


def _is_pixels(images: Any) -> bool:
    return isinstance(images, np.ndarray) and images.dtype.kind not in "OUT"


def _checked_array(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
        raise UsageError(
            f"pixels are {pixels.dtype} of shape {pixels.shape}, expected uint8 from 0 to 255 of "
            "shape (N, H, W, 3)"
        )
    return pixels


def _checked_list(images: Any) -> list[Path | Image.Image]:
    if isinstance(images, str | bytes | os.PathLike) or not isinstance(images, Iterable):
        raise refused(images, "X", f"a sequence of {_EXPECTED}")
    checked: list[Path | Image.Image] = []
    for number, image in enumerate(images):
        is_image = isinstance(image, Image.Image)
        checked.append(image if is_image else as_path(image, f"X[{number}]"))
    return checked
