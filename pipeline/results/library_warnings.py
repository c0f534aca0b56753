"""What libraries warn of while a candidate is fitted, as its record keeps it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_FOR_PROGRAMMERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
_HARMLESS = "within_class_std_dev_ has at least 1 zero"  # of features that are 0 everywhere
_LONGEST = 300  # characters of a text


@contextmanager
def collected_warnings() -> Iterator[dict[str, None]]:
    """Yield a dict whose keys become the texts of what an analyst should know of, each once."""
    texts: dict[str, None] = {}

    def keep(message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any) -> None:
        text = " ".join(str(message).split())[:_LONGEST]
        if _HARMLESS not in text:
            texts[f"{category.__name__}: {text}"] = None

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        for category in _FOR_PROGRAMMERS:
            warnings.simplefilter("ignore", category)
        warnings.showwarning = keep
        yield texts
