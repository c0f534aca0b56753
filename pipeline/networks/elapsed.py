"""The wall time of a candidate over all runs that it takes, as a run can be killed and resumed."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from features.disk import documents, durable
from features.disk.documents import Seconds
from pipeline.networks import checkpoints

FILE = "elapsed.json"


@dataclass(frozen=True)
class _File:
    """The content of `elapsed.json`."""

    seconds: Seconds


@contextmanager
def measured(folder: Path, before: float = 0.0) -> Iterator[Callable[[], float]]:
    """Yield a function that returns the seconds until now, those of earlier runs included.

    An earlier run that was stopped has left its time in the folder; of one that was killed, the
    epochs in its checkpoints count.

    Args:
        folder: the folder of the candidate's checkpoints; made if it is missing.
        before: the seconds that this run has spent on the candidate already.
    """
    earlier = _earlier(folder)
    started = time.perf_counter() - before

    def elapsed() -> float:
        return earlier + time.perf_counter() - started

    durable.make_folder(folder)
    try:
        yield elapsed
    finally:
        durable.write(folder / FILE, json.dumps({"seconds": elapsed()}).encode())


def _earlier(folder: Path) -> float:
    """Return the seconds that earlier runs have spent."""
    path = folder / FILE
    noted = documents.read(path, _File).seconds if path.is_file() else 0.0
    return max(noted, sum(map(checkpoints.seconds, sorted(folder.rglob("*.npz")))))
