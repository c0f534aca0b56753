"""Work on its way to a feature file: shards of a fixed row range in a folder beside it.

HDF5 does not survive a kill in the middle of a write, so no file that matters is ever appended
to. A shard is either wholly there or not at all, and the feature file is assembled from shards.
"""

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from features import durable, store
from features.errors import DataError, UsageError
from features.records import Recipe
from features.store import FeatureFile, Rows

log = logging.getLogger("offshelf")

SHARD_BYTES = 2**24  # a file of this size is written at near the disk's full speed
SHARD_IMAGES = 512  # but no more than some seconds of work is ever at stake


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
        self.folder = partial_folder(out)
        self.recipe, self.total, self.images = recipe, total, images
        self.counts: dict[int, dict[str, int]] = {}

    def resume(self, restart: bool) -> int:
        """Take over what an earlier run left, or throw it away; return the images it covers.

        A shard that is damaged is dropped with a warning, to be made again.

        Raises:
            UsageError: what is there was made by another recipe or from another source.
        """
        note = self.folder / "recipe.json"
        if restart:
            for path in self.folder.glob("*.h5"):
                path.unlink()
            note.unlink(missing_ok=True)
        if note.exists():
            check_same(_read_recipe(note), self.recipe, self.folder)
        else:
            durable.write(note, self.recipe.to_json().encode())
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
        """Keep the rows of one range; when this returns they are safe on disk."""
        attributes = {"start": start, "stop": stop, "recipe_digest": self.recipe.digest}
        durable.write(self._path(start), store.encode(rows, attributes))
        self.counts[start] = rows.counts

    def assemble(self, out: Path, attributes: dict[str, Any]) -> None:
        """Write the feature file from all shards and remove them."""
        blocks = (self._read(start, stop) for start, stop in self.ranges())
        totals = {
            group: sum(counts[group] for counts in self.counts.values())
            for group in ("images", "rejected")
        }
        with durable.replacing(out) as temporary:
            store.write(temporary, blocks, totals, attributes)
        shutil.rmtree(self.folder)

    def _read(self, start: int, stop: int) -> Rows:
        path = self._path(start)
        with FeatureFile(path) as file:
            expected = {"start": start, "stop": stop, "recipe_digest": self.recipe.digest}
            if any(file.attributes.get(name) != value for name, value in expected.items()):
                raise DataError(f"{path} is not the shard of images {start} to {stop}")
            if problems := list(file.damage()):
                raise DataError(f"{path} is damaged: {problems[0]}")
            return file.rows()

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:010d}.h5"


def partial_folder(out: Path) -> Path:
    """Return the folder that holds the shards of a feature file to be."""
    return out.with_name(out.name + ".partial")


def check_same(there: Recipe, wanted: Recipe, place: Path) -> None:
    """Raise UsageError, with both values of each setting that differs, unless recipes are equal."""
    if differences := there.differences(wanted):
        raise UsageError(
            f"{place} was made with other settings ({'; '.join(differences)}); "
            "choose another --out, or --restart to throw it away"
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the operating system frees it when the process ends, however.

    Raises:
        UsageError: another process holds it.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"another process is writing to {folder}; wait for it or choose another --out"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _read_recipe(note: Path) -> Recipe:
    try:
        return Recipe.from_json(note.read_text())
    except (ValueError, TypeError, KeyError, json.JSONDecodeError):
        raise UsageError(
            f"{note} cannot be read; --restart throws away what lies in {note.parent}"
        ) from None
