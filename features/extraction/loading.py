"""Batches of pixels from a source, read and decoded by threads ahead of their use."""

import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from features.arguments import check_choice
from features.config import INTERPOLATIONS, RESIZES, ExtractConfig
from features.decoding import DecodingMemory, Fit, RejectedImage, decode, fit_for
from features.errors import DataError, UsageError
from features.extraction.watch import Watch
from features.processes.cpus import available_cpus
from features.processes.stopping import end_threads
from features.records import Batch, Outcome
from features.remote.location import is_remote
from features.sources.base import Source
from features.sources.blocks import Block, Span, runs
from features.sources.files import MAX_BYTES

Content = bytes | np.ndarray | OSError

PREFETCH = 2  # batches that are loaded beyond the one in use; it bounds the memory

_NO_FILE = "-1"  # the extent of an image that was no regular file when the source was listed


def load(
    source: Source,
    size: tuple[int, int],
    resize: str,
    interpolation: str,
    batch_size: int,
    start: int = 0,
    stop: int | None = None,
    exact: bool = True,
    accept_damaged: bool = False,
    decode_memory: float = ExtractConfig.decode_memory,
    watch: Watch | None = None,
) -> Generator[Batch, None, None]:
    """Yield the images `start` to `stop` of a source in order, in batches of `batch_size`.

    The batches do not depend on the number of threads. An image that cannot be read or decoded is
    an outcome with a reason. Closing the generator ends its threads, but for one that decodes for
    longer than a second: it ends with its image.

    Args:
        source: the images.
        size: height and width of the pixels.
        resize: "stretch" or "crop", as in `decoding.fit`.
        interpolation: as in `decoding.fit`.
        batch_size: images a batch; the last one may hold fewer, its `pixels` have the same shape.
        start: index of the first image.
        stop: one past the index of the last image; None goes on to the end.
        exact: decode JPEGs at full scale; else at the smallest of 1/2, 1/4 and 1/8 that leaves at
            least twice the longer side of `size` on both sides.
        accept_damaged: take damaged JPEGs, as in `decoding.decode`.
        decode_memory: the GiB that decoding may take, all threads together; the files of large
            images may take half a GiB beside it. An image that needs more is rejected.
        watch: notes which images are decoded, and rejects those that are known to end processes.

    Raises:
        UsageError: an argument has a wrong value.
        DataError: the source, or a file of it, has vanished since it was listed. The rest may be
            about to vanish too, and its images must not be rejected as bad ones.
    """
    check_choice(resize, "resize", RESIZES)
    check_choice(interpolation, "interpolation", INTERPOLATIONS)
    if min(*size, batch_size) < 1 or start < 0:
        raise UsageError(
            f"size {size}, batch size {batch_size}, start {start}: expected at least 1 (start: 0)"
        )
    stop = len(source) if stop is None else min(stop, len(source))
    job = _Job(
        source, size, resize, interpolation, exact, accept_damaged,
        watched=not is_remote(source.location) and _exists(source.location),
        order=_Order(start),
        pixels=DecodingMemory(int(decode_memory * 2**30)),
        fit=fit_for(len(source)),  # it is loaded in parts by workers, and when work is taken up
        watch=watch,
    )  # fmt: skip
    return _batches(job, range(start, stop, batch_size), stop)


@dataclass(frozen=True)
class _Job:
    """The settings of one call of `load`, and the flag that stops its threads."""

    source: Source
    size: tuple[int, int]
    resize: str
    interpolation: str
    exact: bool
    accept_damaged: bool
    watched: bool  # False for a pattern of shards, which has no one path that could vanish
    pixels: DecodingMemory
    fit: Fit
    order: "_Order"
    watch: Watch | None
    contents: DecodingMemory = field(default_factory=lambda: DecodingMemory(MAX_BYTES))
    stopped: threading.Event = field(default_factory=threading.Event)

    def read(self, images: range, span: Span | None = None) -> dict[int, Content]:
        """Return the content of images, by index, or the errors that came instead.

        It waits for the memory that they take; `give_back` gives that back.

        Args:
            images: the images.
            span: where they lie, if one request brings them.

        Raises:
            DataError: the source, or an image's file, has vanished.
        """
        in_turn = self.source.reading_threads > 0
        if in_turn:
            self.order.wait(images.start)
        for index in images:
            self.contents.take(self._size(index))
        if in_turn:
            self.order.next(len(images))
        try:
            read = self.source.read if span is None else partial(self.source.read_from, Block(span))
            return {index: self._tried(read, index) for index in images}
        except BaseException:
            for index in images:
                self.give_back(index)
            raise

    def _tried(self, read: Callable[[int], bytes | np.ndarray], index: int) -> Content:
        try:
            return read(index)
        except OSError as error:
            if self.watched and not _exists(self.source.location):
                raise DataError(f"the source {self.source.location} has vanished") from None
            if isinstance(error, FileNotFoundError) and self.source.extent(index) != _NO_FILE:
                image = self.source[index].id
                raise DataError(f"{image} has gone from {self.source.location}") from None
            return error

    def give_back(self, index: int) -> None:
        """Say that an image's content is no longer needed."""
        self.contents.give_back(self._size(index))

    def _size(self, index: int) -> int:
        return min(self.source.size(index), self.contents.limit)

    def stop(self) -> None:
        """Let the threads end."""
        self.stopped.set()
        self.order.close()
        self.pixels.close()
        self.contents.close()

    def decode(self, index: int, content: Content, pixels: np.ndarray) -> Outcome:
        """Write an image into its row, uint8 (height, width, 3), and return the outcome."""
        if isinstance(content, OSError):
            return Outcome(index, b"", f"cannot be read: {content.strerror or content}")
        digest = self.source.digest_of(index, content)
        if self.watch is None:
            return self._decode(index, digest, content, pixels)
        if (reason := self.watch.reasons.get(digest)) is not None:
            return Outcome(index, digest, reason)
        with self.watch.decoding(self.source[index].id):
            return self._decode(index, digest, content, pixels)

    def _decode(
        self, index: int, digest: bytes, content: bytes | np.ndarray, pixels: np.ndarray
    ) -> Outcome:
        notes: list[str] = []
        try:
            at_least = None if self.exact else 2 * max(self.size)
            with self.pixels.turn() as take:
                image = decode(content, at_least, self.accept_damaged, notes, take)
                pixels[:] = self.fit(image, self.size, self.resize, self.interpolation)
        except RejectedImage as error:
            return Outcome(index, digest, str(error))
        except MemoryError:
            return Outcome(index, digest, "decoding it takes more memory than there is")
        return Outcome(index, digest, None, tuple(notes))


