"""A folder in a store: the objects below a prefix, read as a folder on the disk is."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np

from features.decoding.formats import HEAD_BYTES
from features.errors import UsageError
from features.processes.stopping import end_threads
from features.remote.connections import store_of
from features.remote.facts import Facts
from features.remote.location import RemotePath
from features.remote.stores import READERS, Store
from features.sources.base import ListedSource
from features.sources.kinds import (
    is_hidden,
    is_image,
    is_image_by_content,
    is_worth_opening,
    kind_of,
)
from features.sources.layout import below_wrappers, layout
from features.sources.manifest import MANIFEST_SUFFIXES
from features.sources.remote_files import read_listed


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
            listed = self._store.listing(location)
        except FileNotFoundError as error:
            raise UsageError(f"there is nothing at {location}: {error.strerror}") from None
        if not listed:
            raise UsageError(f"there is nothing at {location}")
        files = [file for file in listed if not any(map(is_hidden, file.name.split("/")))]
        images = sorted(self._images(files))
        names = {image.name for image in images}
        others = [file.name for file in files if file.name not in names]
        self.shards = [cast("Path", location / name) for name in others if _is_shard(name)]
        self.not_read = sorted(name for name in others if name.lower().endswith(MANIFEST_SUFFIXES))
        ids = [image.name for image in images]
        sizes = np.array([image.size for image in images], np.int64)
        labels, splits, class_names = layout(below_wrappers(ids))
        super().__init__(cast("Path", location), ids, labels, splits, sizes, class_names)
        self.passed_over = Counter(kind_of(name) for name in others)
        self._facts = images
        self.is_versioned = self._store.checks_versions and all(image.version for image in images)

    @property
    def _store(self) -> Store:
        return store_of(self._root.scheme)

    def read(self, index: int) -> bytes:
        facts = self._facts[index]
        return read_listed(self._root / facts.name, facts)

    def extent(self, index: int) -> str:
        return f"{self.sizes[index]} {self._facts[index].version}"

    def _images(self, files: list[Facts]) -> list[Facts]:
        named = [file for file in files if is_image(file.name)]
        doubtful = [
            file for file in files if not is_image(file.name) and is_worth_opening(file.name)
        ]
        if not doubtful:
            return named
        pool = ThreadPoolExecutor(READERS, "look")
        try:
            heads = pool.map(self._head, doubtful)
            return named + [
                file
                for file, head in zip(doubtful, heads, strict=True)
                if is_image_by_content(file.name, head)
            ]
        finally:
            end_threads(pool)

    def _head(self, facts: Facts) -> bytes:
        stop = min(HEAD_BYTES, facts.size)
        return self._store.read(self._root / facts.name, 0, stop, facts)


def _is_shard(name: str) -> bool:
    return "/" not in name and name.lower().endswith(".tar")
