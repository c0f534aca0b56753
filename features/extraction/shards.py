"""Shards: the rows of a feature file in files of a fixed range each, in a folder beside it.

HDF5 does not survive a kill in the middle of a write, so no file that matters is ever appended
to. A shard exists either whole or not at all, and the feature file is assembled from all shards:
they are copied into one file, or an index is written that names them. The folder, which holds all
unfinished work, is removed when the feature file is whole. Shards of a file in a store are put
there as well, where other machines see them.
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
from features.processes.progress import progress_bar
from features.records import SHARDED, SINGLE, Recipe
from features.remote import outputs
from features.remote.location import is_remote
from features.remote.stored_shards import stored_shards
from features.storage import hdf5_guard, index, writer
from features.storage.checked import CheckedFile
from features.storage.row_blocks import Rows, Size
from features.storage.schema import FOLDER
from features.storage.store import FeatureFile

log = logging.getLogger("offshelf")

ORIGIN = "origin"  # the attribute of shards that are copied from a feature file

SHARD_BYTES = 2**24  # a file of this size is written at near the disk's full speed
SHARD_IMAGES = 512  # at most, so that a kill costs no more than some seconds of work
SHARDS = 2**11  # of more images there are no more shards, but larger ones
MOST_SHARD_BYTES = 2**28  # up to this size: as often a shard is held in memory


def shard_images(row_bytes: int, batch_size: int, total: int) -> int:
    """Return how many images one shard covers: a multiple of the batch size.

    Args:
        row_bytes: what the features of an image take.
        batch_size: images in a forward pass.
        total: the number of images.
    """
    images = min(SHARD_IMAGES, SHARD_BYTES // row_bytes)
    of_many = min(total // SHARDS, MOST_SHARD_BYTES // row_bytes)
    return max(1, max(images, of_many) // batch_size) * batch_size


class Shards:
    """The shards of one feature file, each covering `images` consecutive images of the source.

    Attributes:
        folder: the folder that holds them, `<feature file>.partial`.
        recipe: the recipe of the feature file.
        total: the number of images of the source.
        images: the number of images that each shard covers; the last one may cover fewer.
        origin: the seal of the feature file that is copied; "" of an extraction.
        sizes: the space that the rows of each existing shard need, by the index of its first image.
    """

    def __init__(
        self,
        out: Path,
        recipe: Recipe,
        total: int,
        images: int,
        keeps: bool = True,
        origin: str = "",
    ) -> None:
        """Keep the settings; no file is read or written.

        Args:
            out: the feature file.
            recipe: its recipe.
            total: the number of images of the source.
            images: the number of images in a shard.
            keeps: whether shards that lie in a store are kept on this machine, too.
            origin: the seal of the feature file that is copied; "" of an extraction.
        """
        self.folder, self._keeps, self.origin = partial_folder(out), keeps, origin
        self._stored = stored_shards(out, self.folder)
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
            with writing(self.folder):
                durable.empty_folder(self.folder, CONTENT)
            if self._stored is not None:
                self._stored.discard()
        stored = set(self._stored.names()) if self._stored is not None else set()
        for start, stop in self.ranges():
            if self._path(start).exists() or self._path(start).name in stored:
                try:
                    self._keep(start, self.read(start, stop))
                except DataError as error:
                    log.warning("%s; its images are extracted again", error)
        return self.covered

    @property
    def place(self) -> str:
        """Where they lie, for the user: in the store, or the folder on this machine."""
        return str(self._stored or self.folder)

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
        path = self._path(start)
        return path.is_file() or (self._stored is not None and self._stored.has(path.name))

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
            **({ORIGIN: self.origin} if self.origin else {}),
        }
        path = self._path(start)
        with writing(path):
            if self._stored is not None:
                durable.make_folder(self.folder)  # a worker of another machine has none
            with durable.replacing(path) as draft:
                writer.write(draft, [rows], rows.size, attributes)
        hdf5_guard.vouch(path)
        if self._stored is not None:
            self._stored.put(path.name)
            if not self._keeps:
                durable.disk.unlink(path)
        self._keep(start, rows)

    def assemble(self, out: Path, attributes: dict[str, Any], layout: str = SINGLE) -> None:
        """Write the feature file from all shards, and remove them from the folder.

        Args:
            out: the feature file.
            attributes: its attributes.
            layout: "single" copies them into one file; "sharded" writes an index of them.

        Raises:
            DataError: the file could not be written, or a shard was damaged meanwhile.
        """
        size, local = Size.of_all(self.sizes.values()), outputs.working_path(out)
        table: list[index.Shard] = []
        with writing(local), durable.replacing(local, scratch=self.folder) as draft:
            if layout == SHARDED:
                size = index.index_size(size, len(self.sizes))
                attributes = attributes | {FOLDER: index.folder_of(out).name}
                writer.write(draft, self._columns(draft, table), size, attributes)
                draft.check()
                self._place(table, out)
            else:
                writer.write(draft, self._blocks(draft), size, attributes)
                index.note_left(self.folder, out)
        hdf5_guard.vouch(local)
        outputs.upload(local, out)
        index.discard_left(self.folder, out)
        discard_shards(out)

    def _place(self, table: list[index.Shard], out: Path) -> None:
        """Give shards their places beside the index; they stay in the folder, too."""
        index.note_left(self.folder, out, table)
        paths, folder = [self._path(start) for start, _ in self.ranges()], index.folder_of(out)
        names = [shard.name for shard in table]
        if self._stored is None:
            index.place(zip(paths, names, strict=True), folder)
        else:
            self._stored.place(zip([path.name for path in paths], names, strict=True), folder)

    def _blocks(self, draft: durable.Draft) -> Iterator[Rows]:
        for start, stop in self._assembled():
            yield self.read(start, stop)
            draft.check()

    def _columns(self, draft: durable.Draft, table: list[index.Shard]) -> Iterator[index.Columns]:
        for start, stop in self._assembled():
            with self._opened(start, stop) as file:
                yield index.columns_of(file, start, table)
            draft.check()
        yield index.columns_of_table(table)

    def _assembled(self) -> Iterator[tuple[int, int]]:
        """Yield the range of each shard, with progress."""
        count = len(self.sizes)
        with progress_bar(count, 0, "shard", log.isEnabledFor(logging.INFO)) as bar:
            bar.set_description_str("assembling", refresh=False)
            for start, stop in self.ranges():
                yield start, stop
                bar.update()

    def drop(self, start: int) -> None:
        """Take the shard that begins at an image for missing, so that it is computed again."""
        del self.sizes[start]

    def read(self, start: int, stop: int) -> Rows:
        """Return the rows of a shard.

        Raises:
            UsageError: it was made by another recipe.
            DataError: it is missing, damaged, or the shard of other images.
        """
        with self._opened(start, stop) as file:
            return file.rows()

    @contextmanager
    def _opened(self, start: int, stop: int) -> Iterator[CheckedFile]:
        path = self._path(start)
        if self._stored is not None:
            self._stored.bring(path.name)
        with CheckedFile(path) as file:
            attributes = file.attributes
            if attributes.get("recipe") != self.recipe.to_json():
                check_same(file.recipe, self.recipe, self.folder)
            if (attributes.get("start"), attributes.get("stop")) != (start, stop):
                raise DataError(f"{path} is not the shard of images {start} to {stop}")
            if attributes.get(ORIGIN, "") != self.origin:
                raise DataError(f"{path} is not of this work, but of a copy of another file")
            yield file

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:010d}.h5"


def partial_folder(out: Path) -> Path:
    """Return the folder that holds the shards of a feature file; it is on this machine."""
    local = outputs.working_path(out)
    return local.with_name(local.name + ".partial")


def discard_shards(out: Path) -> None:
    """Remove the shards of a file; warn where that fails. The caller holds the folder's lock."""
    folder = partial_folder(out)
    try:
        durable.empty_folder(folder, CONTENT)
        if (stored := stored_shards(out, folder)) is not None:
            stored.discard()
    except (OSError, DataError) as error:
        reason = getattr(error, "strerror", None) or error
        log.warning("shards of %s are no longer needed but stay: %s", out, reason)


