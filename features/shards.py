"""Work on its way to a feature file: shards of a fixed row range in a folder beside it.

HDF5 does not survive a kill in the middle of a write, so no file that matters is ever appended
to. A shard is either wholly there or not at all, and the feature file is assembled from shards.
Whatever is unfinished lies in that folder, which goes when the file is whole.
"""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from features import durable, writer
from features.errors import DataError, UsageError
from features.records import Recipe
from features.row_blocks import Rows, Size
from features.store import FeatureFile

log = logging.getLogger("offshelf")

SHARD_BYTES = 2**24  # a file of this size is written at near the disk's full speed
SHARD_IMAGES = 512  # but no more than some seconds of work is ever at stake

# What is in the folder: of content, every name has a dot.
_CONTENT, _LOCKS = "*.*", "lock*"
_LOCK, _STAND_IN = "lock", "lock-file"
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL}


def shard_images(row_bytes: int, batch_size: int) -> int:
    """Return how many images one shard covers: a multiple of the batch size."""
    images = min(SHARD_IMAGES, SHARD_BYTES // row_bytes)
    return max(1, images // batch_size) * batch_size


class Shards:
    """The shards of one feature file, each covering `images` consecutive images of the source.

    Attributes:
        folder: `<feature file>.partial`.
        sizes: the room that the rows of each shard take that is there, by its start.
    """

    def __init__(self, out: Path, recipe: Recipe, total: int, images: int) -> None:
        """Plan the shards of `out` for a source of `total` images; touches no file."""
        self.folder = partial_folder(out)
        self.recipe, self.total, self.images = recipe, total, images
        self.sizes: dict[int, Size] = {}

    def resume(self, restart: bool) -> int:
        """Take over what an earlier run left, or throw it away; return the images it covers.

        A shard that is damaged is dropped with a warning, to be made again.

        Raises:
            UsageError: what is there was made by another recipe or from another source.
            DataError: it could not be thrown away.
        """
        if restart:
            with _writing(self.folder):
                durable.empty_folder(self.folder, _CONTENT)
        for start, stop in self.ranges():
            if self._path(start).exists():
                try:
                    self.sizes[start] = self._read(start, stop).size
                except DataError as error:
                    log.warning("%s; its images are extracted again", error)
        return self.covered

    @property
    def covered(self) -> int:
        """Number of images whose outcome is safe on disk."""
        return sum(sum(size.counts.values()) for size in self.sizes.values())

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the first and one past the last image of every shard."""
        for start in range(0, self.total, self.images):
            yield start, min(start + self.images, self.total)

    def missing(self) -> list[tuple[int, int]]:
        """Return the ranges that still have no shard."""
        return [(start, stop) for start, stop in self.ranges() if start not in self.sizes]

    def write(self, start: int, stop: int, rows: Rows) -> None:
        """Keep the rows of one range; when this returns they are safe on disk.

        Raises:
            DataError: they could not be written, or a text in them has a NUL.
            UsageError: they hold values that are not finite.
        """
        _check_finite(rows)
        attributes = {"start": start, "stop": stop, "recipe": self.recipe.to_json()}
        path = self._path(start)
        with _writing(path), durable.replacing(path) as draft:
            writer.write(draft, [rows], rows.size, attributes)
        self.sizes[start] = rows.size

    def assemble(self, out: Path, attributes: dict[str, Any]) -> None:
        """Write the feature file from all shards and remove them.

        Raises:
            DataError: it could not be written, or a shard was damaged meanwhile.
        """
        size = Size.of_all(self.sizes.values())
        with _writing(out), durable.replacing(out, scratch=self.folder) as draft:
            writer.write(draft, self._blocks(draft), size, attributes)
        discard_shards(self.folder)

    def _blocks(self, draft: durable.Draft) -> Iterator[Rows]:
        for start, stop in self.ranges():
            yield self._read(start, stop)
            draft.check()

    def _read(self, start: int, stop: int) -> Rows:
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
    """Return the folder that holds the shards of a feature file to be."""
    return out.with_name(out.name + ".partial")


def discard_shards(folder: Path) -> None:
    """Remove what is in the folder but its lock, which the caller holds; warn where that fails."""
    try:
        durable.empty_folder(folder, _CONTENT)
    except OSError as error:
        log.warning("%s is no longer needed but stays: %s", folder, error.strerror or error)


def has_shards_of(recipe: Recipe, folder: Path) -> bool:
    """Tell whether a run by this very recipe has begun in the folder."""
    for path in folder.glob("*.h5"):
        with suppress(DataError), FeatureFile(path) as file:
            return bool(file.attributes.get("recipe") == recipe.to_json())
    return False


def check_same(there: Recipe, wanted: Recipe, place: Path) -> None:
    """Raise UsageError, with both values of each setting that differs, unless recipes are equal."""
    if differences := there.differences(wanted):
        raise UsageError(
            f"{place} was made with other settings ({'; '.join(differences)}); "
            "choose another --out, or --restart to throw it away"
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make and hold the folder; the operating system frees it when the process ends, however.

    In the end it is removed if nothing is left in it.

    Raises:
        UsageError: another process holds it.
        DataError: it cannot be made.
    """
    with _writing(folder):
        durable.make_folder(folder)
        lock = _acquired(folder)
    try:
        yield
    finally:
        if os.name == "nt":  # an open file cannot be removed there, not even by another process
            lock.release()
        if not any(folder.glob(_CONTENT)):
            with suppress(OSError):
                durable.empty_folder(folder, _LOCKS)
        lock.release()
        with suppress(OSError):
            durable.disk.remove_folder(folder)


def _acquired(folder: Path) -> Any:
    """Return the folder's lock, which is held; UsageError where another process holds it."""
    from filelock import FileLock, SoftFileLock, Timeout

    path = folder / _LOCK
    try:
        try:
            return FileLock(path).acquire(timeout=0).lock
        except NotImplementedError:
            reason = "not supported"
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            reason = os.strerror(error.errno)
        stand_in = folder / _STAND_IN
        log.warning(
            "locks do not work in %s (%s), so that the mere file %s stands for one; should a run "
            "that was killed on another machine leave it there, remove it",
            folder.parent, reason, stand_in,
        )  # fmt: skip
        return SoftFileLock(stand_in).acquire(timeout=0).lock
    except Timeout:
        raise UsageError(
            f"another process is writing to {folder}; wait for it or choose another --out"
        ) from None


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
