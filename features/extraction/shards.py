"""Shards: the rows of a feature file in files of a fixed range each, in a folder beside it.

HDF5 does not survive a kill in the middle of a write, so no file that matters is ever appended
to. A shard exists either whole or not at all, and the feature file is assembled from all shards.
The folder, which holds all unfinished work, is removed when the feature file is whole.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from features.disk import durable
from features.disk.locks import CONTENT
from features.errors import DataError, UsageError
from features.records import Recipe
from features.remote import outputs
from features.storage import hdf5_guard, writer
from features.storage.row_blocks import Rows, Size
from features.storage.store import FeatureFile

log = logging.getLogger("offshelf")

SHARD_BYTES = 2**24  # a file of this size is written at near the disk's full speed
SHARD_IMAGES = 512  # at most, so that a kill costs no more than some seconds of work


def shard_images(row_bytes: int, batch_size: int) -> int:
    """Return how many images one shard covers: a multiple of the batch size."""
    images = min(SHARD_IMAGES, SHARD_BYTES // row_bytes)
    return max(1, images // batch_size) * batch_size


class Shards:
    """The shards of one feature file, each covering `images` consecutive images of the source.

    Attributes:
        folder: the folder that holds them, `<feature file>.partial`.
        recipe: the recipe of the feature file.
        total: the number of images of the source.
        images: the number of images that each shard covers; the last one may cover fewer.
        sizes: the space that the rows of each existing shard need, by the index of its first image.
    """

    def __init__(self, out: Path, recipe: Recipe, total: int, images: int) -> None:
        """Keep the settings; no file is read or written."""
        self.folder = partial_folder(out)
        self.recipe, self.total, self.images = recipe, total, images
        self.sizes: dict[int, Size] = {}
        self._notes: dict[int, dict[str, int]] = {}

    def resume(self, restart: bool) -> int:
        """Take over or discard the shards of an earlier run; return how many images they cover.

        A shard that is damaged is ignored with a warning, and will be computed again.

        Args:
            restart: discard the shards.

        Raises:
            UsageError: the shards were made by another recipe or from another source.
            DataError: the shards could not be discarded.
        """
        if restart:
            with _writing(self.folder):
                durable.empty_folder(self.folder, CONTENT)
        for start, stop in self.ranges():
            if self._path(start).exists():
                try:
                    self._keep(start, self.read(start, stop))
                except DataError as error:
                    log.warning("%s; its images are extracted again", error)
        return self.covered

    @property
    def covered(self) -> int:
        """Number of images whose outcomes are safe on disk."""
        return sum(sum(size.counts.values()) for size in self.sizes.values())

    @property
    def notes(self) -> dict[str, int]:
        """The counts of `Rows.notes` of all shards together."""
        return dict(sum(map(Counter, self._notes.values()), Counter()))

    def _keep(self, start: int, rows: Rows) -> None:
        self.sizes[start], self._notes[start] = rows.size, rows.notes

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of every shard: its first image, and one past its last."""
        for start in range(0, self.total, self.images):
            yield start, min(start + self.images, self.total)

    def missing(self) -> list[tuple[int, int]]:
        """Return the ranges (start, stop) of the shards that do not exist yet."""
        return [(start, stop) for start, stop in self.ranges() if start not in self.sizes]

    def is_written(self, start: int) -> bool:
        """Tell whether this process sees the shard that begins at an image."""
        return self._path(start).is_file()

    def take_over(self, start: int, size: Size, notes: dict[str, int]) -> None:
        """Count a shard that another process has written; it is checked when all are assembled."""
        self.sizes[start], self._notes[start] = size, notes

    def write(self, start: int, stop: int, rows: Rows) -> None:
        """Write the shard of a range; its rows are safe on disk when this returns.

        Raises:
            DataError: the shard could not be written, or a text in it has a NUL.
            UsageError: features are not finite.
        """
        _check_finite(rows)
        attributes = {
            "start": start,
            "stop": stop,
            "recipe": self.recipe.to_json(),
            "notes": json.dumps(rows.notes),
        }
        path = self._path(start)
        with _writing(path), durable.replacing(path) as draft:
            writer.write(draft, [rows], rows.size, attributes)
        hdf5_guard.vouch(path)
        self._keep(start, rows)

    def assemble(self, out: Path, attributes: dict[str, Any]) -> None:
        """Write the feature file from all shards and remove them.

        Raises:
            DataError: the file could not be written, or a shard was damaged meanwhile.
        """
        size, local = Size.of_all(self.sizes.values()), outputs.working_path(out)
        with _writing(local), durable.replacing(local, scratch=self.folder) as draft:
            writer.write(draft, self._blocks(draft), size, attributes)
        hdf5_guard.vouch(local)
        outputs.upload(local, out)
        discard_shards(self.folder)

    def _blocks(self, draft: durable.Draft) -> Iterator[Rows]:
        for start, stop in self.ranges():
            yield self.read(start, stop)
            draft.check()

    def drop(self, start: int) -> None:
        """Take the shard that begins at an image for missing, so that it is computed again."""
        del self.sizes[start]

    def read(self, start: int, stop: int) -> Rows:
        """Return the rows of a shard.

        Raises:
            UsageError: it was made by another recipe.
            DataError: it is missing, damaged, or the shard of other images.
        """
        path = self._path(start)
        with FeatureFile(path) as file:
            rows = file.rows()
            attributes = file.attributes
            if attributes.get("recipe") != self.recipe.to_json():
                check_same(file.recipe, self.recipe, self.folder)
            if (attributes.get("start"), attributes.get("stop")) != (start, stop):
                raise DataError(f"{path} is not the shard of images {start} to {stop}")
            return rows

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:010d}.h5"


def partial_folder(out: Path) -> Path:
    """Return the folder that holds the shards of a feature file; it is on this machine."""
    local = outputs.working_path(out)
    return local.with_name(local.name + ".partial")


def discard_shards(folder: Path) -> None:
    """Remove what is in the folder but its lock, which the caller holds; warn where that fails."""
    try:
        durable.empty_folder(folder, CONTENT)
    except OSError as error:
        log.warning("%s is no longer needed but stays: %s", folder, error.strerror or error)


def has_shards_of(recipe: Recipe, folder: Path) -> bool:
    """Return whether the shards in a folder are of this very recipe."""
    for path in folder.glob("*.h5"):
        with suppress(DataError), FeatureFile(path) as file:
            return bool(file.attributes.get("recipe") == recipe.to_json())
    return False


def check_same(stored: Recipe, wanted: Recipe, path: Path) -> None:
    """Raise UsageError, with both values of each setting that differs, unless recipes are equal."""
    if differences := stored.differences(wanted):
        raise UsageError(
            f"{path} was made with other settings ({'; '.join(differences)}); "
            "choose another --out, or --restart to discard it"
        )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from None


def _check_finite(rows: Rows) -> None:
    for layer, values in rows.features.items():
        finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        if not finite.all():
            raise UsageError(
                f"{layer} of {rows.ids[int(finite.argmin())]} is not finite in {values.dtype}; "
                "choose --precision float32 or --store float32, with --restart"
            )
