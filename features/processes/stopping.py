"""A run that is stopped: what it says, and the threads that it does not wait for."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NoReturn

log = logging.getLogger("offshelf")

GRACE = 1.0  # seconds in which threads may end what they do


@contextmanager
def saying_how_to_go_on(advice: Callable[[], str]) -> Iterator[None]:
    """Log what is kept and how to go on at Ctrl-C or SIGTERM, unless a part of the run has done so.

    Args:
        advice: returns what is to be said, such as "the same command begins again".
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if not hasattr(stop, "__notes__"):
            text = advice()
            stop.add_note(text)
            log.warning("stopped: %s", text)
        raise


def end_threads(*pools: ThreadPoolExecutor) -> None:
    """Cancel what waits in pools, and wait for what runs, but no longer than `GRACE`.

    A decoder cannot be interrupted. What it gives later is given to nobody.
    """
    for pool in pools:
        pool.shutdown(wait=False, cancel_futures=True)

    def wait() -> None:
        for pool in pools:
            pool.shutdown()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(GRACE)


def end_process(code: int) -> NoReturn:
    """End this process, also where threads are at work that nobody waits for any more."""
    if any(thread.is_alive() and not thread.daemon for thread in threading.enumerate()[1:]):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    sys.exit(code)
