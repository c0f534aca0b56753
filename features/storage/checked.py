"""Feature files that are compared with their digests while they are read: shards, and copies."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from features.errors import DataError
from features.records import blake2b
from features.storage.checks import CHANGED, check_seal
from features.storage.hdf5 import attributes_of
from features.storage.row_blocks import COLUMN_GROUP, Rows, Size
from features.storage.schema import DIGEST, FOLDER, content, hasher, paths, reading
from features.storage.sharded import ShardFiles
from features.storage.store import FeatureFile
from features.storage.texts import Texts

_OWN = ("schema", "complete", DIGEST, FOLDER)  # attributes that each file has for itself


class CheckedFile(FeatureFile):
    """A feature file that is read whole, and shown to be as it was written."""

    @property
    def size(self) -> Size:
        """The space that its rows need in one file."""
        texts = {path: self._file[path].dtype for path in self._kept_here()}
        widths = {path: dtype.itemsize for path, dtype in texts.items() if dtype.kind == "S"}
        return Size({"images": len(self), "rejected": len(self._file["rejected/id"])}, widths)

    def rows(self) -> Rows:
        """Return the whole file as one block of rows; meant for shards.

        Raises:
            DataError: the content does not match its digests, or it is an index.
        """
        with reading(f"{self.path} is damaged"):
            self._check_is_shard()
            rows = Rows(
                {layer: self.features(layer) for layer in self.layers},
                self.ids,
                self.digests,
                self._values("images/label"),  # shards do not have the names of the classes
                self.splits,
                self.rejected,
                {name: self.column(name).tolist() for name in self.columns},
                self.notes,
            )
            self._check_digests(rows.columns)
        return rows

    def checked_columns(self) -> dict[str, np.ndarray]:
        """Return each dataset as it is stored, but of layers no row; meant for shards.

        Raises:
            DataError: the content does not match its digests, or it is an index.
        """
        with reading(f"{self.path} is damaged"):
            self._check_is_shard()
            layers = {f"features/{layer}": self.features(layer, slice(0)) for layer in self.layers}
            others = [path for path in paths(self._file) if path not in layers]
            columns = {path: self._array(path)[:] for path in others}
            self._check_digests(columns)
        return layers | columns

    @property
    def row_bytes(self) -> int:
        """What the features of a row take."""
        shapes = (self.shape(layer)[1:] for layer in self.layers)
        return sum(map(math.prod, shapes)) * np.dtype(self.recipe.store).itemsize

    @property
    def origin(self) -> str:
        """What identifies its content: its seal, 32 hex digits."""
        return str(self.attributes[DIGEST])

    def copied_attributes(self) -> dict[str, Any]:
        """Return the attributes that a copy has, too."""
        return {name: value for name, value in self.attributes.items() if name not in _OWN}

    def ranges(self, step: int) -> list[tuple[int, int]]:
        """Return the rows of each block that `row_blocks` yields: its first, and one past its last.

        Args:
            step: rows of a block; those of a file in shards are its shards.
        """
        if self._shards is not None:
            return [*pairwise(self._shards.starts.tolist())]
        return [(at, min(at + step, len(self))) for at in range(0, len(self), step)]

    def row_blocks(self, step: int) -> Iterator[Rows]:
        """Yield all rows in blocks, rejected images with the first row; every byte is checked.

        Features are read once. Those of a file in shards are checked before they are given; all
        else is in the end.

        Args:
            step: as in `ranges`.

        Raises:
            DataError: the content does not match its digests; in the end at the latest.
        """
        with reading(f"{self.path} is damaged"):
            for problem in check_seal(self._file):
                raise DataError(problem)
            digests = {path: hasher() for path in self._kept_here()}
            for number, (start, stop) in enumerate(self.ranges(step)):
                rows = self._block(slice(start, stop), has_rejected=start == 0 < stop)
                columns = rows.columns
                if self._shards is not None:
                    self._check_shard(self._shards, number, columns)
                for path, digest in digests.items():
                    digest.update(content(columns[path]))
                yield rows
            for path, digest in digests.items():
                self._check_digest(path, digest.hexdigest())

    def _check_shard(self, shards: ShardFiles, number: int, columns: dict[str, np.ndarray]) -> None:
        """Compare what was read of a shard, and what the index has of it, with its digests."""
        with shards.opened(number) as shard:
            for path, values in columns.items():
                if path.startswith("rejected/"):  # the first block has those of all shards
                    continue
                digest = attributes_of(shard[path]).get(DIGEST) if path in shard else None
                if blake2b(content(values)).hex() != digest:
                    raise DataError(f"its shard {shards.name(number)}: /{path} {CHANGED}")
                if values.dtype.kind == "f" and not np.isfinite(values).all():
                    raise DataError(f"its shard {shards.name(number)}: /{path} is not finite")

    def _kept_here(self) -> list[str]:
        """Return the paths of the datasets whose rows are in this file."""
        elsewhere = () if self._shards is None else ("features/", "shards/")
        return [path for path in paths(self._file) if not path.startswith(elsewhere)]

    def _check_is_shard(self) -> None:
        if self._shards is not None:
            raise DataError("it is an index of shards, and no shard")
        for problem in check_seal(self._file):
            raise DataError(problem)

    def _check_digests(self, columns: dict[str, np.ndarray]) -> None:
        for path, values in columns.items():
            self._check_digest(path, blake2b(content(values)).hex())

    def _check_digest(self, path: str, digest: str) -> None:
        if digest != attributes_of(self._file[path]).get(DIGEST):
            raise DataError(f"/{path} {CHANGED}")

    def _block(self, part: slice, has_rejected: bool) -> Rows:
        def texts(path: str) -> Texts:
            return Texts.of_bytes([self._array(path)[part]])

        return Rows(
            {layer: self.features(layer, part) for layer in self.layers},
            texts("images/id"),
            self._array("images/digest")[part],
            self._array("images/label")[part],
            self._array("images/split")[part],
            self.rejected if has_rejected else [],
            {name: texts(f"{COLUMN_GROUP}/{name}") for name in self.columns},
        )
