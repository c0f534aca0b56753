"""The activations of a network's frozen trunk, computed once for each image and kept on disk.

The images and their augmented views become an arrays source. The extraction stage turns it into a
feature file, at its own speed, and resumes after a kill. The rows are then copied once into a
`.npy` file: rows that are read at random cost HDF5 a whole chunk (1 MiB) each, a memory map does
not. What a killed run left is checked against a checksum, and made anew where it has changed.
"""

import dataclasses
import json
import logging
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.config import ExtractConfig
from features.disk import durable, sealed
from features.errors import DataError, UsageError
from features.extraction import run as extraction
from features.records import blake2b
from features.storage.store import FeatureFile
from pipeline.networks import augmentation
from pipeline.networks.pixels import Pixels

log = logging.getLogger("offshelf")

STORE = "float16"
_ROWS, _FEATURES, _VIEWS = "trunk.npy", "trunk.h5", "views.h5"
_BATCH = 256  # images that are augmented at a time
_MARGIN = 1.05  # times the size of the rows: HDF5's own structures, and whatever else is written


@dataclass(frozen=True)
class Views:
    """Which views of each image are cached.

    Attributes:
        count: number of augmented views, beside the plain one.
        names: names of augmentations, from `augmentation.AMOUNTS`.
        seed: seed of the augmentations.
    """

    count: int
    names: tuple[str, ...]
    seed: int


def activations(
    work: Path,
    config: ExtractConfig,
    shape: tuple[int, ...],
    images: Pixels,
    views: Views,
    weights: str,
) -> np.ndarray:
    """Return the activations of n images and their views, float16 ((1 + views) n, h, w, c).

    The images are those that are not locked. Row v n + i is view v of the i-th image; view 0 is
    the plain one. A later call with equal arguments returns the same file, and resumes an
    extraction that was killed.

    Args:
        work: the folder in which a folder for the activations is made.
        config: the extraction: backbone, weights, the one layer, engine. Its source, output,
            pooling and dtype are set here.
        shape: (h, w, c) of the layer.
        images: the images and their splits.
        views: how many views there are, and how they differ.
        weights: sha256 of the weights, as the file that `config` names may have changed since.

    Returns:
        A read-only memory map.

    Raises:
        UsageError: the disk has too little room, or what `features.extraction.run` raises.
        DataError: likewise.
    """
    folder = work / f"trunk-{_key(config, images, views, weights)}"
    if not _is_left(folder, _ROWS):
        durable.make_folder(folder)
        if not _has_features(folder):
            _extract(folder, config, shape, images, views)
        (folder / _VIEWS).unlink(missing_ok=True)
        copy_rows(folder / _FEATURES, folder / _ROWS)
        sealed.write_note(folder, folder.name, [_ROWS])
        (folder / _FEATURES).unlink()
    rows: np.ndarray = np.load(folder / _ROWS, mmap_mode="r")
    return rows


def _is_left(folder: Path, name: str) -> bool:
    """Return whether an earlier run left a file, and it is as it was; a changed one is removed."""
    path = folder / name
    if not path.exists():
        return False
    try:
        sealed.check_files(folder, folder.name, [name])
    except DataError as error:
        log.warning("%s is made anew: %s", path, error)
        path.unlink()
        return False
    return True


def _has_features(folder: Path) -> bool:
    """Return whether an earlier run left the feature file; a damaged one is removed."""
    path = folder / _FEATURES
    if not path.exists():  # the extraction renames it into place when whole
        return False
    try:
        with FeatureFile(path) as file:
            problems = file.problems()
    except DataError as error:
        problems = [str(error)]
    if problems:
        log.warning("%s is made anew: %s", path, problems[0])
        path.unlink()
    return not problems


def remove(work: Path) -> None:
    """Remove the activations in a folder."""
    for folder in work.glob("trunk-*"):
        shutil.rmtree(folder)


