"""The images of a source as one array on disk, in the order of the splits that they share."""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.decoding import RejectedImage, decode
from features.errors import DataError, UsageError
from features.loading import load
from features.progress import progress_bar
from features.records import DIGEST_BYTES, UNLABELLED, Outcome
from features.sources import open_source
from features.sources.base import Source, Subset
from pipeline.config import NetworkConfig
from pipeline.data.images import labelled_images
from pipeline.data.splits import FILE, Splits
from pipeline.results.shared_splits import load_or_make_splits

log = logging.getLogger("offshelf")

RESIZE, INTERPOLATION = "stretch", "bilinear"
FALLBACK = (64, 64)  # pixels, where images differ in size
_LARGEST = 128  # pixels a side of images that are trained on in their own size
_SAMPLED = 16  # images that tell in which size all are
_BATCH = 256


@dataclass(frozen=True)
class Pixels:
    """N labelled images, each decoded once.

    Attributes:
        x: uint8 (N, H, W, 3), RGB, a memory map, in the order of the splits.
        splits: who trains, who validates, who is locked away.
        facts: what a record keeps of them.
    """

    x: np.ndarray
    splits: Splits
    facts: dict[str, Any]


def read(config: NetworkConfig, workshop: Path, size: tuple[int, int] | None = None) -> Pixels:
    """Decode the images of a source into the workshop, and settle their splits.

    Where the results folder has splits, these are taken, and their images alone; else they are
    made as `classify` would make them, and written.

    Args:
        config: source and options.
        workshop: an existing folder for the array.
        size: height and width, in pixels; None takes the images' own where they share one that
            is small, else `FALLBACK`.

    Raises:
        UsageError: the source cannot be opened, or the folder has splits of other images.
        DataError: images or labels are missing, or cannot be read.
    """
    with open_source(config.source, config.limit) as source:
        size = size or common_size(source) or FALLBACK
        facts = {
            "source": str(config.source.resolve()),
            "kind": source.kind,
            "limit": config.limit,
            "fingerprint": source.fingerprint(),
            "image_size": list(size),
            "resize": RESIZE,
            "interpolation": INTERPOLATION,
        }
        settled = (config.out / FILE).exists() and not (config.folds or config.group_by)
        reading = _Reading(source, size, workshop / "pixels.npy", config.progress)
        x, digests, splits = (
            _of_splits(reading, Splits.read(config.out)) if settled else _anew(reading, config)
        )
    log.info("%s", splits.counts())
    facts |= {"content": _digest(digests), "locked": _digest(digests[splits.test])}
    return Pixels(x, splits, facts)


def locked(
    facts: dict[str, Any], ids: Sequence[str], folder: Path, path: Path | None
) -> np.ndarray:
    """Return images of a source as a candidate saw such: uint8 (n, H, W, 3), a memory map.

    Args:
        facts: `inputs` of the candidate's record.
        ids: of the locked images, in the order of the splits.
        folder: an existing one for the array.
        path: of the source, if it no longer lies where it was.

    Raises:
        DataError: the source is not there, lacks an image, or has another one of that name.
    """
    path = path or Path(facts["source"])
    try:
        source = open_source(path, facts["limit"])
    except UsageError as error:
        raise DataError(f"{error}; say with --source where the images lie now") from None
    with source:
        reading = _Reading(source, tuple(facts["image_size"]), folder / "pixels.npy", False)
        x, digests = reading.images(_places(source, ids, path))
    if _digest(digests) != facts["locked"]:
        raise DataError(
            f"{path}: images that were locked away have changed since the candidate was trained"
        )
    return x


