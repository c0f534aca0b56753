"""A look through HDF5 files that anybody may have made, in a process that may be lost.

HDF5 crashes, loops or fills the memory on some files that are damaged, or were made to do so. This
process opens a file first, and touches what its reader will touch: every link, attribute and
dataset, the index of all chunks, and each chunk that HDF5 itself will read. What only raises an
error here will raise it there, too, and is left to the reader, who knows what it was about.

`hdf5_lookout` gives the process its limits, and answers with what is found here.
"""

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from features.storage.expansion import most_bytes
from features.storage.hdf5_chunks import (
    check_sizes,
    chunk_bytes,
    filters_of,
    is_read_here,
    is_unpacked_here,
)

MEMORY_BYTES = 2**29  # above what this process has when it is ready

MOST_OBJECTS = 20_000  # groups and datasets; the deepest networks of Keras have some 5,000
MOST_DEPTH = 64
MOST_ATTRIBUTES = 1_000  # of one object
CHUNK_BYTES = 2**28  # of a compressed chunk, which is unpacked as a whole

KERAS_MEMBER = "model.weights.h5"  # of a .keras file

_TEXT_BLOCK = 1024  # texts of variable length that are read at a time
_ERRORS = (
    OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, zipfile.BadZipFile
)  # fmt: skip


passed_over: list[str] = []  # the errors in the last file that were left to its reader


class _RefusedError(Exception):
    """The file goes beyond a bound; the message says which."""


def problem_of(path: str, names: list[str] | None, is_for_hdf5: bool) -> str | None:
    """Return why a file must not be read, None where nothing speaks against it.

    Args:
        path: the file; of a `.keras` file the weights in it are looked through.
        names: what will be read of it, in lower case: datasets at its top, and attributes of the
            file. None: all of it.
        is_for_hdf5: whether its chunks will be read by HDF5, which Keras does, and not by
            `hdf5_chunks`.
    """
    passed_over.clear()
    try:
        _look_through(path, names, is_for_hdf5)
    except _RefusedError as error:
        return str(error)
    except MemoryError:
        return f"it takes more than {MEMORY_BYTES >> 20} MiB to look through it"
    return None


@contextmanager
def _left_to_the_reader() -> Iterator[None]:
    """Pass over errors, which the reader will meet too, but not where memory was too small here."""
    try:
        yield
    except _ERRORS as error:
        if re.search(r"memory|allocate\b", str(error)):
            raise MemoryError from None
        passed_over.append(str(error))


def _look_through(path: str, names: list[str] | None, is_for_hdf5: bool) -> None:
    with _left_to_the_reader(), opened(path) as file:
        walk = _Walk(Path(path).stat().st_size, is_for_hdf5)
        walk.all_of(file) if names is None else walk.some_of(file, set(names))


@contextmanager
def opened(path: str) -> Iterator[h5py.File]:
    """Open an HDF5 file, or the weights in a `.keras` file, which Keras does not compress."""
    if not path.endswith(".keras"):
        with h5py.File(path, "r", locking=False) as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive:
        claimed = archive.getinfo(KERAS_MEMBER).file_size
        most = most_bytes(Path(path).stat().st_size)
        if claimed > most:
            raise _RefusedError(f"its weights claim {claimed:,} bytes, expected at most {most:,}")
        with archive.open(KERAS_MEMBER) as member, h5py.File(member, "r") as file:
            yield file


