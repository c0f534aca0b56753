"""The arrays of an `.npz`, known by their headers before they are read, and never unpickled."""

import math
import zipfile
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from features.errors import DataError
from features.sources.files import most_unpacked

_MOST_ARRAYS = 1000
_HEADER_BYTES = 10_000  # what NumPy, too, takes for the largest that is safe
_TEXT_BYTES = 2**28  # of labels and names of classes
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}  # of a header's length, by version


class StoredArray:
    """An array of an `.npz` that is read as a whole when it is first indexed.

    Attributes:
        shape: its shape.
        dtype: its dtype.
    """

    def __init__(self, path: Path, member: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Keep what the header says."""
        self._path, self._member, self.shape, self.dtype = path, member, shape, dtype

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        return self.values[key]

    @cached_property
    def values(self) -> np.ndarray:
        """The array itself; DataError where it is damaged or does not fit into memory."""
        size = math.prod(self.shape) * self.dtype.itemsize
        try:
            if self.dtype.kind in "US" and size > _TEXT_BYTES:
                raise ValueError(f"{self._member} has {size:,} bytes of text")
            with zipfile.ZipFile(self._path) as archive, archive.open(self._member) as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        except MemoryError:
            raise DataError(
                f"{self._path}: {self._member} has {size:,} bytes, more than fit into memory; "
                "store it as .h5, of which only a part is held"
            ) from None
        except Exception as error:  # numpy, zipfile and zlib raise errors of their own
            raise _not_read(self._path, error) from None


def arrays_of(path: Path) -> dict[str, StoredArray | None]:
    """Return every array of an `.npz` by its name; None stands for what is no array.

    Raises:
        DataError: the file is damaged, or an array has another size than its header says.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > _MOST_ARRAYS:
                raise ValueError(f"{len(members):,} arrays, expected at most {_MOST_ARRAYS:,}")
            most = most_unpacked(path.stat().st_size)
            return {
                member.filename.removesuffix(".npy"): _stored(path, archive, member, most)
                for member in members
            }
    except MemoryError:
        raise
    except Exception as error:
        raise _not_read(path, error) from None


def read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """Return all arrays of an `.npz` that we wrote, known by their headers before they are read.

    Raises:
        ValueError: it is damaged, holds something else, or more than a file of its size may.
    """
    most = most_unpacked(len(content))
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > _MOST_ARRAYS or sum(member.file_size for member in members) > most:
                raise ValueError("it claims more arrays than any of ours")
            return {
                member.filename.removesuffix(".npy"): _whole(archive, member, most)
                for member in members
            }
    except Exception as error:  # numpy, zipfile and zlib raise many kinds
        raise ValueError(str(error) or type(error).__name__) from None


def _whole(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> np.ndarray:
    if _stored(Path(), archive, member, most) is None:
        raise ValueError(f"{member.filename} is no array")
    with archive.open(member) as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    if array.dtype.kind == "O" or array.dtype.hasobject:
        raise ValueError(f"{member.filename} holds Python objects")
    return array


def _stored(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int
) -> StoredArray | None:
    """Return an array by its header alone; ValueError where the header lies."""
    if member.compress_type not in _METHODS:
        raise ValueError(f"{member.filename} is compressed by neither of NumPy's ways")
    with archive.open(member) as file:
        try:
            shape, dtype = _header(file)
        except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
            return None
    name, size = member.filename.removesuffix(".npy"), math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size > member.file_size:
        raise ValueError(f"{name} claims the shape {shape} but has {member.file_size:,} bytes")
    if size > most:
        raise ValueError(
            f"{name} claims {size:,} bytes, expected at most {most:,} in a file of its size; "
            "store it without compression"
        )
    return StoredArray(path, member.filename, shape, dtype)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and dtype, which are only read from a header of a reasonable length."""
    head = file.read(8)
    version = np.lib.format.read_magic(BytesIO(head))
    length = file.read(_LENGTH_BYTES[version[0]])
    count = int.from_bytes(length, "little")
    if count > _HEADER_BYTES:
        raise ValueError("its header is longer than any")
    rest = BytesIO(length + file.read(count))
    read = np.lib.format.read_array_header_1_0
    if version[0] > 1:
        read = np.lib.format.read_array_header_2_0
    shape, _, dtype = read(rest)
    return tuple(shape), dtype


def _not_read(path: Path, error: Exception) -> DataError:
    reason = "Python objects are not read" if "pickle" in str(error).lower() else str(error)
    return DataError(f"{path} cannot be read as an .npz of plain arrays: {reason}")
