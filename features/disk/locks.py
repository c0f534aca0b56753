"""The lock of a folder: one process at a time writes to it."""

import errno
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from features.disk import durable
from features.errors import DataError, UsageError

log = logging.getLogger("offshelf")

# Patterns of file names in a locked folder: every name but those of locks has a dot.
CONTENT, _LOCKS = "*.*", "lock*"
_LOCK, _STAND_IN = "lock", "lock-file"
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL}
_PATIENCE = 10.0  # seconds, for a folder that other processes keep removing
_PAUSE = 0.005  # seconds between two attempts


@contextmanager
def locked(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Make a folder and hold its lock, which the system frees however the process ends.

    At the end the folder is removed if nothing but the lock is in it.

    Args:
        folder: the folder to make and lock.
        wait: seconds to wait for another process that holds the lock.

    Raises:
        UsageError: another process holds the lock.
        DataError: the folder cannot be made.
    """
    try:
        lock = _acquired(folder, wait)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror or error}") from None
    try:
        yield
    finally:
        if os.name == "nt":  # on Windows an open file cannot be removed
            lock.release()
        if not any(folder.glob(CONTENT)):
            with suppress(OSError):
                durable.empty_folder(folder, _LOCKS)
        lock.release()
        with suppress(OSError):
            durable.disk.remove_folder(folder)


def _acquired(folder: Path, wait: float) -> Any:
    """Make the folder, acquire its lock and return it.

    Another process that ends may remove the folder between the two, or while it is being made.
    Then both are done again.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            durable.make_folder(folder)
            return _lock(folder, wait)
        except (FileNotFoundError, FileExistsError) as error:
            is_file = isinstance(error, FileExistsError) and folder.is_file()
            if is_file or not folder.parent.is_dir() or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)


def _lock(folder: Path, wait: float) -> Any:
    """Acquire and return the lock of a folder; raise UsageError where another process holds it."""
    from filelock import FileLock, SoftFileLock, Timeout

    try:
        try:
            return FileLock(folder / _LOCK).acquire(timeout=wait, poll_interval=_PAUSE).lock
        except NotImplementedError:
            reason = "not supported"
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            reason = os.strerror(error.errno)
        stand_in = folder / _STAND_IN
        log.warning(
            "locks do not work in %s (%s), so the file %s is used as one; if a run that was killed "
            "on another machine leaves it there, remove it",
            folder.parent, reason, stand_in,
        )  # fmt: skip
        return SoftFileLock(stand_in).acquire(timeout=wait, poll_interval=_PAUSE).lock
    except Timeout:
        raise UsageError(
            f"another process is writing to {folder}; wait for it or choose another --out"
        ) from None
