"""The working folder of a run: a matrix file for each layer, drafts of candidates, the log."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pipeline.data.images import Images
from pipeline.data.layers import check_values, stored_rows, write_matrix
from pipeline.data.stored_rows import Loaded
from pipeline.search.candidates import PlannedCandidate
from pipeline.search.fitting import Matrix
from pipeline.search.memory import Memory

log = logging.getLogger("offshelf")

_ANNOUNCED = 10**9  # bytes of a second copy of the features
WORKSPACE = ".work"  # in the results folder; removed when the run ends
WORKER_LOG = "worker.log"


@contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """Yield an empty folder in the results folder, and remove it in the end."""
    folder = out / WORKSPACE
    shutil.rmtree(folder, ignore_errors=True)  # a run that was killed may have left one
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def matrices(
    folder: Path, images: Images, planned: Sequence[PlannedCandidate], memory: Memory
) -> dict[str, Matrix]:
    """Return where each layer's features lie, by its title, after a check of all values.

    Where they fit into memory, they are written to .npy files, float32 (N, D), which processes read
    as memory maps, so that they share one copy. Else the feature files are read in blocks. Joined
    layers are never written: the worker reads them from their files, and holds them if they fit.

    Raises:
        DataError: a value is not finite.
    """
    layers = {candidate.layer.title: candidate.layer for candidate in planned}
    if memory.by_blocks:
        stored = {title: stored_rows(layer, images.rows) for title, layer in layers.items()}
        for title, layer in layers.items():
            check_values(layer, stored[title])
        return {title: replace(rows, at_once=memory.at_once) for title, rows in stored.items()}
    written: dict[str, Matrix] = {}
    alone = {title: layer for title, layer in layers.items() if len(layer.parts) == 1}
    for title in layers.keys() - alone.keys():
        rows = stored_rows(layers[title], images.rows)
        check_values(layers[title], rows)
        written[title] = Loaded(rows)
    size = 4 * len(images.rows) * sum(layer.dimensions for layer in alone.values())
    if size > _ANNOUNCED:
        log.info("features lie in %s while candidates are fitted, %.1f GB", folder, size / 1e9)
    for number, (title, layer) in enumerate(alone.items()):
        written[title] = path = folder / f"{number}.npy"
        write_matrix(layer, images.rows, path)
    return written
