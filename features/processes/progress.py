"""Progress bars on standard error."""

import sys
from typing import Any


def progress_bar(total: int, done: int, unit: str, shown: bool) -> Any:
    """Return a tqdm bar with a rate and the time that is left.

    Args:
        total: the number of items.
        done: the number of items that are done already.
        unit: what an item is called.
        shown: False returns a bar that draws nothing.
    """
    from tqdm import tqdm

    # In a log file every refresh is a line of its own, so refreshes are rare there.
    interval = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(
        total=total, initial=done, unit=unit, mininterval=interval, disable=not shown,
        dynamic_ncols=True, smoothing=0.1,
    )  # fmt: skip
