"""What a killed process leaves behind: temporary files and folders that the next one removes.

Each is locked by the process that works on it. The system takes the lock away however that ends,
so that what can be locked by another belongs to nobody any more.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nothing is removed that might be in use
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("offshelf")

PREFIX = ".offshelf-"  # of folders, so that none of the user's is meant
_RANDOM = "?" * 8  # characters that `tempfile` adds


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Hold the lock of a temporary file or folder."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield an empty folder that is removed in the end; those that kills left are removed now.

    Args:
        parent: the folder in which it is made.
        name: what it is for; part of its name.
    """
    prefix = f"{PREFIX}{name}-"
    remove_left(parent, prefix + _RANDOM)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as folder, holding(Path(folder)):
        yield Path(folder)


def remove_left(folder: Path, pattern: str) -> None:
    """Remove the files and folders of a pattern that no process holds; each is told."""
    for path in sorted(folder.glob(pattern)) if fcntl else ():
        with suppress(OSError):  # somebody is at work on it, or it has gone meanwhile
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(descriptor)
            log.info("%s was left by a run that was killed, and is removed", path)
