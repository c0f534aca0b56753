"""Images that lie behind URLs: one request for each, and what counts as not there."""

import errno
import threading

from features.remote.attempts import DeniedError, RemoteError
from features.remote.connections import store_of
from features.remote.facts import Facts
from features.remote.location import RemotePath
from features.remote.stores import READERS
from features.sources.files import check_size, read_content

_MOST_UNKNOWN_BYTES = 2**26  # of an image whose size is not known before it is read
_ONE_REQUEST_BYTES = 2**24
_MOST_IN_A_ROW = 2 * READERS  # web servers that cannot be reached, with none between that can


def read_listed(path: RemotePath, facts: Facts) -> bytes:
    """Return the content of an image that a store has listed.

    Raises:
        OSError: it is too large, is large and no image, or has gone.
        DataError: it has changed, or the store does not give it.
    """
    check_size(facts.size)
    if facts.size <= _ONE_REQUEST_BYTES:
        return store_of(path.scheme).read(path, 0, facts.size, facts)
    return read_content(RemotePath(path.url, facts).open(), facts.size)


class UrlReader:
    """Reads images of which nothing but the URL is known.

    Of web servers many may be gone: then their images are rejected, each with a reason. But if none
    can be reached any more, the network is down, and all further images would be rejected wrongly.
    """

    def __init__(self) -> None:
        """Begin to count."""
        self._in_a_row, self._lock = 0, threading.Lock()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Begin to count anew in another process."""
        return type(self), ()

    def read(self, url: str) -> bytes:
        """Return the content behind a URL.

        Raises:
            OSError: it is not there, is too large, or its web server does not give it.
            DataError: a store does not give it, or no web server does any more.
        """
        path = RemotePath(url)
        try:
            content = store_of(path.scheme).read_whole(path, _MOST_UNKNOWN_BYTES)
        except RemoteError as error:
            if path.is_store:
                raise
            if not isinstance(error, DeniedError):
                self._count(error)
            raise OSError(errno.EIO, error.reason) from None
        with self._lock:
            self._in_a_row = 0
        if len(content) > _MOST_UNKNOWN_BYTES:
            raise OSError(errno.EFBIG, f"larger than {_MOST_UNKNOWN_BYTES >> 20} MiB")
        return content

    def _count(self, error: RemoteError) -> None:
        with self._lock:
            self._in_a_row += 1
            if self._in_a_row >= _MOST_IN_A_ROW:
                raise RemoteError(
                    error, f"(and so {self._in_a_row} in a row; is the network there?)"
                )