def common_size(source: Source) -> tuple[int, int] | None:
    """Return the height and width of all images as far as a sample tells; None where it is large.

    None too where the sample's sizes differ.
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


def _digest(digests: np.ndarray) -> str:
    return hashlib.blake2b(digests.tobytes(), digest_size=DIGEST_BYTES).hexdigest()


def _of_splits(reading: "_Reading", splits: Splits) -> tuple[np.ndarray, np.ndarray, Splits]:
    """Read the images that the splits name, after a look at their labels."""
    source = reading.source
    places = _places(source, splits.ids, source.location)
    for place, label in zip(places.tolist(), splits.labels.tolist(), strict=True):
        record = source[place]
        here = source.class_names[record.label] if record.label != UNLABELLED else "no label"
        if here != splits.class_names[label]:
            raise DataError(
                f"{record.id} is {here!r} in {source.location}, but {splits.class_names[label]!r} "
                "in the splits of the results folder; choose another --out"
            )
    if len(source) > len(places):
        log.info("%d images are in none of the splits and left out", len(source) - len(places))
    return *reading.images(places), splits


def _anew(reading: "_Reading", config: NetworkConfig) -> tuple[np.ndarray, np.ndarray, Splits]:
    """Read all images that have a label, and part them."""
    source = reading.source
    if config.group_by is not None and config.group_by not in source.columns:
        known = ", ".join(source.columns) or "none"
        raise UsageError(
            f"--group-by {config.group_by}: {source.location} has no such column; it has {known}"
        )
    labels = np.array([record.label for record in source], np.int64)
    places = np.flatnonzero(labels != UNLABELLED)
    x, digests, accepted = reading.accepted(places)
    places = places[accepted]
    records = [source[place] for place in places.tolist()]
    column = None
    if config.group_by is not None:
        texts = source.columns[config.group_by]
        column = np.array([texts[place] for place in places.tolist()], object)
    images = labelled_images(
        config.source, [record.id for record in records], labels[places], source.class_names,
        np.array([record.split for record in records], np.uint8), digests, column,
    )  # fmt: skip
    return x, digests, load_or_make_splits(config.out, images, config.folds, config.seed)


def _places(source: Source, ids: Sequence[str], path: Path) -> np.ndarray:
    """Return where images stand in a source, int64 (n,)."""
    numbers = {record.id: record.index for record in source}
    if missing := [image for image in ids if image not in numbers]:
        raise DataError(
            f"{path} lacks {len(missing)} of the {len(ids)} images that were split, such as "
            f"{missing[0]}; give the source that the results folder was made from"
        )
    return np.array([numbers[image] for image in ids], np.int64)


@dataclass(frozen=True)
class _Reading:
    """How images are read: at which size, and into which file."""

    source: Source
    size: tuple[int, int]
    target: Path
    progress: bool

    def images(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return images and digests in the order of `places`; none may be unreadable."""
        order = np.argsort(places, kind="stable")
        x, digests, accepted = self.accepted(places[order])
        if len(accepted) < len(places):
            lost = np.setdiff1d(np.arange(len(places)), accepted)[0]
            image = self.source[int(places[order][lost])].id
            raise DataError(f"{image} in {self.source.location} can no longer be read")
        back = np.argsort(order)
        if (back == np.arange(len(back))).all():
            return x, digests
        x[:] = np.asarray(x)[back]
        return x, digests[back]

    def accepted(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read images at increasing places of the source; tell of those that cannot be read.

        Returns:
            uint8 (n, H, W, 3) and digests, uint8 (n, 16), of the n accepted; and which of
            `places` they are, int64 (n,).
        """
        shape = (len(places), *self.size, 3)
        x = np.lib.format.open_memmap(self.target, "w+", np.uint8, shape)
        outcomes: list[Outcome] = []
        subset = Subset(self.source, places)
        stream = load(subset, self.size, RESIZE, INTERPOLATION, _BATCH)
        count = 0
        with closing(stream), progress_bar(len(places), 0, "image", self.progress) as bar:
            bar.set_description_str("reading", refresh=False)
            for batch in stream:
                rows = batch.accepted
                x[count : count + len(rows)] = batch.pixels[rows]
                count += len(rows)
                outcomes.extend(batch.outcomes)
                bar.update(len(batch.outcomes))
        x.flush()
        if len(places) and not count:
            raise DataError(
                f"none of the {len(places)} images in {self.source.location} can be read"
            )
        self._tell(outcomes)
        accepted = np.array([one.index for one in outcomes if one.reason is None], np.int64)
        digests = b"".join(one.digest for one in outcomes if one.reason is None)
        return x[:count], np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES), accepted

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        rejected = [outcome for outcome in outcomes if outcome.reason is not None]
        if rejected:
            common = Counter(outcome.reason for outcome in rejected).most_common(3)
            log.warning(
                "%d of %d images cannot be read (%s) and are left out", len(rejected),
                len(outcomes), "; ".join(f"{count} x {reason}" for reason, count in common),
            )  # fmt: skip
