"""Images as arrays: an `.npz`, or an HDF5 file of any size."""

import errno
import threading
from bisect import bisect_right
from contextlib import ExitStack
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np

from features.errors import DataError
from features.records import ImageRecord, Split
from features.sources.array_roles import CLASS_NAMES, ROLES
from features.sources.base import Source
from features.sources.hdf5_arrays import open_hdf5
from features.sources.labelled_arrays import find_labelled_arrays, number_all
from features.sources.named_arrays import NamedArray, open_npz
from features.sources.npz import StoredArray
from features.storage.hdf5 import DAMAGE

_BLOCK_IMAGES, _BLOCK_BYTES, _BLOCKS_KEPT = 256, 2**22, 4
_CHUNK_BYTES = 2**26  # a larger chunk of HDF5 is not held in memory as a whole


class ArraySource(Source):
    """Images and labels in one file, in their order there; ids are running numbers.

    Images are `images`, `x` or `data`: uint8 or uint16 of shape (N, H, W) or (N, H, W, 1|3|4).
    Labels, if any, are `labels`, `label`, `y` or `targets`: integers of shape (N,) or (N, 1), -1
    where unlabelled, or names. `split`, if it exists, has codes of `features.records.Split`.
    Instead of these, `x_train`, `y_train`, `x_val`, ... or, as MedMNIST has them, `train_images`,
    `train_labels`, `val_images`, ... are read as the splits; see `array_roles`.

    Names of the labels are an array `class_names` or `label_names`, in an HDF5 file also an
    attribute (JSON strings); without them the distinct labels are their own names. An HDF5 file is
    read block by block on demand, an `.npz` is held in memory.
    """

    kind = "arrays"

    def __init__(self, location: Path) -> None:
        """Read everything but the images of an HDF5 file.

        Raises:
            DataError: the file is damaged, or its arrays are not as described above.
        """
        self.location, self._lock = location, threading.Lock()
        opener = open_npz if location.name.lower().endswith(".npz") else open_hdf5
        arrays, class_names, shapes, self._file = opener(location, ROLES.keys(), CLASS_NAMES)
        self.is_held = self._file is None
        with ExitStack() as stack:
            stack.callback(self.close)
            try:
                sections, unread = find_labelled_arrays(arrays, shapes)
                self.labels, self.class_names = number_all(sections, class_names)
            except ValueError as error:
                raise DataError(f"{location}: {error}") from None
            except DAMAGE:
                raise DataError(f"{location}: its labels are damaged") from None
            stack.pop_all()
        if unread:
            self.not_read = [f"arrays {', '.join(f'`{name}`' for name in sorted(unread))}"]
        self._images = [_held(section.images) for section in sections]
        self.splits = np.concatenate([section.splits for section in sections])
        self._starts = [0, *accumulate(len(images) for images in self._images)]
        self._rows = [_block_rows(images) for images in self._images]
        self._block = lru_cache(_BLOCKS_KEPT)(self._read_block)

    def __len__(self) -> int:
        return len(self.splits)

    def __getitem__(self, index: int) -> ImageRecord:
        digits = max(7, len(str(len(self) - 1)))
        split = Split(int(self.splits[index]))
        return ImageRecord(index, f"{index:0{digits}}", int(self.labels[index]), split)

    @property
    def common_size(self) -> tuple[int, int] | None:
        sizes = {tuple(images.shape[1:3]) for images in self._images}
        return sizes.pop() if len(sizes) == 1 else None

    def read(self, index: int) -> np.ndarray:
        section, row = self._locate(index)
        block, offset = divmod(row, self._rows[section])
        try:
            with self._lock:
                return self._block(section, block)[offset]
        except DAMAGE:  # other images of the block may be whole
            return self._read_row(section, row)

    def extent(self, index: int) -> str:
        """Return shape and dtype."""
        images = self._images[self._locate(index)[0]]
        return f"{images.shape[1:]} {images.dtype}"

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _locate(self, index: int) -> tuple[int, int]:
        """Return the section that an image is in, and its row there."""
        section = bisect_right(self._starts, index) - 1
        return section, index - self._starts[section]

    def _read_block(self, section: int, number: int) -> np.ndarray:
        rows = self._rows[section]
        return self._images[section][number * rows : (number + 1) * rows]

    def _read_row(self, section: int, row: int) -> np.ndarray:
        try:
            with self._lock:
                return self._images[section][row]
        except DAMAGE:  # HDF5's own message has paths and times in it
            raise OSError(errno.EIO, "damaged in the file") from None


def _held(images: NamedArray) -> NamedArray:
    """Return the images of an `.npz` in memory, those of an HDF5 file as they are."""
    return images.values if isinstance(images, StoredArray) else images


def _block_rows(images: NamedArray) -> int:
    """Return how many images are read at a time: a few MiB, and whole chunks of an HDF5 file."""
    image_bytes = images.dtype.itemsize * int(np.prod(images.shape[1:]))
    rows = max(1, min(_BLOCK_IMAGES, _BLOCK_BYTES // image_bytes))
    chunk = getattr(images, "chunks", None) or (1,)
    return -(-rows // chunk[0]) * chunk[0] if chunk[0] * image_bytes <= _CHUNK_BYTES else rows
