"""Features that lie in shards: many files behind one index, for what no single file should hold.

The index is a feature file that has all of each image but its features, so that it is opened,
searched and split as a single file is. Its `/features/<layer>` have dtype and shape of a row, and
no row; its `/shards` say which file holds the next rows, and by which size and digest it is known.
Those files lie in one folder beside the index. Each is opened when its rows are asked for, and must
then be the very one that the index was written with.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from features.errors import DataError
from features.processes.packages import state_of
from features.remote.cache import fetched
from features.storage import facts, hdf5_guard
from features.storage.hdf5 import attributes_of, texts_of
from features.storage.hdf5_chunks import ChunkedArray
from features.storage.row_array import RowArray
from features.storage.schema import FOLDER, is_index, reading, seal, validate

MOST_SHARDS = 200_000
MOST_OPEN = 32  # shards that stay open; a process may have about 1,000 files
NAME = re.compile(r"\d{10,15}-[0-9a-f]{16}\.h5")  # its first image, and the start of its digest
MOST_NAME = 15 + 1 + 16 + 3  # characters of such a name
_PLAIN = re.compile(r"[^/\\\0]{1,255}")


class Shard(NamedTuple):
    """What an index says of a shard.

    Attributes:
        name: the name of its file.
        rows: the number of its rows.
        bytes: the size of its file.
        digest: the seal of its file, 32 hex digits.
    """

    name: str
    rows: int
    bytes: int
    digest: str


def read_table(file: h5py.File) -> tuple[Shard, ...]:
    """Return what an index says of its shards, in row order.

    Raises:
        DataError: a name is none that we give, or is there twice; or shards claim other rows than
            the index has, or more than their files could hold.
    """
    names = texts_of(file["shards/name"])
    if len(names) > MOST_SHARDS:
        raise DataError(f"/shards has {len(names):,} shards, expected at most {MOST_SHARDS:,}")
    rows, sizes, digests = (
        ChunkedArray(file[f"shards/{name}"])[:] for name in ("rows", "bytes", "digest")
    )
    seals = [digest.tobytes().hex() for digest in digests]
    table = tuple(map(Shard, names, rows.tolist(), sizes.tolist(), seals))
    for shard in table:
        if not NAME.fullmatch(shard.name):
            raise DataError(f"/shards/name holds {shard.name!r:.60}, which is no name of a shard")
    if len({shard.name for shard in table}) < len(table):
        raise DataError("/shards/name holds a name twice")
    _check_claims(file, table)
    return table


def _check_claims(file: h5py.File, table: tuple[Shard, ...]) -> None:
    layers = file["features"].values()
    row_bytes = sum(int(np.prod(layer.shape[1:])) * layer.dtype.itemsize for layer in layers)
    for shard in table:
        if not 0 <= shard.rows * row_bytes <= shard.bytes:
            raise DataError(f"{shard.name} claims {shard.rows:,} rows in {shard.bytes:,} bytes")
    rows, expected = sum(shard.rows for shard in table), len(file["images/id"])
    if rows != expected:
        raise DataError(f"its shards hold {rows:,} rows, /images/id has {expected:,}")


def read_folder(file: h5py.File) -> str:
    """Return the name of the folder of an index's shards; DataError where it is no plain name."""
    name = facts.text(attributes_of(file), FOLDER)
    if not _PLAIN.fullmatch(name) or name in (".", ".."):
        raise DataError(f"its attribute {FOLDER!r} is {name!r:.60}, expected the name of a folder")
    return name


@dataclass
class _OpenShard:
    """A shard that is open, its layers that were read, and how many threads are at it."""

    file: h5py.File
    arrays: dict[str, ChunkedArray] = field(default_factory=dict)
    users: int = 0


