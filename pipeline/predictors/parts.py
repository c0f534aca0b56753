"""Rows that are predicted, kept in parts until the table is whole, so that a kill costs seconds."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.disk import documents, durable
from features.errors import DataError, UsageError
from features.records import DIGEST_BYTES, blake2b
from features.sources.base import Source
from features.sources.contents import digest_contents
from features.storage import parquet_guard
from features.text import for_terminal

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("offshelf")

IMAGES = 2048  # of a part, at most
_KEY = "key.json"


class Parts:
    """Parts of a table, each of a fixed range of images, in a folder beside the table.

    Attributes:
        folder: the folder, `<table>.partial`.
        schema: the columns of the table.
        ranges: (start, stop) of each part.
    """

    def __init__(self, out: Path, total: int, batch_size: int, schema: "pa.Schema") -> None:
        self.folder, self.schema = partial_folder(out), schema
        images = max(1, IMAGES // batch_size) * batch_size
        self.ranges = [(start, min(start + images, total)) for start in range(0, total, images)]

    def resume(self, key: dict[str, Any], source: Source, restart: bool) -> int:
        """Keep the parts that another run would make again; return how many images they have.

        The folder's lock is held.

        Args:
            key: all that decides the rows, as JSON holds it.
            source: the images, which are read again to see that they are the same.
            restart: discard what is there.

        Raises:
            UsageError: the parts were made with another key.
        """
        text = json.dumps(key, sort_keys=True, indent=1)
        path = self.folder / _KEY
        if restart:
            durable.empty_folder(self.folder, "*.*")
        if path.exists() and (difference := _difference(path, json.loads(text))):
            raise UsageError(
                f"{self.folder} holds an unfinished run with other settings or images "
                f"({difference}); finish it, discard it with --restart, or choose another --out"
            )
        durable.write(path, text.encode())
        for start, stop in self.ranges:
            if self.path(start).exists() and not self._is_current(start, stop, source):
                log.warning("images %d to %d are predicted again", start, stop - 1)
                durable.disk.unlink(self.path(start))
        return sum(stop - start for start, stop in self.ranges if self.path(start).exists())

    def missing(self) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of the parts that are not there."""
        for start, stop in self.ranges:
            if not self.path(start).exists():
                yield start, stop

    def path(self, start: int) -> Path:
        """Return the path of the part that begins with an image."""
        return self.folder / f"{start:09d}.parquet"

    def write(self, start: int, table: "pa.Table") -> None:
        """Write a part; it is safe on disk when this returns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        data = sink.getvalue().to_pybytes()
        durable.write(self.path(start), data + blake2b(data))

    def read(self) -> Iterator["pa.Table"]:
        """Yield the parts in order."""
        for start, _ in self.ranges:
            yield self._table(start)

    def discard(self) -> None:
        """Remove the parts, when the table is whole."""
        durable.empty_folder(self.folder, "*.*")

    def _table(self, start: int) -> "pa.Table":
        """Return a part; raise DataError where it is damaged or has other rows or columns."""
        import pyarrow as pa

        path = self.path(start)
        data = path.read_bytes()
        if blake2b(data[:-DIGEST_BYTES]) != data[-DIGEST_BYTES:]:
            raise DataError(f"{path} is damaged; the same command with --restart begins anew")
        try:
            opened = parquet_guard.opened(data[:-DIGEST_BYTES])
            if opened.schema != self.schema or opened.claims.rows != self._rows(start):
                raise DataError("it is no part of this table; --restart begins anew")
            table = parquet_guard.read(opened, self.schema.names)
        except (DataError, pa.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read: {for_terminal(str(error), 300)}") from None
        failed = table["problem"].is_valid()
        if any(table[name].is_null() != failed for name in ("class", "set")):
            raise DataError(f"{path} has images without a class; --restart begins anew")
        return table

    def _rows(self, start: int) -> int:
        return dict(self.ranges)[start] - start

    def _is_current(self, start: int, stop: int, source: Source) -> bool:
        try:
            then = self._table(start)["digest"].to_pylist()
        except (DataError, UnicodeDecodeError):
            return False
        return then == hex_digests(digest_contents(source, range(start, stop)))


def partial_folder(out: Path) -> Path:
    """Return the folder of an unfinished table's parts."""
    return out.with_name(f"{out.name}.partial")


def hex_digests(digests: np.ndarray) -> list[str]:
    """Return digests, uint8 (n, 16), as hex; "" for an image that could not be read."""
    return [row.tobytes().hex() if row.any() else "" for row in digests]


def _difference(path: Path, now: dict[str, Any]) -> str:
    """Return in words how the settings in a file differ from those of now; "" where they do not."""
    try:
        then = documents.read(path, dict[str, Any])
    except DataError:
        return f"{_KEY} cannot be read"
    if then == now:
        return ""
    name = next((name for name in now if then.get(name) != now[name]), _KEY)
    return f"{name} {then.get(name)!r:.60}, now {now.get(name)!r:.60}"
