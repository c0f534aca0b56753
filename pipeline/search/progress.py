"""How far a run is: candidates that are done, and what the one in work is doing."""

import logging
from typing import Any

from features.progress import progress_bar


class Bar:
    """A progress bar in candidates, on standard error; messages of ours go above it.

    Args:
        total: how many candidates there are.
        shown: or whether nothing is drawn.
        unit: what is counted, if not candidates.
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
        """Say which candidate is in work."""
        self._title = title
        self.say("")

    def end(self) -> None:
        """Count the candidate in work as done."""
        self._bar.update()

    def say(self, text: str) -> None:
        """Say what is being done."""
        self._bar.set_postfix_str(": ".join(filter(None, (self._title, text))), refresh=False)
        self._bar.update(0)
