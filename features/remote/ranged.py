"""A remote object that is read like a file: by ranges, ahead of its use where it is in order."""

import io
import os
import threading
from concurrent.futures import Future

from features.remote.connections import store_of
from features.remote.facts import Address, Facts

LEAST_BYTES, MOST_BYTES = 2**16, 2**23  # asked for at a time where it is read in order


class RangedFile(io.RawIOBase):
    """A remote object, open for reading by one thread at a time.

    What is asked for in order, with gaps that are no longer than a window, is fetched in windows
    that double up to `MOST_BYTES`, the next one while the last one is used: so the headers of a tar
    take the time of its transfer, not one round trip each. A read elsewhere fetches what it needs.
    """

    def __init__(self, path: Address, facts: Facts) -> None:
        """Open the object that has these facts; another one in its place is noticed."""
        super().__init__()
        self._path, self._facts = path, facts
        self._store = store_of(path.scheme)
        self._position, self._window = 0, LEAST_BYTES
        self._start, self._held = 0, b""
        self._ahead: tuple[int, Future[bytes]] | None = None

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
        end = self._start + len(self._held)
        in_order = bool(self._held) and end <= self._position <= end + self._window
        ahead, self._ahead = self._ahead, None
        if in_order:
            self._window = min(2 * self._window, MOST_BYTES)
            if ahead is not None:
                self._start, self._held = ahead[0], ahead[1].result()
                if self._position >= self._start + len(self._held):
                    self._take(self._position, max(size, self._window))
            else:
                self._take(self._position, max(size, self._window))
            self._look_ahead()
        else:
            self._window = LEAST_BYTES
            self._take(self._position, size)

    def _take(self, start: int, size: int) -> None:
        self._start, self._held = start, self._range(start, size)

    def _look_ahead(self) -> None:
        """Begin to fetch what follows."""
        start = self._start + len(self._held)
        if start >= self._facts.size:
            return
        coming: Future[bytes] = Future()

        def fetch() -> None:
            try:
                coming.set_result(self._range(start, self._window))
            except BaseException as error:
                coming.set_exception(error)

        self._ahead = start, coming
        threading.Thread(
            target=fetch, daemon=True
        ).start()  # one that nobody waits for may end late

    def _range(self, start: int, size: int) -> bytes:
        stop = min(start + size, self._facts.size)
        return self._store.read(self._path, start, stop, self._facts)
