"""What a run that is stopped says: what is kept, and how to go on."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger("offshelf")


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
