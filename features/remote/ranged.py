"""A remote object that is read like a file: by ranges, ahead of its use where it is in order."""

import io
import os
import threading
from collections import deque
from concurrent.futures import Future
from typing import NamedTuple

from features.remote.connections import store_of
from features.remote.facts import Address, Facts

LEAST_BYTES, MOST_BYTES = 2**16, 2**22  # asked for at a time where it is read in order
FIRST_BYTES = 2**20  # the same for what is known from the start to be read in order
_AHEAD = 3  # windows that are fetched while one is used


class _Window(NamedTuple):
    start: int
    stop: int
    content: Future[bytes]


class RangedFile(io.RawIOBase):
    """A remote object, open for reading by one thread at a time.

    What is asked for in order, with gaps that are no longer than a window, is fetched in windows
    that double up to `MOST_BYTES`, the next ones while one is used: so the headers of a tar take
    the time of its transfer, not one round trip each. A read elsewhere fetches what it needs.
    """

    def __init__(self, path: Address, facts: Facts, window: int = 0) -> None:
        """Open the object that has these facts; another one in its place is noticed.

        Args:
            path: the object.
            facts: what is known of it.
            window: bytes to ask for at a time from the beginning on; 0 where it may not be read in
                order.
        """
        super().__init__()
        self._path, self._facts = path, facts
        self._store = store_of(path.scheme)
        self._position, self._window = 0, window
        self._start, self._held = 0, b""
        self._ahead: deque[_Window] = deque()

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, fewer only at the end of the object."""
        left = self._facts.size - self._position
        size = left if size is None or size < 0 else max(0, min(size, left))
        pieces = []
        while size > 0:
            piece = self._piece(size)
            pieces.append(piece)
            size -= len(piece)
            self._position += len(piece)
        return b"".join(pieces)

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type] # any buffer
        content = self.read(len(view))
        view[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._facts.size}
        self._position = max(0, base[whence] + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def _piece(self, size: int) -> bytes:
        """Return some of the next `size` bytes, at least one."""
        offset = self._position - self._start
        if not 0 <= offset < len(self._held):
            self._fetch(size)
            offset = self._position - self._start
        return self._held[offset : offset + size]

    def _fetch(self, size: int) -> None:
        """Hold what is at the position, at least a byte."""
        end = self._start + len(self._held)
        if not (self._window and end <= self._position <= end + self._window):
            self._ahead.clear()
            self._window = LEAST_BYTES
            self._start, self._held = self._position, self._range(self._position, size)
            return
        while self._ahead and self._ahead[0].stop <= self._position:
            self._ahead.popleft()
        start = self._ahead[-1].stop if self._ahead else self._position
        while len(self._ahead) <= _AHEAD and start < self._facts.size:
            self._ahead.append(self._asked(start))
            start = self._ahead[-1].stop
            self._window = min(2 * self._window, MOST_BYTES)
        window = self._ahead.popleft()
        self._start, self._held = window.start, window.content.result()

    def _asked(self, start: int) -> _Window:
        """Begin to fetch a window."""
        coming: Future[bytes] = Future()
        window = _Window(start, min(start + self._window, self._facts.size), coming)

        def fetch() -> None:
            try:
                coming.set_result(self._range(start, window.stop - start))
            except BaseException as error:
                coming.set_exception(error)

        # One that nobody waits for may end late.
        threading.Thread(target=fetch, daemon=True).start()
        return window

    def _range(self, start: int, size: int) -> bytes:
        stop = min(start + size, self._facts.size)
        return self._store.read(self._path, start, stop, self._facts)