def has_shards_of(recipe: Recipe, out: Path) -> bool:
    """Return whether the shards of an unfinished file are of this very recipe."""
    return _attributes_of_one(out).get("recipe") == recipe.to_json()


def take_back(file: FeatureFile, out: Path) -> int:
    """Put the shards of a damaged feature file into its working folder, to go on from.

    Those that are damaged are found there, and made again.

    Returns:
        How many there were; 0 of a single file, of one in a store, and of copies, whose shards are
        none of an extraction.
    """
    found = [] if is_remote(out) else [path for path in file.shards if path.is_file()]
    targets = [partial_folder(out) / f"{path.name.partition('-')[0]}.h5" for path in found]
    for path, target in zip(found, targets, strict=True):
        if not target.exists():
            durable.link(path, target)
    if origin_of(out):
        durable.empty_folder(partial_folder(out), CONTENT)
        return 0
    return len(found)


def origin_of(out: Path) -> str | None:
    """Return the `origin` of the shards of an unfinished file, None where there are none."""
    attributes = _attributes_of_one(out)
    return str(attributes.get(ORIGIN, "")) if attributes else None


def _attributes_of_one(out: Path) -> dict[str, Any]:
    """Return the attributes of a shard of an unfinished file; none where there is no shard."""
    folder = partial_folder(out)
    if (stored := stored_shards(out, folder)) is not None:
        for name in stored.names()[:1]:
            stored.bring(name)
    for path in folder.glob("*.h5"):
        with suppress(DataError), FeatureFile(path) as file:
            return file.attributes
    return {}


def check_same(stored: Recipe, wanted: Recipe, path: Path) -> None:
    """Raise UsageError, with both values of each setting that differs, unless recipes are equal."""
    if differences := stored.differences(wanted):
        raise UsageError(
            f"{path} was made with other settings ({'; '.join(differences)}); "
            "choose another --out, or --restart to discard it"
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the disk into a DataError that names the file."""
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
