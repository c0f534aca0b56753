"""Feature files that are compared with their digests while they are read: shards, and copies."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from features.errors import DataError
from features.records import blake2b
from features.storage.checks import CHANGED, check_content, check_seal
from features.storage.hdf5 import attributes_of
from features.storage.row_blocks import COLUMN_GROUP, Rows, Size
from features.storage.schema import DIGEST, content, hasher, paths, reading
from features.storage.store import FeatureFile
from features.storage.texts import Texts


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

    def row_blocks(self, step: int) -> Iterator[Rows]:
        """Yield all rows in blocks, the rejected images in the first; every byte is checked.

        Args:
            step: rows of a block; those of a file in shards are its shards.

        Raises:
            DataError: the content does not match its digests; in the end at the latest.
        """
        with reading(f"{self.path} is damaged"):
            for problem in check_seal(self._file):
                raise DataError(problem)
            digests = {path: hasher() for path in self._kept_here()}
            for number, part in enumerate(self._parts(step)):
                rows = self._block(part, has_rejected=number == 0)
                columns = rows.columns
                for path, digest in digests.items():
                    digest.update(content(columns[path]))
                yield rows
            for path, digest in digests.items():
                self._check_digest(path, digest.hexdigest())

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

    def _parts(self, step: int) -> Iterator[slice]:
        """Yield the parts that `row_blocks` goes through; each shard is checked before."""
        if self._shards is None:
            yield from (slice(at, min(at + step, len(self))) for at in range(0, len(self), step))
            return
        for number, (start, stop) in enumerate(pairwise(self._shards.starts.tolist())):
            with self._shards.opened(number) as shard:
                for problem in check_content(shard):
                    raise DataError(f"its shard {self._shards.name(number)}: {problem}")
            yield slice(start, stop)

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
