"""The memory that decoding may take, all threads together; who needs more than is free waits."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from features.config import ExtractConfig
from features.decoding.rejection import RejectedImage

Take = Callable[[int], None]  # waits until so many bytes are free, and takes them


class DecodingMemory:
    """Bytes that threads take before they read or decode an image, and give back behind it.

    What is larger than all of it is rejected. Large images wait until enough others are done.
    """

    def __init__(self, limit: int) -> None:
        """Keep the number of bytes that may be taken at a time."""
        self.limit = limit
        self._taken, self._is_open = 0, True
        self._changed = threading.Condition()

    @contextmanager
    def turn(self) -> Iterator[Take]:
        """Give a function that takes bytes for the time of the context; it is called once at most.

        It raises RejectedImage where they are more than there are.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if count > self.limit:
                raise RejectedImage(
                    f"decoding it takes {count / 2**30:.1f} GiB of memory, more than the "
                    f"{self.limit / 2**30:g} GiB of decode-memory"
                )
            self.take(count)
            taken = count

        try:
            yield take
        finally:
            self.give_back(taken)

    def take(self, count: int) -> None:
        """Wait until `count` bytes are free, or nothing is taken, and take them."""
        with self._changed:
            self._changed.wait_for(
                lambda: not (self._taken and self._is_open and self._taken + count > self.limit)
            )
            self._taken += count

    def give_back(self, count: int) -> None:
        """Give back what was taken."""
        with self._changed:
            self._taken -= count
            self._changed.notify_all()

    def close(self) -> None:
        """Let all go on that wait: what they wait for may not come."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()


# What is decoded outside of `loading` takes from this.
SHARED = DecodingMemory(int(ExtractConfig.decode_memory * 2**30))
