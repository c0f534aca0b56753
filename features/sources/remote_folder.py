"""A folder in a store: the objects below a prefix, read as a folder on the disk is."""

from array import array
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np

from features.decoding.formats import HEAD_BYTES
from features.errors import UsageError
from features.processes.stopping import end_threads
from features.remote.attempts import NO_BUCKET
from features.remote.connections import store_of
from features.remote.facts import Facts
from features.remote.location import RemotePath
from features.remote.stores import READERS, Store
from features.sources.base import ListedSource, numbers_of
from features.sources.kinds import (
    is_hidden,
    is_image,
    is_image_by_content,
    is_worth_opening,
    kind_of,
)
from features.sources.layout import lay_out
from features.sources.manifest import MANIFEST_SUFFIXES
from features.sources.remote_files import read_listed
from features.storage.texts import TextsBuilder


class RemoteFolderSource(ListedSource):
    """The images below a prefix, sorted by id; see `layout` for their labels and splits.

    What the store says of each object, such as its ETag, is part of the fingerprint.
    """

    kind = "folder"
    is_by_folders, travels = True, True
    reading_threads = READERS

    def __init__(self, location: RemotePath) -> None:
        """List the folder, and look into files whose names do not tell what they are.

        Raises:
            UsageError: there is nothing at the place, or it is a web server's.
            DataError: access is denied, or the store cannot be reached.
        """
        self._root = location
        try:
            listed = _Listed(self._store, location)
        except FileNotFoundError as error:
            where = f": {NO_BUCKET}" if error.strerror == NO_BUCKET else ""
            raise UsageError(f"there is nothing at {location}{where}") from None
        if not listed.count:
            raise UsageError(f"there is nothing at {location}")
        found = listed.ids.texts()
        order = found.order()
        ids, self._versions = found[order], listed.versions.texts()[order]
        sizes = np.frombuffer(listed.sizes, np.int64)[order]
        labels, splits, class_names = lay_out(ids)
        super().__init__(cast("Path", location), ids, labels, splits, sizes, class_names)
        self.shards = [cast("Path", location / name) for name in sorted(listed.shards)]
        self.passed_over, self.not_read = listed.others, sorted(listed.tables)
        has_versions = bool(self._versions.lengths.all())
        self.is_versioned = self._store.checks_versions and has_versions

    @property
    def _store(self) -> Store:
        return store_of(self._root.scheme)

    def read(self, index: int) -> bytes:
        facts = Facts(self.ids[index], int(self.sizes[index]), self._versions[index])
        return read_listed(self._root / facts.name, facts)

    def extent(self, index: int) -> str:
        return f"{self.sizes[index]} {self._versions[index]}"

    def _extents(self) -> Iterable[str]:
        pairs = zip(numbers_of(self.sizes), self._versions, strict=True)
        return (f"{size} {version}" for size, version in pairs)


class _Listed:
    """What lies below a prefix, of which a page is held at a time.

    Attributes:
        count: the number of all objects.
        ids: the ids of the images, in no order.
        sizes: their sizes in bytes.
        versions: what the store says of each, such as its ETag.
        others: numbers of other objects by kind.
        tables: the tables among these.
        shards: the tars among these that lie at the top.
    """

    def __init__(self, store: Store, root: RemotePath) -> None:
        """List all; raises FileNotFoundError and DataError as the store does."""
        self.count, self.ids, self.versions = 0, TextsBuilder(), TextsBuilder()
        self.sizes = array("q")
        self.others: Counter[str] = Counter()
        self.tables: list[str] = []
        self.shards: list[str] = []
        self._store, self._root = store, root
        for page in store.pages(root):
            self.count += len(page)
            self._add([file for file in page if not any(map(is_hidden, file.name.split("/")))])

    def _add(self, files: list[Facts]) -> None:
        doubtful = [
            file for file in files if not is_image(file.name) and is_worth_opening(file.name)
        ]
        heads = dict(zip(doubtful, self._heads(doubtful), strict=True))
        for file in files:
            if is_image(file.name) or is_image_by_content(file.name, heads.get(file, b"")):
                self.ids.append(file.name)
                self.versions.append(file.version)
                self.sizes.append(file.size)
                continue
            self.others[kind_of(file.name)] += 1
            if file.name.lower().endswith(MANIFEST_SUFFIXES):
                self.tables.append(file.name)
            elif _is_shard(file.name):
                self.shards.append(file.name)

    def _heads(self, files: list[Facts]) -> list[bytes]:
        if not files:
            return []
        pool = ThreadPoolExecutor(READERS, "look")
        try:
            return [*pool.map(self._head, files)]
        finally:
            end_threads(pool)

    def _head(self, facts: Facts) -> bytes:
        stop = min(HEAD_BYTES, facts.size)
        return self._store.read(self._root / facts.name, 0, stop, facts)


def _is_shard(name: str) -> bool:
    return "/" not in name and name.lower().endswith(".tar")
