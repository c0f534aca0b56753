"""The images of a source as one array on disk, in the order of the splits of a results folder."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.arguments import as_location
from features.decoding import RejectedImage, decode
from features.errors import DataError, UsageError
from features.records import UNLABELLED
from features.sources import open_source
from features.sources.base import Source
from features.sources.reading import log_reading, report_notes
from pipeline.config import NetworkConfig
from pipeline.data.images import labelled_images
from pipeline.data.splits import FILE, Splits
from pipeline.networks.pixel_reader import INTERPOLATION, RESIZE, PixelReader, digest_of
from pipeline.results.shared_splits import load_or_make_splits

log = logging.getLogger("offshelf")

DEFAULT_SIZE = (64, 64)  # pixels, where images differ in size or are large
_LARGEST = 128  # pixels a side of images that are used at their own size
_SAMPLED = 16  # images that are decoded to learn their common size
_FILE = "pixels.npy"


@dataclass(frozen=True)
class Pixels:
    """N labelled images, each decoded once.

    Attributes:
        x: uint8 (N, H, W, 3), RGB, a memory map, in the order of the splits.
        splits: which images train, which validate, and which are locked.
        facts: the facts on the images that a record keeps.
        seconds: how long it took to read them.
        source: the source, which is closed; None where they come from elsewhere.
    """

    x: np.ndarray
    splits: Splits
    facts: dict[str, Any]
    seconds: float = 0.0
    source: Source | None = None

    def check_end(self, out: Path) -> None:
        """Raise DataError where the end of the source is missing; what there is lies in `out`."""
        if self.source is not None:
            self.source.check_end(out)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return int(self.x.shape[1]), int(self.x.shape[2])


def read(config: NetworkConfig, folder: Path, size: tuple[int, int] | None = None) -> Pixels:
    """Decode the images of a source, in the order of the splits of the results folder.

    If the results folder has splits, their images alone are read. Otherwise the splits are made
    as `classify` would make them, and written.

    Args:
        config: the source and its options.
        folder: an existing folder for the array.
        size: height and width, in pixels; None takes the images' own if all share one that is
            small, else `DEFAULT_SIZE`.

    Raises:
        UsageError: the source cannot be opened, or the results folder has splits of other images.
        DataError: images or labels are missing, or cannot be read.
    """
    started = time.perf_counter()
    with open_source(config.source, config.limit, config.splits) as source:
        log_reading(source.reading)
        size = size or common_size(source) or DEFAULT_SIZE
        facts: dict[str, Any] = {
            "source": str(config.source.resolve()),
            "kind": source.kind,
            "limit": config.limit,
            "fingerprint": source.fingerprint(),
            "image_size": list(size),
            "resize": RESIZE,
            "interpolation": INTERPOLATION,
            "accept_damaged": config.accept_damaged,
        }
        reader = PixelReader(source, size, folder / _FILE, config.progress, config.accept_damaged)
        has_splits = (config.out / FILE).exists() and not (config.folds or config.group_by)
        x, digests, splits = (
            _read_split_images(reader, Splits.read(config.out))
            if has_splits
            else _read_all_images(reader, config)
        )
    report_notes(reader.notes)
    log.info("%s", splits.counts())
    facts |= {
        "notes": dict(reader.notes),
        "content": digest_of(digests),
        "locked": digest_of(digests[splits.test]),
    }
    return Pixels(x, splits, facts, time.perf_counter() - started, source)


def locked(
    facts: dict[str, Any], ids: Sequence[str], folder: Path, path: Path | None
) -> np.ndarray:
    """Return images of a source as a candidate saw its own: uint8 (n, H, W, 3), a memory map.

    Args:
        facts: the `inputs` of the candidate's record.
        ids: the ids of the locked images, in the order of the splits.
        folder: an existing folder for the array.
        path: the source, if it was moved; None: where it was.

    Raises:
        DataError: the source is missing, lacks an image, or has another image of that id.
    """
    path = path or as_location(facts["source"], "source")
    try:
        source = open_source(path, facts["limit"])
    except UsageError as error:
        raise DataError(f"{error}; say with --source where the images lie now") from None
    with source:
        reader = PixelReader(
            source, tuple(facts["image_size"]), folder / _FILE, False,
            facts.get("accept_damaged", False),  # missing in records of Offshelf 0.2
        )  # fmt: skip
        x, digests = reader.read(_indices(source, ids, path))
    if digest_of(digests) != facts["locked"]:
        raise DataError(
            f"{path}: images that were locked away have changed since the candidate was trained"
        )
    return x


def common_size(source: Source) -> tuple[int, int] | None:
    """Return height and width of all images, as far as a sample tells.

    None where they are larger than `_LARGEST` or differ within the sample.
    """
    if (size := source.common_size) is None:
        sizes = set()
        for index in range(0, len(source), max(1, len(source) // _SAMPLED)):
            try:
                width, height = decode(source.read(index)).size
            except (RejectedImage, OSError):
                continue
            sizes.add((height, width))
        if len(sizes) != 1:
            return None
        (size,) = sizes
    return size if max(size) <= _LARGEST else None


def _read_split_images(
    reader: PixelReader, splits: Splits
) -> tuple[np.ndarray, np.ndarray, Splits]:
    """Return the images that the splits name, after a check of their labels."""
    source = reader.source
    indices = _indices(source, splits.ids, source.location)
    for index, label in zip(indices.tolist(), splits.labels.tolist(), strict=True):
        record, expected = source[index], splits.class_names[label]
        name = source.class_names[record.label] if record.label != UNLABELLED else "no label"
        if name != expected:
            raise DataError(
                f"{record.id} is {name!r} in {source.location}, but {expected!r} "
                "in the splits of the results folder; choose another --out"
            )
    if len(source) > len(indices):
        log.info("%d images are in none of the splits and left out", len(source) - len(indices))
    return *reader.read(indices), splits


def _read_all_images(
    reader: PixelReader, config: NetworkConfig
) -> tuple[np.ndarray, np.ndarray, Splits]:
    """Return all images that have a label and can be read, and their splits."""
    source = reader.source
    groups = _groups(source, config.group_by)
    labels = np.array([record.label for record in source], np.int64)
    indices = np.flatnonzero(labels != UNLABELLED)
    x, digests, readable = reader.read_readable(indices)
    indices = indices[readable]
    records = [source[index] for index in indices.tolist()]
    images = labelled_images(
        config.source, [record.id for record in records], labels[indices], source.class_names,
        np.array([record.split for record in records], np.uint8), digests,
        None if groups is None else groups[indices],
    )  # fmt: skip
    return x, digests, load_or_make_splits(config.out, images, config.folds, config.seed)


def _groups(source: Source, column: str | None) -> np.ndarray | None:
    """Return the group of every image of the source, str objects; None where none is asked for."""
    if column is None:
        return None
    if column not in source.columns:
        known = ", ".join(source.columns) or "none"
        raise UsageError(
            f"--group-by {column}: {source.location} has no such column; it has {known}"
        )
    return np.array(source.columns[column], object)


def _indices(source: Source, ids: Sequence[str], path: Path) -> np.ndarray:
    """Return the numbers of images in a source, by their ids, int64 (n,)."""
    numbers = {record.id: record.index for record in source}
    if missing := [image for image in ids if image not in numbers]:
        raise DataError(
            f"{path} lacks {len(missing)} of the {len(ids)} images that were split, such as "
            f"{missing[0]}; give the source that the results folder was made from"
        )
    return np.array([numbers[image] for image in ids], np.int64)