def _key(config: ExtractConfig, images: Pixels, views: Views, weights: str) -> str:
    """Return a digest of all that decides the activations."""
    (layer,) = config.layers or ()
    decides = [images.facts["content"], images.splits.digest, dataclasses.asdict(views),
               config.backbone, weights, config.scaling, layer, config.image_size,
               config.engine, config.precision, config.seed]  # fmt: skip
    return blake2b(json.dumps(decides).encode()).hex()[:16]


def _extract(
    folder: Path, config: ExtractConfig, shape: tuple[int, ...], images: Pixels, views: Views
) -> None:
    """Write the feature file of all views, or go on with it."""
    source, count = folder / _VIEWS, len(images.splits.rest)
    if not _is_left(folder, _VIEWS):
        _check_space(folder, (1 + views.count) * count, images.x.shape[1:], shape)
        _write_views(source, images, views)
        sealed.write_note(folder, folder.name, [_VIEWS])
    log.info("the frozen layers up to %s are computed once, for %d views of each of %d images",
             *(config.layers or ()), 1 + views.count, count)  # fmt: skip
    extraction.run(
        dataclasses.replace(
            config, source=source, out=folder / _FEATURES, pooling="none", store=STORE
        ),
        tells_reading=False,
    )


def _check_space(folder: Path, rows: int, image: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Log how much disk space the cache takes; raise UsageError where there is too little.

    The most is taken when the feature file is assembled: pixels, shards and the file are there at
    one time. Later there are the feature file and its copy, then the copy alone.
    """
    row = np.dtype(STORE).itemsize * math.prod(shape)
    kept, needed = rows * row, int(_MARGIN * rows * (2 * row + math.prod(image)))
    free = shutil.disk_usage(folder).free
    log.info("the cached trunk takes %.1f GB, and %.1f GB while it is made; %.1f GB are free",
             kept / 1e9, needed / 1e9, free / 1e9)  # fmt: skip
    if needed > free:
        raise UsageError(
            f"the cached trunk needs {needed / 1e9:.1f} GB while it is made, and {folder} has "
            f"{free / 1e9:.1f} GB free; take fewer --views, a smaller --image-size, an --out on "
            "another disk, or --no-cache-trunk"
        )


def _write_views(path: Path, images: Pixels, views: Views) -> None:
    """Write the images and their views as an arrays source."""
    import h5py

    draft = path.with_name(path.name + durable.TEMPORARY)
    with h5py.File(draft, "w") as file:
        shape = ((1 + views.count) * len(images.splits.rest), *images.x.shape[1:])
        dataset, filled = file.create_dataset("images", shape, np.uint8), 0
        for batch in _view_batches(images, views):
            dataset[filled : filled + len(batch)] = batch
            filled += len(batch)
    draft.replace(path)


def _view_batches(images: Pixels, views: Views) -> Iterator[np.ndarray]:
    """Yield the rows of all views, view by view, uint8 (b, H, W, 3)."""
    from keras import ops

    rest = images.splits.rest
    for view in range(1 + views.count):
        seed = int(np.random.SeedSequence((views.seed, view)).generate_state(1)[0])
        layer = augmentation.layer(views.names, seed) if view else None
        for start in range(0, len(rest), _BATCH):
            batch = np.asarray(images.x[rest[start : start + _BATCH]])
            yield batch if layer is None else ops.convert_to_numpy(layer(batch, training=True))


def copy_rows(features: Path, target: Path) -> None:
    """Copy the rows of a feature file's only layer into a `.npy` file, durably.

    Raises:
        DataError: the feature file cannot be read.
        OSError: the copy cannot be written.
    """
    with FeatureFile(features) as file, durable.replacing(target) as draft:
        (layer,) = file.layers
        blocks = file.blocks(f"features/{layer}")
        first = next(blocks)
        dtype = np.lib.format.dtype_to_descr(first.dtype)
        header = {"descr": dtype, "fortran_order": False, "shape": file.shape(layer)}
        np.lib.format.write_array_header_1_0(draft, header)
        draft.write(first)
        for block in blocks:
            draft.write(block)
