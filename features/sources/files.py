"""Reading a file that should be an image: it must be a regular file of a reasonable size."""

import errno
import os
import stat
from io import BufferedIOBase, BytesIO, RawIOBase
from pathlib import Path
from typing import IO

from features.decoding.formats import HEAD_BYTES, READ, format_of
from features.errors import DataError, UsageError

UNKNOWN = -1  # size, of what is no regular file or does not exist
MAX_BYTES = 2**29  # the largest image that is decoded, uncompressed in 8 bits
MAX_NAME = 4096  # characters of an image's name: the longest path that systems know
MOST_RATIO, _FREE_BYTES = 100, 2**28  # images hardly compress; twenty bytes can claim terabytes
_LARGE_BYTES = 2**24  # what is larger is looked at before it is read


def check_regular(path: Path) -> None:
    """Raise UsageError where `path` is a pipe, a device or the like, which may never end."""
    if not stat.S_ISREG(path.stat().st_mode) or is_on_no_disk(path):
        raise UsageError(f"{path} is no regular file; copy what it holds into one")


def is_on_no_disk(path: str | Path) -> bool:
    """Tell whether a path is in a file system without blocks, such as `/proc`."""
    return hasattr(os, "statvfs") and os.statvfs(path).f_blocks == 0


def most_unpacked(packed_bytes: int) -> int:
    """Return how many bytes may come out of `packed_bytes`: tables, arrays, compressed tars."""
    return _FREE_BYTES + MOST_RATIO * packed_bytes


def check_size(size: int) -> None:
    """Raise OSError where `size` bytes are more than an image can have."""
    if size > MAX_BYTES:
        raise OSError(errno.EFBIG, f"larger than {MAX_BYTES >> 20} MiB")


def read_content(
    file: IO[bytes] | RawIOBase | BufferedIOBase,
    size: int,
    step: int = _LARGE_BYTES,
    is_image: bool = True,
) -> bytes:
    """Return the next `size` bytes of a file, fewer where it ends before.

    Args:
        file: where the content begins.
        size: how many bytes there should be.
        step: bytes that are read at a time.
        is_image: whether it should be an image.

    Raises:
        OSError: it should be an image, is large, and begins like none that is known.
    """
    if size <= min(step, _LARGE_BYTES):
        return file.read(size) or b""
    content = BytesIO()
    content.write(file.read(HEAD_BYTES) or b"")
    if is_image and size > _LARGE_BYTES:
        check_head(content.getvalue())
    while chunk := file.read(min(step, size - content.tell())):
        content.write(chunk)
    return content.getvalue()


def check_head(head: bytes) -> None:
    """Raise OSError where a file that begins with `head` is no image."""
    if format_of(head[:HEAD_BYTES]) is None:
        raise OSError(errno.EINVAL, f"not a {READ} file")


def size_of(file: str | Path | os.DirEntry[str]) -> int:
    """Return a file's size in bytes, -1 where it is no regular file or does not exist."""
    try:
        status = file.stat() if isinstance(file, os.DirEntry) else os.stat(file)  # noqa: PTH116 - of millions
    except OSError:
        return UNKNOWN
    return status.st_size if stat.S_ISREG(status.st_mode) else UNKNOWN


def read_head(file: os.DirEntry[str]) -> bytes:
    """Return the first bytes of a regular file, by which its format is known; else none."""
    if size_of(file) < 1:
        return b""
    try:
        with Path(file.path).open("rb", buffering=0) as opened:
            return opened.read(HEAD_BYTES)
    except OSError:
        return b""


def read_file(path: Path, listed: int = UNKNOWN) -> bytes:
    """Return a file's content.

    Args:
        path: the file.
        listed: the bytes that it had when it was listed.

    Raises:
        OSError: the file does not exist, is too large, is no regular file (a pipe would block), or
            is large and no image.
        DataError: it has another size than when it was listed, here or on another machine.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    size = status.st_size
    if listed not in (UNKNOWN, size):
        raise DataError(f"{path} has {size:,} bytes, and had {listed:,} when it was listed")
    check_size(size)
    if not size:  # as the files of /proc, which may block
        return b""
    with path.open("rb") as file:
        return read_content(file, size)
