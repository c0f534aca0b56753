"""Writing a feature file from blocks of rows.

A shard is a file of one block, a feature file holds all blocks. Both have the same layout, so that
one writer and one reader serve both.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import RawIOBase
from threading import Event
from typing import IO, Any

import h5py
import numpy as np
from h5py import h5f, h5fd, h5g, h5p

from features.errors import DataError
from features.storage.hdf5 import put_attributes
from features.storage.row_blocks import Columns, Rows, Size
from features.storage.schema import DIGEST, INDEX_SCHEMA, SCHEMA, content, hasher, seal

CHUNK_BYTES = 2**20  # in a chunk of a dataset: both a few rows and all of them are read fast

# Texts are compressed, because the longest one sets the width of all: a million ids of 40
# characters and a single one of 4,096 take 45 MB instead of 4,096 MB. Without the long one they
# take 20 MB instead of 41 MB, and 1.0 s instead of 0.4 s. Level 4 is slower by half and gains
# little; with HDF5's shuffle filter, wide texts took five times as long to read.
_PACKED = {"compression": "gzip", "compression_opts": 1}

# HDF5 1.10 and later read this format. Its structures have checksums, those of older ones do not.
_FORMAT = h5f.LIBVER_V110
_ORDERED = h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED


def write(
    target: IO[bytes] | RawIOBase,
    blocks: Iterable[Rows | Columns],
    size: Size,
    attributes: dict[str, Any],
) -> None:
    """Write a feature file from blocks of rows, holding one block in memory at a time.

    HDF5 writes in a thread of its own. Exceptions by signals, such as Ctrl-C, are raised in the
    main thread alone; in the midst of a write to a file object they would crash HDF5.

    Args:
        target: an empty file, open for binary writing and reading.
        blocks: the rows in order, in at least one block.
        size: `Rows.size` of all blocks together.
        attributes: the attributes of the file, without `schema`, `complete` and `digest`.

    Raises:
        DataError: the number of rows, or the length of a text, does not match `size`.
    """
    stopped = Event()

    def until_stopped() -> Iterator[Rows | Columns]:
        for rows in blocks:
            if stopped.is_set():
                raise DataError("stopped")
            yield rows

    with ThreadPoolExecutor(1, "hdf5") as thread:
        writing = thread.submit(_write, target, until_stopped(), size, attributes)
        try:
            writing.result()
        finally:
            stopped.set()


def _write(
    target: IO[bytes] | RawIOBase,
    blocks: Iterable[Rows | Columns],
    size: Size,
    attributes: dict[str, Any],
) -> None:
    with _created(target) as file:
        columns: dict[str, _Column] = {}
        for rows in blocks:
            for path, values in rows.columns.items():
                if path not in columns:
                    columns[path] = _Column(file, path, values, size)
                columns[path].append(values)
        for column in columns.values():
            column.finish()
        schema = INDEX_SCHEMA if "shards" in size.counts else SCHEMA
        put_attributes(file, attributes | {"schema": schema, "complete": True})
        put_attributes(file, {DIGEST: seal(file)})


class _Column:
    """One dataset that is being filled from its start to its end, and the digest of its content."""

    def __init__(self, file: h5py.File, path: str, like: np.ndarray, size: Size) -> None:
        is_text = like.dtype.kind == "S"
        dtype = h5py.string_dtype("utf-8", size.widths[path]) if is_text else like.dtype
        count = size.counts.get(path.partition("/")[0], size.counts["images"])
        row_bytes = max(1, dtype.itemsize * int(np.prod(like.shape[1:])))
        chunks = (max(1, min(count, CHUNK_BYTES // row_bytes)), *like.shape[1:])
        layout = {"chunks": chunks} | (_PACKED if is_text else {}) if count else {}
        parent, _, name = path.rpartition("/")
        self.dataset = _group(file, parent).create_dataset(
            name, (count, *like.shape[1:]), dtype, **layout
        )
        self.path, self.filled, self.digest = path, 0, hasher()

    def append(self, values: np.ndarray) -> None:
        stop, dtype = self.filled + len(values), self.dataset.dtype
        if stop > len(self.dataset):
            raise DataError(f"{self.path} gets more than the {len(self.dataset)} rows expected")
        if values.dtype.kind == "S" and values.dtype.itemsize > dtype.itemsize:
            raise DataError(f"{self.path} gets texts of more than {dtype.itemsize} bytes expected")
        # h5py reads from the metadata of a dtype that it is utf-8; NumPy's own dtype has none.
        self.dataset[self.filled : stop] = values.astype(dtype.str, copy=False).view(dtype)
        self.digest.update(content(values))
        self.filled = stop

    def finish(self) -> None:
        if self.filled != len(self.dataset):
            raise DataError(f"{self.path} has {self.filled} rows, expected {len(self.dataset)}")
        put_attributes(self.dataset, {DIGEST: self.digest.hexdigest()})


def _created(target: IO[bytes] | RawIOBase) -> h5py.File:
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_libver_bounds(_FORMAT, _FORMAT)
    access.set_fileobj_driver(h5fd.fileobj_driver, target)
    creation = _timeless(h5p.FILE_CREATE)
    # Attributes beyond 64 KiB, such as many class names, need their order tracked.
    creation.set_attr_creation_order(_ORDERED)
    return h5py.File(h5f.create(b"feature file", h5f.ACC_TRUNC, fapl=access, fcpl=creation))


def _group(file: h5py.File, path: str) -> h5py.Group:
    """Return a group that lists its members in the order of their creation; make it if needed."""
    if path not in file:
        h5g.create(file.id, path.encode(), gcpl=_timeless(h5p.GROUP_CREATE))
    return file[path]


def _timeless(kind: Any) -> Any:
    """Return the creation properties of a group or file that stores no times.

    So equal runs write equal files. Only h5py's low-level calls can leave the times out.
    """
    creation = h5p.create(kind)
    creation.set_link_creation_order(_ORDERED)
    creation.set_obj_track_times(False)
    return creation
