"""Decoding with images that crash it: real crashes, of real processes.

`python -m tests.features.faults.crashing extract ...` is the command with such a decoder, and with
the network of `stub`. An image crashes it when its bytes end with a mark and the name of a signal.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import features.decoding
from features.decoding import trial
from pipeline.commands.main import run_and_end
from tests.features.faults import stub

MARK = b"crash by "
_decode = features.decoding.decode


def spoil(image: Path, by: str = "SIGSEGV") -> None:
    """Have an image crash what decodes it; other decoders do not mind what stands behind it."""
    image.write_bytes(image.read_bytes() + MARK + by.encode())


def decode(content: Any, *arguments: Any) -> Any:
    if isinstance(content, bytes) and MARK in content[-20:]:
        number = getattr(signal, content.rpartition(MARK)[2].decode())
        signal.pthread_kill(threading.get_ident(), number)  # to this thread, as a crash is
    return _decode(content, *arguments)


def serve() -> None:
    """Serve as `trial.serve` does."""
    with patch("features.decoding.trial.decode", decode):
        trial.serve()


@contextmanager
def crashing(module: str = "features.extraction.loading") -> Iterator[None]:
    """Have images crash processes: that for trials, and this one unless another module is named."""
    start = "from tests.features.faults.crashing import serve; serve()"
    with patch(f"{module}.decode", decode), patch("features.decoding.trial._START", start):
        yield


if __name__ == "__main__":
    with crashing(), stub.stubbed():
        sys.argv += stub.ARGUMENTS
        run_and_end()
