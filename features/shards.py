"""Work on its way to a feature file: shards of a fixed row range in a folder beside it.

HDF5 does not survive a kill in the middle of a write, so no file that matters is ever appended
to. A shard is either wholly there or not at all, and the feature file is assembled from shards.
Whatever is unfinished lies in that folder, which goes when the file is whole.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from features import durable, store
from features.errors import DataError, UsageError
from features.records import Recipe
from features.store import FeatureFile, Rows

log = logging.getLogger("offshelf")

SHARD_BYTES = 2**24  # a file of this size is written at near the disk's full speed
SHARD_IMAGES = 512  # but no more than some seconds of work is ever at stake

_LOCK = "lock"


def shard_images(row_bytes: int, batch_size: int) -> int:
    """Return how many images one shard covers: a multiple of the batch size."""
    images = min(SHARD_IMAGES, SHARD_BYTES // row_bytes)
    return max(1, images // batch_size) * batch_size


class Shards:
    """The shards of one feature file, each covering `images` consecutive images of the source.

    Attributes:
        folder: `<feature file>.partial`.
        counts: numbers of rows and of rejected images of each shard that is there, by its start.
    """

    def __init__(self, out: Path, recipe: Recipe, total: int, images: int) -> None:
        """Plan the shards of `out` for a source of `total` images; touches no file."""
        self.out, self.folder = out, partial_folder(out)
        self.recipe, self.total, self.images = recipe, total, images
        self.counts: dict[int, dict[str, int]] = {}

    def resume(self, restart: bool) -> int:
        """Take over what an earlier run left, or throw it away; return the images it covers.

        A shard that is damaged is dropped with a warning, to be made again.

        Raises:
            UsageError: what is there was made by another recipe or from another source.
            DataError: it could not be thrown away.
        """
        if restart:
            with _writing(self.folder):
                durable.empty_folder(self.folder, "*.h5")
        for start, stop in self.ranges():
            if self._path(start).exists():
                try:
                    self.counts[start] = self._read(start, stop).counts
                except DataError as error:
                    log.warning("%s; its images are extracted again", error)
        return self.covered

    @property
    def covered(self) -> int:
        """Number of images whose outcome is safe on disk."""
        return sum(sum(counts.values()) for counts in self.counts.values())

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the first and one past the last image of every shard."""
        for start in range(0, self.total, self.images):
            yield start, min(start + self.images, self.total)

    def missing(self) -> list[tuple[int, int]]:
        """Return the ranges that still have no shard."""
        return [(start, stop) for start, stop in self.ranges() if start not in self.counts]

    def write(self, start: int, stop: int, rows: Rows) -> None:
        """Keep the rows of one range; when this returns they are safe on disk.

        Raises:
            DataError: they could not be written, or hold values that are not finite.
        """
        _check_finite(rows)
        attributes = {"start": start, "stop": stop, "recipe": self.recipe.to_json()}
        path = self._path(start)
        with _writing(path), durable.replacing(path) as draft:
            store.write(draft, [rows], rows.counts, attributes)
        self.counts[start] = rows.counts

    def assemble(self, attributes: dict[str, Any]) -> None:
        """Write the feature file from all shards and remove them.

        Raises:
            DataError: it could not be written, or a shard was damaged meanwhile.
        """
        totals = {
            group: sum(counts[group] for counts in self.counts.values())
            for group in ("images", "rejected")
        }
        with _writing(self.out), durable.replacing(self.out, scratch=self.folder) as draft:
            store.write(draft, self._blocks(draft), totals, attributes)
        self.discard()

    def discard(self) -> None:
        """Remove what is no longer needed, and say so where that fails."""
        try:
            durable.empty_folder(self.folder, f"*[!{_LOCK}]*")
        except OSError as error:
            log.warning("%s could not be removed: %s", self.folder, error.strerror or error)

    def _blocks(self, draft: durable.Draft) -> Iterator[Rows]:
        for start, stop in self.ranges():
            yield self._read(start, stop)
            draft.check()

    def _read(self, start: int, stop: int) -> Rows:
        path = self._path(start)
        with FeatureFile(path) as file:
            rows = file.rows()
            if file.attributes["recipe"] != self.recipe.to_json():
                check_same(file.recipe, self.recipe, self.folder)
            if (file.attributes["start"], file.attributes["stop"]) != (start, stop):
                raise DataError(f"{path} is not the shard of images {start} to {stop}")
            return rows

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:010d}.h5"
