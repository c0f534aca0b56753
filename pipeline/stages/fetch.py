"""The fetch stage: the name of a public data set in, the path of its file out."""

import logging
from pathlib import Path

from features.disk import durable
from features.disk.locks import CONTENT, locked
from features.errors import DataError, UsageError
from features.extraction.shards import partial_folder
from pipeline.config import FetchConfig
from pipeline.datasets import files
from pipeline.datasets.catalog import Dataset, find
from pipeline.datasets.downloads import obtain

log = logging.getLogger("offshelf")


def run(config: FetchConfig) -> Path:
    """Write a public data set to an HDF5 file, unless it is there already; return its path.

    The file holds `images` (uint8, (N, H, W, 3) RGB or (N, H, W) grey), `labels` (int32, (N,)) and
    `split` (uint8, (N,), codes of `features.records.Split`): the official training split, then the
    official test split, each in its official order. Attributes: `schema`, `complete`, `name`,
    `class_names` (json), `origin` (json), `digest` (BLAKE2b of all three).

    Raises:
        UsageError: no data set has that name; the file exists and holds something else; its
            folder cannot be written to; or another process is writing it.
        DataError: the data set could not be downloaded, or the disk is full.
    """
    dataset = find(config.name)
    out = config.out or Path("data") / f"{config.name}.h5"
    if _is_complete(dataset, out):
        return out
    durable.prepare_folder(out.parent)
    with locked(partial_folder(out)):
        if _is_complete(dataset, out):  # another process has written it meanwhile
            return out
        durable.empty_folder(partial_folder(out), CONTENT)  # which a power cut may have left
        arrays, provenance = obtain(dataset, config.progress)
        files.write(dataset, arrays, provenance, out, partial_folder(out))
    log.info("wrote %d images to %s, from %s", len(arrays.images), out, provenance["way"])
    return out


def _is_complete(dataset: Dataset, out: Path) -> bool:
    """Tell whether the file holds the data set; raise UsageError where it holds something else."""
    if not out.exists():
        return False
    try:
        name, arrays = files.read(out)
        if name != dataset.name:
            raise DataError(f"it holds {name}")
        dataset.check(arrays)
    except DataError as error:
        raise UsageError(
            f"{out} exists and is not {dataset.name} ({error}); it was left as it is: "
            "choose another name or move it away"
        ) from error
    log.info("%s is already there: %s", dataset.name, out)
    return True
