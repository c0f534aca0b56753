"""The lock of a results folder, in which one process at a time writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.disk import durable
from features.disk.locks import locked
from pipeline.results.records import recover_candidates


@contextmanager
def locked_results(folder: Path) -> Iterator[None]:
    """Make a results folder and hold its lock; bring back candidates that a kill left aside.

    Raises:
        UsageError: another process holds the lock.
        DataError: the folder cannot be made.
    """
    with locked(folder):
        recover_candidates(folder)
        durable.remove_drafts(folder)
        yield
