"""The digest of every image of a source: what its content is, whatever its name and size."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np

from features.processes.cpus import available_cpus
from features.processes.stopping import end_threads
from features.records import DIGEST_BYTES, blake2b

Content = bytes | np.ndarray | None  # None where it cannot be read

_UNREADABLE = bytes(DIGEST_BYTES)
_FILES = 16  # read and digested by one thread at a time
_GROUP_BYTES, _GROUP_IMAGES = 2**22, 256  # digested by one thread at a time where one reads all
_HELD_BYTES = 2**28  # of groups that wait, but for the last one


class Readable(Protocol):
    """The side of a `Source` that is needed here."""

    sequential: bool
    reading_threads: int

    def read(self, index: int) -> bytes | np.ndarray:
        """Return the content of an image; raises OSError."""


def digest_contents(
    source: Readable,
    indices: Sequence[int] | np.ndarray,
    advance: Callable[[int], object] = lambda count: None,
) -> np.ndarray:
    """Read images and digest them, in as many threads as there are CPUs.

    Compressed archives are read by one thread, in order; all else by all threads.

    Args:
        source: the images.
        indices: the numbers of the images, increasing.
        advance: is called with a number of images when they are done.

    Returns:
        BLAKE2b of each image's content, uint8 (n, 16), as `/images/digest` has it; zeros where the
        image cannot be read.
    """
    threads = max(available_cpus(), source.reading_threads)
    under_way: deque[tuple[Future[list[bytes]], int]] = deque()  # with the bytes that it holds
    digests = bytearray()

    def collect(at_most: int) -> None:
        while len(under_way) > at_most or sum(held for _, held in under_way) > _HELD_BYTES:
            done = under_way.popleft()[0].result()
            digests.extend(b"".join(done))
            advance(len(done))

    pool = ThreadPoolExecutor(threads, "digest")
    try:
        if source.sequential:
            for group, size in _groups(_read(source, int(index)) for index in indices):
                under_way.append((pool.submit(_digest, group), size))
                del group
                collect(2 * threads)
        else:
            for start in range(0, len(indices), _FILES):
                files = indices[start : start + _FILES]
                under_way.append((pool.submit(_read_and_digest, source, files), 0))
                collect(1000)
        collect(0)
    finally:
        end_threads(pool)
    return np.frombuffer(digests, np.uint8).reshape(-1, DIGEST_BYTES)


def _groups(contents: Iterable[Content]) -> Iterator[tuple[list[Content], int]]:
    """Yield images in groups, each with its bytes."""
    group: list[Content] = []
    size = 0
    for content in contents:
        group.append(content)
        size += content.nbytes if isinstance(content, np.ndarray) else len(content or b"")
        if size >= _GROUP_BYTES or len(group) >= _GROUP_IMAGES:
            yield group, size
            group, size = [], 0
    if group:
        yield group, size


def _read(source: Readable, index: int) -> Content:
    try:
        return source.read(index)
    except OSError:
        return None


def _read_and_digest(source: Readable, indices: Sequence[int] | np.ndarray) -> list[bytes]:
    return [digest for index in indices for digest in _digest([_read(source, int(index))])]


def _digest(contents: list[Content]) -> list[bytes]:
    return [_UNREADABLE if content is None else digest_of(content) for content in contents]


def digest_of(content: bytes | np.ndarray) -> bytes:
    """Return the 16-byte BLAKE2b of the bytes of a file, or of the pixels of an array."""
    return blake2b(content if isinstance(content, bytes) else np.ascontiguousarray(content).data)
