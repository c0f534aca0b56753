"""Arrays beside a record, in `.npz` files whose checksum it has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from features.disk import durable
from features.errors import DataError
from features.processes.packages import sha256_of
from features.sources.npz import read_arrays
from features.text import for_terminal

T = TypeVar("T")


def facts_of(path: Path) -> dict[str, Any]:
    """Return what a record keeps of a file: {"file", "bytes", "sha256"}."""
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def write(path: Path, content: bytes) -> dict[str, Any]:
    """Write a file durably; return its `facts_of`."""
    durable.write(path, content)
    return facts_of(path)


def read(
    path: Path, facts: dict[str, Any], remedy: str, make: Callable[[dict[str, np.ndarray]], T]
) -> T:
    """Return what is made of the arrays in a file.

    Args:
        path: the file.
        facts: what `write` returned.
        remedy: what to do where the file is not as it was written.
        make: takes the arrays by name; raises ValueError or LookupError where they are others.

    Raises:
        DataError: the file is missing, has changed, or cannot be read.
    """
    if not path.is_file() or sha256_of(path) != facts.get("sha256"):
        raise DataError(f"{path} is missing or has changed; {remedy}")
    try:
        return make(read_arrays(path.read_bytes()))
    except (OSError, ValueError, LookupError) as error:
        raise DataError(f"{path} cannot be read: {for_terminal(str(error), 300)}") from None