class _Walk:
    """One file that is looked through.

    Args:
        file_bytes: the size of the file.
        is_for_hdf5: whether its reader reads chunks by HDF5.
    """

    def __init__(self, file_bytes: int, is_for_hdf5: bool) -> None:
        self._file_bytes, self._is_for_hdf5, self._seen = file_bytes, is_for_hdf5, set[int]()

    def all_of(self, file: h5py.File) -> None:
        waiting: list[tuple[Any, int]] = [(file, 0)]
        while waiting:
            item, depth = waiting.pop()
            with _left_to_the_reader():
                self._attributes(item)
            with _left_to_the_reader():
                if isinstance(item, h5py.Dataset):
                    self._claim(item)
                    self._dataset(item)
                elif isinstance(item, h5py.Group):
                    if depth == MOST_DEPTH:
                        raise _RefusedError(f"its groups lie more than {MOST_DEPTH} deep")
                    members = [(member, depth + 1) for member in self._members(item)]
                    self._links(item)
                    waiting += members

    def some_of(self, file: h5py.File, names: set[str]) -> None:
        for name in names & set(file.attrs):
            self._attribute(file, name)
        for item in self._members(file):
            with _left_to_the_reader():
                if isinstance(item, h5py.Dataset) and item.name.strip("/").lower() in names:
                    self._dataset(item)

    def _members(self, group: h5py.Group) -> Iterator[Any]:
        """Yield what lies in a group and was not seen before; links to elsewhere are not followed.

        The reader refuses links where it meets them.
        """
        if len(self._seen) + len(group) > MOST_OBJECTS:
            raise _RefusedError(f"it has more than {MOST_OBJECTS:,} groups and datasets")
        for name in group:
            with _left_to_the_reader():
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    continue
                item = group[name]
                address = h5py.h5o.get_info(item.id).addr
                if address not in self._seen:
                    self._seen.add(address)
                    yield item

    def _links(self, group: h5py.Group) -> None:
        for name in group:
            with _left_to_the_reader():
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise _RefusedError(
                        f"{name} in {group.name} is a link to elsewhere; copy what it leads to"
                    )

    def _attributes(self, item: Any) -> None:
        if len(item.attrs) > MOST_ATTRIBUTES:
            raise _RefusedError(f"{item.name} has more than {MOST_ATTRIBUTES:,} attributes")
        for name in item.attrs:
            self._attribute(item, name)

    def _attribute(self, item: Any, name: str) -> None:
        try:
            item.attrs[name]
        except _ERRORS:
            raise _RefusedError(f"attribute {name} of {item.name} cannot be read") from None

    def _claim(self, dataset: h5py.Dataset) -> None:
        if dataset.is_virtual or dataset.external:
            raise _RefusedError(f"{dataset.name} lies in another file; copy it into this one")
        if dataset.shape is None or dataset.dtype.kind in "SO":
            return
        stored = min(dataset.id.get_storage_size(), self._file_bytes)
        if dataset.nbytes > most_bytes(stored):
            raise _RefusedError(
                f"{dataset.name} claims the shape {dataset.shape} but stores {stored:,} bytes"
            )

    def _dataset(self, dataset: h5py.Dataset) -> None:
        """Look at a dataset unless it lies in another file; that of an array is refused later."""
        if dataset.is_virtual or dataset.external or dataset.shape is None:
            return
        if (value_bytes := dataset.id.get_type().get_size()) > CHUNK_BYTES:
            raise _RefusedError(f"{dataset.name} has values of {value_bytes:,} bytes each")
        if dataset.chunks:
            self._chunks(dataset)
        text = h5py.check_string_dtype(dataset.dtype)
        is_of_any_length = text is not None and text.length is None
        if dataset.chunks and (self._is_for_hdf5 or not is_read_here(dataset)):
            self._try_chunks(dataset)
        if is_of_any_length:
            self._texts(dataset)
        elif not dataset.chunks and dataset.size:
            for index in ((0,) * dataset.ndim, tuple(length - 1 for length in dataset.shape)):
                with _left_to_the_reader():
                    dataset[index]

    def _try_chunks(self, dataset: h5py.Dataset) -> None:
        """Read every chunk as HDF5 will, once it is known that none is too short."""
        if is_unpacked_here(dataset):
            try:
                check_sizes(dataset)
            except OSError as error:
                raise _RefusedError(f"{dataset.name} cannot be read: {error}") from None
        elif self._is_for_hdf5:
            raise _RefusedError(f"{dataset.name} is compressed by another filter than gzip")
        for place in dataset.iter_chunks() if dataset.dtype.kind != "O" else []:
            with _left_to_the_reader():
                dataset[place]

    def _chunks(self, dataset: h5py.Dataset) -> None:
        """Go through the index of all chunks."""
        expected, is_packed = chunk_bytes(dataset), bool(filters_of(dataset))
        if is_packed and expected > CHUNK_BYTES:
            raise _RefusedError(
                f"{dataset.name} is compressed in chunks of {expected:,} bytes, of which each "
                f"is unpacked as a whole; at most {CHUNK_BYTES:,} are (h5repack -l)"
            )
        is_any_size = is_packed or dataset.dtype.kind in "OV"  # these may lie in a heap

        def leads_away(chunk: Any) -> bool | None:
            is_whole = is_any_size or chunk.size == expected
            return None if is_whole and chunk.byte_offset + chunk.size <= self._file_bytes else True

        if dataset.id.chunk_iter(leads_away):
            raise _RefusedError(f"the chunks of {dataset.name} do not lie where they should")

    def _texts(self, dataset: h5py.Dataset) -> None:
        """Read texts of variable length: many may be one in the file, and its heap has no sum."""
        most, count = most_bytes(self._file_bytes), 0
        for start in range(0, len(dataset) if dataset.ndim else 0, _TEXT_BLOCK):
            try:
                block = dataset[start : start + _TEXT_BLOCK].reshape(-1)
            except (*_ERRORS, MemoryError):
                raise _RefusedError(f"the texts of {dataset.name} cannot be read") from None
            count += sum(len(text) for text in block)
            if count > most:
                raise _RefusedError(f"{dataset.name} has texts of more than {most:,} bytes in all")
