"""Files that are either wholly there or not at all, whatever the moment of a kill.

Bytes go to a temporary name beside the target, are flushed and synced, and are renamed into
place; then the folder is synced, because a rename is not durable before that.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import UsageError

TEMPORARY = ".tmp"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; on success it is synced and renamed to `path`.

    On any exception the temporary file is removed and `path` stays as it was.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def prepare_folder(folder: Path) -> None:
    """Make a folder and find out, before any long work, whether a result can be kept there.

    Raises:
        UsageError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"cannot write to {folder}: {reason}; choose another --out") from None


def write(path: Path, data: bytes) -> None:
    """Write a whole file durably."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # folders cannot be opened there, nor need it
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