class ShardFiles:
    """The shards behind an index, opened when their rows are asked for; some stay open.

    Attributes:
        folder: the folder that they lie in; a path or a URL.
        table: what the index says of each.
        starts: int64 (n + 1,): shard i holds the rows from starts[i] to before starts[i + 1].
    """

    def __init__(self, index: Path, file: h5py.File) -> None:
        """Read the table; no shard is looked at.

        Args:
            index: the path or URL of the index, beside which they lie.
            file: the index, whose structure has been checked.

        Raises:
            DataError: the table is not what we write.
        """
        self.table = read_table(file)
        self.folder = index.resolve().parent / read_folder(file)
        self.starts = np.cumsum([0, *(shard.rows for shard in self.table)], dtype=np.int64)
        self._open: OrderedDict[int, _OpenShard] = OrderedDict()  # the one used last at the end
        self._shown: dict[int, tuple[int, ...]] = {}  # shards that were the right ones, by state
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.table)

    def path(self, number: int) -> Path:
        """Return the path or URL of a shard."""
        return self.folder / self.table[number].name

    def name(self, number: int) -> str:
        """Return what messages call a shard: it with its folder."""
        return f"{self.folder.name}/{self.table[number].name}"

    def absent(self) -> list[int]:
        """Return the numbers of the shards that are not there."""
        return [number for number in range(len(self)) if not self.path(number).is_file()]

    def array(self, path: str, like: h5py.Dataset) -> "ShardedArray":
        """Return a layer of all shards as one array; `like` is what the index has of it."""
        return ShardedArray(self, path, (int(self.starts[-1]), *like.shape[1:]), like.dtype)

    @contextmanager
    def opened(self, number: int) -> Iterator[h5py.File]:
        """Yield a shard, open for reading and shown to be the one that the index names.

        Raises:
            DataError: it is missing, damaged or another one.
        """
        with self._held(number) as shard:
            yield shard.file

    def read(self, number: int, path: str, rows: slice | np.ndarray) -> np.ndarray:
        """Return rows of a layer in a shard, by their numbers in it.

        Raises:
            DataError: as `opened`.
            OSError: a chunk is damaged.
        """
        with self._held(number) as shard:
            if path not in shard.file:
                raise DataError(f"its shard {self.name(number)} lacks /{path}")
            if path not in shard.arrays:
                shard.arrays[path] = ChunkedArray(shard.file[path])
            return shard.arrays[path][rows]

    def close(self) -> None:
        """Close those that are open."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].file.close()

    @contextmanager
    def _held(self, number: int) -> Iterator["_OpenShard"]:
        """Yield an open shard, which no thread closes meanwhile."""
        with self._lock:
            if number not in self._open:
                self._make_room()
                self._open[number] = _OpenShard(self._opened(number))
            self._open.move_to_end(number)
            shard = self._open[number]
            shard.users += 1
        try:
            yield shard
        finally:
            with self._lock:
                shard.users -= 1

    def _make_room(self) -> None:
        unused = [number for number, shard in self._open.items() if not shard.users]
        for number in unused[: max(0, len(self._open) + 1 - MOST_OPEN)]:
            self._open.pop(number).file.close()

    def _opened(self, number: int) -> h5py.File:
        path, shard, name = self.path(number), self.table[number], self.name(number)
        if not path.is_file():
            raise DataError(
                f"its shard {name} is missing; an index and its folder of shards are moved and "
                "copied together"
            )
        with reading(f"its shard {name} cannot be read"):
            if (size := path.stat().st_size) != shard.bytes:
                raise DataError(f"it has {size:,} bytes, expected {shard.bytes:,}")
            local = fetched(path, is_hdf5=True)
            state = state_of(local)
            file = hdf5_guard.opened(local)
            try:
                if self._shown.get(number) != state:
                    validate(file)
                    self._check(file, shard)
            except BaseException:
                file.close()
                raise
        self._shown[number] = state
        return file

    def _check(self, file: h5py.File, shard: Shard) -> None:
        if is_index(file):
            raise DataError("it is an index itself")
        if seal(file) != shard.digest:
            raise DataError("it is another one than was written with the index")
        if (rows := len(file["images/id"])) != shard.rows:
            raise DataError(f"it has {rows:,} rows, expected {shard.rows:,}")


class ShardedArray(RowArray):
    """A layer of all shards, which is read when it is indexed by rows, as `ChunkedArray` is.

    Indexing it raises DataError where a shard is missing, damaged or another one than the index was
    written with, and OSError where a chunk is damaged.

    Attributes:
        shape: its shape.
        dtype: its dtype.
        chunks: None.
    """

    chunks = None

    def __init__(
        self, files: ShardFiles, path: str, shape: tuple[int, ...], dtype: np.dtype
    ) -> None:
        self._files, self._path = files, path
        self.shape, self.dtype = shape, dtype

    def _chosen(self, rows: np.ndarray) -> np.ndarray:
        number = int(self._parts_of(rows[:1])[0])
        return self._read(number, rows - self._files.starts[number])

    def _parts_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the number of the shard of each row; those without rows are passed over."""
        return np.searchsorted(self._files.starts, rows, "right") - 1

    def _rows(self, start: int, stop: int) -> np.ndarray:
        rows = np.empty((stop - start, *self.shape[1:]), self.dtype)
        at = start
        while at < stop:
            number = int(self._parts_of(np.array(at)))
            first, last = map(int, self._files.starts[number : number + 2])
            until = min(last, stop)
            rows[at - start : until - start] = self._read(number, slice(at - first, until - first))
            at = until
        return rows

    def _read(self, number: int, rows: slice | np.ndarray) -> np.ndarray:
        values = self._files.read(number, self._path, rows)
        if values.shape[1:] != self.shape[1:] or values.dtype != self.dtype:
            raise DataError(
                f"its shard {self._files.name(number)}: /{self._path} has {values.dtype} of shape "
                f"{values.shape[1:]} a row, the index says {self.dtype} of {self.shape[1:]}"
            )
        return values
