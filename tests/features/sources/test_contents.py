"""Digests of large images of a compressed archive hold few of them at a time."""

import time
import weakref
from unittest.mock import patch

import numpy as np

from features.sources import contents


class Large:
    """A source whose images are arrays that are counted while they are held."""

    sequential, reading_threads = True, 1

    def __init__(self) -> None:
        self.held, self.most = weakref.WeakSet(), 0

    def read(self, index: int) -> np.ndarray:
        image = np.full(1000, index, np.uint8).view(_Counted)
        self.held.add(image)
        self.most = max(self.most, len(self.held))
        return image


class _Counted(np.ndarray):
    __hash__ = object.__hash__  # type: ignore[assignment]


def slowly(image: np.ndarray) -> bytes:
    time.sleep(0.1)
    return bytes(15) + image[:1].tobytes()


def test_few_large_images_are_held_at_a_time():
    source = Large()
    with (
        patch.object(contents, "_GROUP_BYTES", 1000),
        patch.object(contents, "_HELD_BYTES", 3000),
        patch.object(contents, "available_cpus", lambda: 16),
        patch.object(contents, "digest_of", slowly),
    ):
        digests = contents.digest_contents(source, range(40))
    assert len(np.unique(digests, axis=0)) == 40
    assert source.most <= 6, "those under way, the one that was read, and the next one"
