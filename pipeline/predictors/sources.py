"""The new images that a user names: a source, single files, or a list of paths."""

import sys
from pathlib import Path

from features.errors import DataError, UsageError
from features.remote.schemes import scheme_of, shown
from features.sources import is_source, open_source
from features.sources.base import Source, Subset
from features.sources.memory import MemorySource

STANDARD_INPUT = "-"


def open_images(paths: tuple[str, ...], limit: int | None = None) -> Source:
    """Return the images that paths name, in the order in which they are given.

    Args:
        paths: one source, as `extract` takes it; paths of image files; or "-", which stands for
            paths on standard input, a line each.
        limit: take that many images only, evenly spread.

    Raises:
        UsageError: there is nothing at a path, or a source stands beside other paths.
        DataError: there are no images.
    """
    if paths == (STANDARD_INPUT,):
        paths = tuple(line.rstrip("\r\n") for line in sys.stdin if line.strip())
        if not paths:
            raise DataError("no path came on standard input; expected a line for each image")
    elif len(paths) == 1 and (scheme_of(paths[0]) or is_source(Path(paths[0]))):
        return open_source(paths[0], limit)
    for path in paths:
        if scheme_of(path):
            raise UsageError(
                f"{shown(path)} stands beside other paths; name one source alone, or a manifest of "
                "URLs"
            )
        if Path(path).is_dir() or is_source(Path(path)):
            raise UsageError(f"{path} is a source of many images; name it alone")
        if not Path(path).exists():
            raise UsageError(f"there is nothing at {path}; expected an image file")
    source = MemorySource(list(paths))
    if limit is None or limit >= len(source):
        return source
    import numpy as np

    return Subset(source, np.arange(limit, dtype=np.int64) * len(source) // limit)
