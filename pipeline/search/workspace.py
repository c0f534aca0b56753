"""The working folder of a run: a matrix file for each layer, drafts of candidates, the log."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.data.images import Images
from pipeline.data.layers import write_matrix
from pipeline.search.candidates import PlannedCandidate

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


def write_matrices(
    folder: Path, images: Images, planned: Sequence[PlannedCandidate]
) -> dict[str, Path]:
    """Write each layer's features to a .npy file, float32 (N, D); return the files by title.

    Processes read these files as memory maps, so that they share one copy.
    """
    layers = {candidate.layer.title: candidate.layer for candidate in planned}
    matrices = {title: folder / f"{number}.npy" for number, title in enumerate(layers)}
    for title, layer in layers.items():
        write_matrix(layer, images.rows, matrices[title])
    return matrices
