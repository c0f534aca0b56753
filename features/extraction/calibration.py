"""The images of a source that int8 is calibrated on, and those that it is judged by."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.config import ExtractConfig
from features.errors import DataError
from features.extraction.loading import load
from features.extraction.watch import Watch
from features.records import DIGEST_BYTES, Split, describe_decoding
from features.sources.base import Source, Subset
from features.sources.contents import digest_contents

CALIBRATED, JUDGED = 300, 64  # images, at most


@dataclass(frozen=True)
class Samples:
    """Numbers of images, increasing: int64.

    Attributes:
        calibration: at most `CALIBRATED`.
        judging: at most `JUDGED`, none of the others where there are enough.
    """

    calibration: np.ndarray
    judging: np.ndarray


def choose(config: ExtractConfig, source: Source) -> Samples:
    """Draw the samples; images of the test split are taken only where there are no others."""
    order = np.random.default_rng(config.seed).permutation(len(source))
    is_open = source.splits[order] != Split.TEST
    order = order[is_open] if is_open.any() else order
    return Samples(np.sort(order[:CALIBRATED]), np.sort(order[-JUDGED:]))


def describe(config: ExtractConfig, source: Source) -> dict[str, Any]:
    """Return what a recipe keeps of the calibration: the number of images, and a digest.

    The digest covers the content of each image, and what else decides its pixels.
    """
    images = choose(config, source).calibration
    known = source.digests
    contents = digest_contents(source, images) if known is None else known[images]
    return {"images": len(images), "digest": _digest(config, contents)}


def pixels(
    config: ExtractConfig,
    source: Source,
    size: tuple[int, int],
    images: np.ndarray,
    digest: str | None = None,
    watch: Watch | None = None,
) -> Iterator[np.ndarray]:
    """Yield the pixels of images, uint8 (n, height, width, 3), a batch at a time.

    Args:
        config: the settings of the extraction.
        source: the images.
        size: height and width of the pixels.
        images: numbers of images, increasing.
        digest: what `describe` said of them; None does not compare it.
        watch: as in `loading.load`.

    Raises:
        DataError: none of the images can be read, or they are no longer those of the digest.
    """
    contents, count = [], 0
    with closing(
        load(
            Subset(source, images), size, config.resize, config.interpolation, config.batch_size,
            exact=config.exact_decode, accept_damaged=config.accept_damaged,
            decode_memory=config.decode_memory, watch=watch,
        )
    ) as batches:  # fmt: skip
        for batch in batches:
            contents += [outcome.digest or bytes(DIGEST_BYTES) for outcome in batch.outcomes]
            count += len(batch.accepted)
            if len(batch.accepted):
                yield batch.pixels[batch.accepted]
    if not count:
        raise DataError(f"none of {len(images)} images that int8 needs could be read")
    read = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, DIGEST_BYTES)
    if digest is not None and _digest(config, read) != digest:
        raise DataError("images have changed while int8 was calibrated on them; begin again")


def _digest(config: ExtractConfig, contents: np.ndarray) -> str:
    decoding = describe_decoding(config.exact_decode, config.accept_damaged)
    settings = json.dumps([decoding, config.resize, config.interpolation]).encode()
    return hashlib.blake2b(contents.tobytes() + settings, digest_size=DIGEST_BYTES).hexdigest()
