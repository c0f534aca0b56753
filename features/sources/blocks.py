"""Images that lie one behind the other in a remote file, of which one request brings several."""

from collections.abc import Iterator
from io import SEEK_SET, BytesIO
from typing import NamedTuple, Protocol

from features.errors import DataError
from features.remote.location import RemotePath

MOST_BYTES = 2**20  # of a block of several images: so many wait for one that is asked for first
MOST_GAP = 2**16  # bytes between two images that are brought along and not used


class Span(NamedTuple):
    """Where something lies in a remote file.

    Attributes:
        path: the file, as it was when it was listed.
        start: its first byte.
        stop: one past its last byte; a few more that do not belong to it do no harm.
    """

    path: RemotePath
    start: int
    stop: int

    def joined(self, following: "Span | None") -> "Span | None":
        """Return the span of both, None where they are not worth one request."""
        if following is None or following.path != self.path:
            return None
        stop = max(self.stop, following.stop)
        is_near = self.start <= following.start <= self.stop + MOST_GAP
        return (
            Span(self.path, self.start, stop)
            if is_near and stop - self.start <= MOST_BYTES
            else None
        )


class Block(BytesIO):
    """The bytes of a span, which are found at the places that they have in the file."""

    def __init__(self, span: Span) -> None:
        """Ask for the bytes; DataError where the file has gone, has changed or is not given."""
        try:
            with span.path.open() as file:
                file.seek(span.start)
                super().__init__(file.read(span.stop - span.start))
        except FileNotFoundError:
            raise DataError(f"{span.path} has vanished while it was read") from None
        self._start = span.start

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        return super().seek(offset - self._start if whence == SEEK_SET else offset, whence)


class Spread(Protocol):
    """The side of a `Source` that is needed here."""

    def span(self, index: int) -> Span | None:
        """Return where an image lies."""


def runs(source: Spread, indices: range) -> Iterator[tuple[range, Span | None]]:
    """Yield the parts of `indices` that one request brings, each with its span.

    An image that lies in no remote file, or in none with others beside it, is a part of its own,
    without a span.
    """
    first = indices.start
    span = source.span(first)
    for index in indices[1:]:
        following = source.span(index)
        if span is not None and (joined := span.joined(following)):
            span = joined
            continue
        yield range(first, index), span if index - first > 1 else None
        first, span = index, following
    yield range(first, indices.stop), span if indices.stop - first > 1 else None
