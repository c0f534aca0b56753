"""Reading a file that should be an image: it must be a regular file of a reasonable size."""

import errno
import os
import stat
from pathlib import Path

from features.decoding.formats import HEAD_BYTES

MAX_BYTES = 2**30  # twice the largest image that is decoded, uncompressed in 8 bits


def check_size(size: int) -> None:
    """Raise OSError where `size` bytes are more than an image can have."""
    if size > MAX_BYTES:
        raise OSError(errno.EFBIG, f"larger than {MAX_BYTES >> 30} GiB")


def size_of(file: Path | os.DirEntry[str]) -> int:
    """Return a file's size in bytes, -1 where it is no regular file or does not exist."""
    try:
        status = file.stat()
    except OSError:
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def read_head(file: os.DirEntry[str]) -> bytes:
    """Return the first bytes of a regular file, by which its format is known; else none."""
    if size_of(file) < 1:
        return b""
    try:
        with Path(file.path).open("rb", buffering=0) as opened:
            return opened.read(HEAD_BYTES)
    except OSError:
        return b""


def read_file(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        OSError: the file does not exist, is too large, or is no regular file (a pipe would block).
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    check_size(status.st_size)
    return path.read_bytes()