class _Order:
    """The order in which readers take memory: that of the images.

    Else later images could hold all of it, and wait for an earlier one that waits for them.
    """

    def __init__(self, start: int) -> None:
        self._next, self._is_open = start, True
        self._changed = threading.Condition()

    def wait(self, index: int) -> None:
        """Wait until all images before `index` have their memory."""
        with self._changed:
            self._changed.wait_for(lambda: self._next == index or not self._is_open)

    def next(self, count: int) -> None:
        """Let the image that follows `count` more take its memory."""
        with self._changed:
            self._next += count
            self._changed.notify_all()

    def close(self) -> None:
        """Let all go on that wait."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()


class _Loading:
    """One batch that is being loaded.

    Each thread takes every n-th image, so that together they go through the source in order.
    """

    def __init__(
        self, job: _Job, indices: range, batch_size: int, threads: int, pools: "_Pools"
    ) -> None:
        self.job, self.indices = job, indices
        self.pixels = np.zeros((batch_size, *job.size, 3), np.uint8)
        self.contents: dict[int, Future[dict[int, Content]]] = {}
        if job.source.sequential or job.source.reading_threads:
            for images, span in runs(job.source, indices):
                reading = pools.reader.submit(job.read, images, span)
                self.contents |= dict.fromkeys(images, reading)
        shares = [range(first, len(indices), threads) for first in range(threads)]
        self.shares = [pools.decoders.submit(self._decode, rows) for rows in shares if rows]

    def _decode(self, rows: range) -> list[Outcome]:
        outcomes = []
        for row in rows:
            if self.job.stopped.is_set():
                break
            index = self.indices[row]
            outcomes.append(self._outcome(row, index))
        return outcomes

    def _outcome(self, row: int, index: int) -> Outcome:
        reading = self.contents.pop(index, None)
        contents = reading.result() if reading else self.job.read(range(index, index + 1))
        content = contents.pop(index)  # it may be large
        del reading, contents
        try:
            return self.job.decode(index, content, self.pixels[row])
        finally:
            self.job.give_back(index)

    def result(self) -> Batch:
        """Return the batch when all of its images are done."""
        outcomes = [outcome for share in self.shares for outcome in share.result()]
        outcomes.sort(key=lambda outcome: outcome.index)
        return Batch(self.indices.start, self.pixels, tuple(outcomes))


@dataclass(frozen=True)
class _Pools:
    """The threads; readers serve sources that must be read in order, by one, or are remote."""

    decoders: ThreadPoolExecutor
    reader: ThreadPoolExecutor


def _batches(job: _Job, starts: range, stop: int) -> Generator[Batch, None, None]:
    threads = available_cpus()
    readers = 1 if job.source.sequential else max(1, job.source.reading_threads)
    pools = _Pools(ThreadPoolExecutor(threads, "decode"), ThreadPoolExecutor(readers, "read"))
    ahead = max(PREFETCH, -(-2 * readers // starts.step)) if readers > 1 else PREFETCH
    under_way: deque[_Loading] = deque()
    with job.watch.noting() if job.watch else nullcontext():
        try:
            for start in starts:
                indices = range(start, min(start + starts.step, stop))
                under_way.append(_Loading(job, indices, starts.step, threads, pools))
                if len(under_way) > ahead:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            job.stop()
            end_threads(pools.reader, pools.decoders)


def _exists(location: Path) -> bool:
    try:
        location.stat()
    except OSError:
        return False
    return True
