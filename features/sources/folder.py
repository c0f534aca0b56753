"""A folder of images: of class folders, of train/validation/test folders, or flat."""

import os
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from features.errors import DataError
from features.sources.base import ListedSource
from features.sources.files import is_on_no_disk, read_file, read_head, size_of
from features.sources.kinds import (
    is_hidden,
    is_image,
    is_image_by_content,
    is_worth_opening,
    kind_of,
)
from features.sources.layout import lay_out
from features.sources.manifest import MANIFEST_SUFFIXES
from features.storage.texts import Texts, TextsBuilder
from features.text import plural

Identity = tuple[int, int]  # device and inode


_MOST_VISITS = 64  # of a folder by different links


class FolderSource(ListedSource):
    """The images below a folder, sorted by id; see `layout` for their labels and splits.

    Everything with an image's suffix is listed, so that what cannot be read (a broken link, a
    folder named x.jpg) is rejected with a reason instead of being ignored. Other files are images
    if their first bytes say so. A single top folder with class folders in it is no class. Links
    are followed, and those that lead out of the folder are counted in a warning; links to a folder
    above and to what is on no disk (`/proc`) are passed over.
    """

    kind = "folder"
    is_by_folders, travels = True, True

    def __init__(self, location: Path) -> None:
        """List the folder.

        Raises:
            DataError: a folder in it cannot be listed, or links lead to it in ever new ways.
        """
        scan = _Scan(location)
        found = scan.ids.texts()
        order = _by_id(found, scan.names)
        ids, sizes = found[order], np.frombuffer(scan.sizes, np.int64)[order]
        places = np.flatnonzero(np.isin(order, list(scan.names))).tolist()
        self._names = {place: scan.names[int(order[place])] for place in places}
        self.passed_over, self.not_read = scan.others, sorted(scan.tables)
        if scan.leading_out:
            self.warnings = [
                f"{plural(scan.leading_out, 'link')} to images or folders outside {location} "
                "were followed"
            ]
        labels, splits, class_names = lay_out(ids)
        super().__init__(location, ids, labels, splits, sizes, class_names)

    def read(self, index: int) -> bytes:
        path = self.location / self._names.get(index, self.ids[index])
        return read_file(path, int(self.sizes[index]))


class _Scan:
    """What lies below a folder.

    Attributes:
        ids: the ids of the images, in no order.
        names: the names of those whose names are no valid text, relative to the folder.
        sizes: their sizes in bytes.
        others: numbers of other files by kind.
        tables: the tables among these.
        leading_out: number of links that were followed out of the folder.
    """

    def __init__(self, root: Path) -> None:
        """Go through all folders below `root`."""
        self.ids = TextsBuilder()
        self.names: dict[int, str] = {}
        self.sizes = array("q")
        self.others: Counter[str] = Counter()
        self.tables: list[str] = []
        self.leading_out = 0
        self._root, self._real = root, os.path.realpath(root)
        self._device = root.stat().st_dev
        self._visits: Counter[Identity] = Counter()
        above = tuple(_identity(folder) for folder in (Path(self._real), *Path(self._real).parents))
        self._folders: list[tuple[str, tuple[Identity, ...]]] = [("", above)]
        while self._folders:
            prefix, above = self._folders.pop()
            for entry in _entries(root, prefix):
                self._add(entry, prefix, above)

    def _add(self, entry: os.DirEntry[str], prefix: str, above: tuple[Identity, ...]) -> None:
        name = prefix + entry.name
        if is_image(entry.name):
            self._add_image(entry, name)
        elif _is_folder(entry):
            self._enter(entry, name, above)
        else:
            head = read_head(entry) if is_worth_opening(name) else b""
            if head and is_image_by_content(name, head):
                self._add_image(entry, name)
                return
            self.others[kind_of(name, head)] += 1
            if name.lower().endswith(MANIFEST_SUFFIXES):
                self.tables.append(_id(name))

    def _add_image(self, entry: os.DirEntry[str], name: str) -> None:
        if (text := _id(name)) != name:
            self.names[len(self.ids)] = name
        self.ids.append(text)
        self.sizes.append(size_of(entry))
        self.leading_out += self._leads_out(entry)

    def _enter(self, entry: os.DirEntry[str], name: str, above: tuple[Identity, ...]) -> None:
        identity = _identity(Path(entry.path))
        if identity in above or (identity[0] != self._device and is_on_no_disk(entry.path)):
            return
        self._visits[identity] += 1
        if self._visits[identity] > _MOST_VISITS:
            raise DataError(
                f"{self._root} has links by which {name} is reached in more than {_MOST_VISITS} "
                "ways; remove links between its folders"
            )
        self.leading_out += self._leads_out(entry)
        self._folders.append((f"{name}/", (*above, identity)))

    def _leads_out(self, entry: os.DirEntry[str]) -> bool:
        if not entry.is_symlink():
            return False
        return not Path(os.path.realpath(entry.path)).is_relative_to(self._real)


def _by_id(ids: Texts, names: Mapping[int, str]) -> np.ndarray:
    """Return the order of images by id, and of equal ids by name: int64 (N,)."""
    order, odd = ids.order(), {ids[row] for row in names}
    if odd:
        places = [place for place, row in enumerate(order.tolist()) if ids[row] in odd]
        rows = order[places].tolist()
        order[places] = sorted(rows, key=lambda row: (ids[row], names.get(row, ids[row])))
    return order


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
