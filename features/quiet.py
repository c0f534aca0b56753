"""Imports without the greetings that TensorFlow's C++ part writes past every Python setting."""

import contextlib
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType


def quiet_import(name: str) -> ModuleType:
    """Import and return a module while file descriptor 2 leads nowhere.

    What the import raises is raised as ever; only what it prints is lost.
    """
    if (module := sys.modules.get(name)) is not None:
        return module
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silenced(2):
        return import_module(name)


@contextlib.contextmanager
def _silenced(descriptor: int) -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(descriptor)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
