"""Images of a source, decoded into one array on disk."""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from features.disk import durable
from features.errors import DataError
from features.extraction.loading import load
from features.processes.progress import progress_bar
from features.records import DIGEST_BYTES, Outcome
from features.sources.base import Source, Subset

log = logging.getLogger("offshelf")

RESIZE, INTERPOLATION = "stretch", "bilinear"
_BATCH = 256  # images decoded at a time


@dataclass(frozen=True)
class PixelReader:
    """Decodes images of a source at one size into a `.npy` file.

    Attributes:
        source: the opened source.
        size: height and width of the decoded images, in pixels.
        target: the file to write.
        progress: whether to show a progress bar.
        accept_damaged: whether damaged JPEGs are taken as far as they can be decoded.
        notes: the numbers of images that were read of which something was guessed or looks wrong,
            by what it is.
    """

    source: Source
    size: tuple[int, int]
    target: Path
    progress: bool
    accept_damaged: bool
    notes: Counter[str] = field(default_factory=Counter)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return images in any order.

        Args:
            indices: the numbers of the images in the source, int64 (n,).

        Returns:
            The images, uint8 (n, H, W, 3), a memory map, and their digests, uint8 (n, 16).

        Raises:
            DataError: an image cannot be read.
        """
        order = np.argsort(indices, kind="stable")
        x, digests, readable = self.read_readable(indices[order])
        if len(readable) < len(indices):
            lost = np.setdiff1d(np.arange(len(indices)), readable)[0]
            image = self.source[int(indices[order][lost])].id
            raise DataError(f"{image} in {self.source.location} can no longer be read")
        back = np.argsort(order)
        if (back == np.arange(len(back))).all():
            return x, digests
        x[:] = np.asarray(x)[back]
        return x, digests[back]

    def read_readable(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return those images that can be read, and warn of the others.

        Args:
            indices: the numbers of the images in the source, increasing, int64.

        Returns:
            The n images, uint8 (n, H, W, 3), a memory map; their digests, uint8 (n, 16); and the
            positions in `indices` that they have, int64 (n,).

        Raises:
            DataError: none of the images can be read.
        """
        x = durable.mapped_array(self.target, np.uint8, (len(indices), *self.size, 3))
        outcomes = self._decode(indices, x)
        accepted = [outcome for outcome in outcomes if outcome.reason is None]
        if outcomes and not accepted:
            raise DataError(
                f"none of the {len(indices)} images in {self.source.location} can be read"
            )
        _warn_of_rejected(outcomes)
        digests = np.frombuffer(b"".join(outcome.digest for outcome in accepted), np.uint8)
        positions = np.array([outcome.index for outcome in accepted], np.int64)
        return x[: len(accepted)], digests.reshape(-1, DIGEST_BYTES), positions

    def _decode(self, indices: np.ndarray, x: np.ndarray) -> list[Outcome]:
        """Write the images that can be read into the first rows of x, without gaps."""
        outcomes: list[Outcome] = []
        stream = load(
            Subset(self.source, indices), self.size, RESIZE, INTERPOLATION, _BATCH,
            accept_damaged=self.accept_damaged,
        )  # fmt: skip
        count = 0
        with closing(stream), progress_bar(len(indices), 0, "image", self.progress) as bar:
            bar.set_description_str("reading", refresh=False)
            for batch in stream:
                rows = batch.accepted
                x[count : count + len(rows)] = batch.pixels[rows]
                count += len(rows)
                outcomes.extend(batch.outcomes)
                self.notes.update(note for outcome in batch.outcomes for note in outcome.notes)
                bar.update(len(batch.outcomes))
        x.flush()  # type: ignore[attr-defined] # a memory map
        return outcomes


def digest_of(digests: np.ndarray) -> str:
    """Return one hex digest of the digests of images, uint8 (n, 16), in their order."""
    return hashlib.blake2b(digests.tobytes(), digest_size=DIGEST_BYTES).hexdigest()


def _warn_of_rejected(outcomes: Sequence[Outcome]) -> None:
    rejected = [outcome for outcome in outcomes if outcome.reason is not None]
    if rejected:
        common = Counter(outcome.reason for outcome in rejected).most_common(3)
        log.warning(
            "%d of %d images cannot be read (%s) and are left out", len(rejected),
            len(outcomes), "; ".join(f"{count} x {reason}" for reason, count in common),
        )  # fmt: skip
