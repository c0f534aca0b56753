"""Why an image is not taken: one short reason, whatever its decoder raises."""

from collections.abc import Iterator
from contextlib import contextmanager

from features.errors import DataError
from features.text import reason_of


class RejectedImage(DataError):  # noqa: N818 - it names an outcome, not a failure
    """An image cannot be decoded; the message is a short reason without the image's path."""


@contextmanager
def rejecting() -> Iterator[None]:
    """Turn what a decoder raises into a RejectedImage."""
    try:
        yield
    except (RejectedImage, MemoryError):
        raise
    except Exception as error:  # a hostile file makes a decoder raise almost anything
        reason = reason_of(error, 120)
        raise RejectedImage(f"cannot be decoded: {reason}") from None
