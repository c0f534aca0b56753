"""Batches of pixels from a source, read and decoded by threads ahead of their use."""

import os
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from features.config import INTERPOLATIONS, RESIZES
from features.decoding import RejectedImage, decode, fit
from features.errors import DataError, UsageError, unknown_name
from features.records import Batch, Outcome, blake2b
from features.sources.base import Source

Content = bytes | np.ndarray | OSError

_NO_FILE = "-1"  # the extent of what was no regular file when the source was listed


def load(
    source: Source,
    size: tuple[int, int],
    resize: str,
    interpolation: str,
    batch_size: int,
    start: int = 0,
    stop: int | None = None,
    threads: int | None = None,
    prefetch: int = 2,
    exact: bool = True,
) -> Generator[Batch, None, None]:
    """Yield the images `start` to `stop` of a source in order, in batches of `batch_size`.

    The same images give the same batches whatever the number of threads. An image that cannot
    be read or decoded is an outcome with a reason. Closing the generator ends its threads.

    Args:
        source: where the images are.
        size: height and width of the pixels.
        resize: "stretch" or "crop", as in `decoding.fit`.
        interpolation: as in `decoding.fit`.
        batch_size: images a batch; the last one may hold fewer, its `pixels` have the same shape.
        start: index of the first image.
        stop: one past the index of the last image; None goes on to the end.
        threads: how many read and decode; None takes one for each CPU this process may use.
        exact: decode JPEGs at full scale; else at the smallest of 1/2, 1/4 and 1/8 that leaves at
            least twice the longer side of `size` on both sides.
        prefetch: how many batches are made ready beyond the one in use; it bounds the memory.

    Raises:
        UsageError: an argument cannot be meant.
        DataError: the source, or a file of it, has vanished since it was listed. It may be about
            to vanish as a whole, and its images are not to be taken for bad ones.
    """
    for kind, name, known in (
        ("resize", resize, RESIZES),
        ("interpolation", interpolation, INTERPOLATIONS),
    ):
        if name not in known:
            raise unknown_name(kind, name, list(known))
    threads = available_cpus() if threads is None else threads
    if min(*size, batch_size, threads) < 1 or min(start, prefetch) < 0:
        raise UsageError(
            f"size {size}, batch size {batch_size}, {threads} threads, start {start}, prefetch "
            f"{prefetch}: expected at least 1 (start and prefetch: 0)"
        )
    stop = len(source) if stop is None else min(stop, len(source))
    job = _Job(source, size, resize, interpolation, exact, watched=_is_there(source.location))
    return _batches(job, range(start, stop, batch_size), stop, threads, prefetch)


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class _Job:
    """What is the same for all images of one call."""

    source: Source
    size: tuple[int, int]
    resize: str
    interpolation: str
    exact: bool
    watched: bool  # a pattern of shards has no one place that can vanish
    stopped: threading.Event = field(default_factory=threading.Event)

    def read(self, index: int) -> Content:
        """Return an image's content, or the error instead of it."""
        try:
            return self.source.read(index)
        except OSError as error:
            if self.watched and not _is_there(self.source.location):
                raise DataError(f"the source {self.source.location} has vanished") from None
            if isinstance(error, FileNotFoundError) and self.source.extent(index) != _NO_FILE:
                image = self.source[index].id
                raise DataError(f"{image} has gone from {self.source.location}") from None
            return error

    def read_all(self, indices: range) -> list[Content]:
        """Return the contents of images that are to be read in order."""
        return [self.read(index) for index in indices if not self.stopped.is_set()]

    def decode(self, index: int, content: Content, pixels: np.ndarray) -> Outcome:
        """Write an image into its row, uint8 (height, width, 3), and tell what became of it."""
        if isinstance(content, OSError):
            return Outcome(index, b"", f"cannot be read: {content.strerror or content}")
        digest = blake2b(content if isinstance(content, bytes) else content.tobytes())
        try:
            at_least = None if self.exact else 2 * max(self.size)
            pixels[:] = fit(decode(content, at_least), self.size, self.resize, self.interpolation)
        except RejectedImage as error:
            return Outcome(index, digest, str(error))
        return Outcome(index, digest)


class _Loading:
    """One batch on its way.

    Each thread takes every n-th image, so that together they go through the source in order.
    """

    def __init__(
        self, job: _Job, indices: range, batch_size: int, threads: int, pools: "_Pools"
    ) -> None:
        self.job, self.indices = job, indices
        self.pixels = np.zeros((batch_size, *job.size, 3), np.uint8)
        self.contents = (
            pools.reader.submit(job.read_all, indices) if job.source.sequential else None
        )
        shares = [range(first, len(indices), threads) for first in range(threads)]
        self.shares = [pools.decoders.submit(self._decode, rows) for rows in shares if rows]

    def _decode(self, rows: range) -> list[Outcome]:
        outcomes = []
        for row in rows:
            if self.job.stopped.is_set():
                break
            index = self.indices[row]
            content = self.contents.result()[row] if self.contents else self.job.read(index)
            outcomes.append(self.job.decode(index, content, self.pixels[row]))
        return outcomes

    def result(self) -> Batch:
        """Wait for the batch."""
        outcomes = [outcome for share in self.shares for outcome in share.result()]
        outcomes.sort(key=lambda outcome: outcome.index)
        return Batch(self.indices.start, self.pixels, tuple(outcomes))


@dataclass(frozen=True)
class _Pools:
    """The threads; the single reader is for sources that must be read in order."""

    decoders: ThreadPoolExecutor
    reader: ThreadPoolExecutor


def _batches(
    job: _Job, starts: range, stop: int, threads: int, prefetch: int
) -> Generator[Batch, None, None]:
    pools = _Pools(ThreadPoolExecutor(threads, "decode"), ThreadPoolExecutor(1, "read"))
    under_way: deque[_Loading] = deque()
    try:
        for start in starts:
            indices = range(start, min(start + starts.step, stop))
            under_way.append(_Loading(job, indices, starts.step, threads, pools))
            if len(under_way) > prefetch:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        job.stopped.set()
        for pool in (pools.reader, pools.decoders):
            pool.shutdown(cancel_futures=True)


def _is_there(location: Path) -> bool:
    try:
        location.stat()
    except OSError:
        return False
    return True
