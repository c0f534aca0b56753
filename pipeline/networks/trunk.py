"""What the frozen part of a network gives for each image, computed once and kept on disk.

Images, and augmented views of them, become an arrays source; the extraction stage turns that into
a feature file, at its speed, and resumes it where it was killed; the rows are mapped from there.
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

from features import durable, extraction
from features.config import ExtractConfig
from features.errors import UsageError
from features.records import blake2b
from pipeline.networks import augmentation
from pipeline.networks.mapped import MappedRows
from pipeline.networks.pixels import Pixels

log = logging.getLogger("offshelf")

STORE = "float16"
_FILE, _SOURCE, _DONE = "trunk.h5", "views.h5", "done"
_BATCH = 256  # images that are augmented at a time
_SPARE = 1.05  # times what rows take: room for HDF5's own structures, and for what else is written


@dataclass(frozen=True)
class Views:
    """Which pictures of each image are cached.

    Attributes:
        count: augmented ones, beside the plain one.
        names: of augmentations, from `augmentation.AMOUNTS`.
        seed: of them.
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
) -> MappedRows:
    """Return activations of n images and their views, float16 ((1 + views) n, h, w, c).

    The images are those that are not locked. Row v n + i is view v of the i-th of them; view 0 is
    the plain one. What an earlier call with equal arguments left is taken, and gone on with where
    it was killed.

    Args:
        work: folder in which a folder of the activations is made.
        config: of the extraction: backbone, weights, the one layer, engine. Its source, output,
            pooling and dtype are set here.
        shape: (h, w, c) of the layer.
        images: and their splits.
        views: how many, and how they differ.
        weights: their sha256, as a file that `config` names may be another by now.

    Raises:
        UsageError: they would not fit on the disk, or what `features.extraction.run` raises.
        DataError: likewise.
    """
    (layer,) = config.layers or ()
    decides = [images.facts["content"], images.splits.digest, dataclasses.asdict(views),
               config.backbone, weights, config.scaling, layer, config.image_size,
               config.engine, config.precision, config.seed]  # fmt: skip
    folder = work / f"trunk-{blake2b(json.dumps(decides).encode()).hex()[:16]}"
    out, count = folder / _FILE, len(images.splits.rest)
    if not (folder / _DONE).exists():
        durable.make_folder(folder)
        if not (folder / _SOURCE).exists():
            _check_space(folder, (1 + views.count) * count, images.x.shape[1:], shape)
            _write_views(folder / _SOURCE, images, views)
        log.info("up to %s all is computed once, in %d views each of %d images",
                 layer, 1 + views.count, count)  # fmt: skip
        extraction.run(
            dataclasses.replace(
                config, source=folder / _SOURCE, out=out, pooling="none", store=STORE
            )
        )
        durable.write(folder / _DONE, b"")
        (folder / _SOURCE).unlink()
    return MappedRows(out, layer)


def _check_space(folder: Path, rows: int, picture: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Say what the cache takes on the disk; raise UsageError where there is not enough.

    Pixels, the extraction's shards and the file assembled from them are there at one time.
    """
    row = np.dtype(STORE).itemsize * math.prod(shape)
    kept, needed = rows * row, int(_SPARE * rows * (2 * row + math.prod(picture)))
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
    """Write images and views as an arrays source."""
    import h5py

    draft = path.with_name(path.name + durable.TEMPORARY)
    with h5py.File(draft, "w") as file:
        shape = ((1 + views.count) * len(images.splits.rest), *images.x.shape[1:])
        target, filled = file.create_dataset("images", shape, np.uint8), 0
        for some in _pictures(images, views):
            target[filled : filled + len(some)] = some
            filled += len(some)
    draft.replace(path)


def _pictures(images: Pixels, views: Views) -> Iterator[np.ndarray]:
    """Yield the rows of all views, view by view, uint8 (b, H, W, 3)."""
    from keras import ops

    rest = images.splits.rest
    for view in range(1 + views.count):
        seed = int(np.random.SeedSequence((views.seed, view)).generate_state(1)[0])
        layer = augmentation.layer(views.names, seed) if view else None
        for start in range(0, len(rest), _BATCH):
            some = np.asarray(images.x[rest[start : start + _BATCH]])
            yield some if layer is None else ops.convert_to_numpy(layer(some, training=True))
