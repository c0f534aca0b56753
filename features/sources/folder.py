"""A folder of images: of class folders, of train/validation/test folders, or flat."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from features.errors import DataError
from features.sources.base import ListedSource
from features.sources.files import read_file, read_head, size_of
from features.sources.kinds import (
    is_hidden,
    is_image,
    is_image_by_content,
    is_worth_opening,
    kind_of,
)
from features.sources.layout import below_wrappers, layout
from features.sources.manifest import MANIFEST_SUFFIXES

Listed = tuple[str, str, int]  # an image's id, its name relative to the folder, size in bytes
Identity = tuple[int, int]  # device and inode


class FolderSource(ListedSource):
    """The images below a folder, sorted by id; see `layout` for their labels and splits.

    Everything with an image's suffix is listed, so that what cannot be read (a broken link, a
    folder named x.jpg) is rejected with a reason instead of being ignored. Other files are images
    if their first bytes say so. A single top folder with class folders in it is no class.
    """

    kind = "folder"
    is_by_folders = True

    def __init__(self, location: Path) -> None:
        """List the folder.

        Raises:
            DataError: a folder in it cannot be listed.
        """
        images, others, tables = _scan(location)
        self.passed_over, self.not_read = others, sorted(tables)
        images.sort()
        ids = [image[0] for image in images]
        sizes = np.array([image[2] for image in images], np.int64)
        labels, splits, class_names = layout(below_wrappers(ids))
        super().__init__(location, ids, labels, splits, sizes, class_names)
        self._names = [image[1] for image in images]

    def read(self, index: int) -> bytes:
        return read_file(self.location / self._names[index])


def _scan(root: Path) -> tuple[list[Listed], Counter[str], list[str]]:
    """Return the images below `root`, in no order, other files by kind, and the tables of these."""
    images: list[Listed] = []
    others: Counter[str] = Counter()
    tables: list[str] = []
    folders: list[tuple[str, tuple[Identity, ...]]] = [("", (_identity(root),))]
    while folders:
        prefix, above = folders.pop()
        for entry in _entries(root, prefix):
            name = prefix + entry.name
            if is_image(entry.name):
                images.append((_id(name), name, size_of(entry)))
            elif not _is_folder(entry):
                head = read_head(entry) if is_worth_opening(name) else b""
                if head and is_image_by_content(name, head):
                    images.append((_id(name), name, size_of(entry)))
                    continue
                others[kind_of(name, head)] += 1
                if name.lower().endswith(MANIFEST_SUFFIXES):
                    tables.append(_id(name))
            elif (identity := _identity(Path(entry.path))) not in above:
                folders.append((f"{name}/", (*above, identity)))
    return images, others, tables


def _id(name: str) -> str:
    r"""Return a file name as valid text: bytes that are not UTF-8 become \xNN."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


def _entries(root: Path, prefix: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(f"{root}/{prefix}") as entries:
            yield from (entry for entry in entries if not is_hidden(entry.name))
    except OSError as error:
        raise DataError(f"folder {root / prefix} cannot be listed: {error.strerror}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def _identity(folder: Path) -> Identity:
    # A link to a folder above would be followed for ever. Inodes are compared instead of names; on
    # Windows the entries of os.scandir do not have them.
    status = folder.stat()
    return status.st_dev, status.st_ino
