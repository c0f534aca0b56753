"""The progress of a run: the finished candidates, and what the current one is doing."""

import logging
from typing import Any

from features.processes.progress import progress_bar
from features.text import in_line


class Bar:
    """A progress bar on standard error; our log messages are printed above it.

    Args:
        total: the number of units.
        shown: whether the bar is drawn.
        unit: the name of what is counted.
    """

    def __init__(self, total: int, shown: bool, unit: str = "candidate") -> None:
        self._total, self._shown, self._unit, self._title = total, shown, unit, ""

    def __enter__(self) -> "Bar":
        from tqdm.contrib.logging import logging_redirect_tqdm

        self._bar = progress_bar(self._total, 0, self._unit, self._shown)
        self._above = logging_redirect_tqdm([logging.getLogger("offshelf")])
        self._above.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._above.__exit__(*exc)
        self._bar.close()

    def begin(self, title: str) -> None:
        """Show which candidate is being made now."""
        self._title = title
        self.say("")

    def end(self) -> None:
        """Count the current candidate as finished."""
        self._bar.update()

    def say(self, text: str) -> None:
        """Show in a few words what is being done for the current candidate."""
        shown = in_line(": ".join(filter(None, (self._title, text))))
        self._bar.set_postfix_str(shown, refresh=False)
        self._bar.update(0)
