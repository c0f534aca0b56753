"""Progress on standard error."""

import sys
from typing import Any


def progress_bar(total: int, done: int, unit: str, shown: bool) -> Any:
    """Return a tqdm bar with a rate and an ETA; nothing is drawn unless it is shown."""
    from tqdm import tqdm

    # In a log file every refresh is a line, so there they come rarely.
    interval = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(
        total=total, initial=done, unit=unit, mininterval=interval, disable=not shown,
        dynamic_ncols=True, smoothing=0.1,
    )  # fmt: skip
