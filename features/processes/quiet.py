"""Imports of packages that would print on standard error, or report to their makers."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from features.errors import MissingPackageError


def quiet_import(name: str) -> ModuleType:
    """Import and return a module; whatever it prints on file descriptor 2 is lost.

    TensorFlow's C++ code writes there, past every setting of Python's. Errors that the import
    raises are raised as ever.
    """
    if (module := sys.modules.get(name)) is not None:
        return module
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silenced(2):
        module = import_module(name)
    # TensorFlow advises its programmers there, such as on functions that are traced again.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return module


def keras_here(who: str = "a network") -> ModuleType:
    """Return Keras.

    Args:
        who: what needs Keras, for the message.

    Raises:
        MissingPackageError: Keras, or its backend, is not installed.
    """
    try:
        keras = quiet_import("keras")
    except ImportError as error:
        reason = str(error).partition("\n")[0]
        raise MissingPackageError(
            f"{who} needs Keras and a backend ({reason}); `pip install tensorflow` brings one, "
            "or name one that is installed: KERAS_BACKEND=jax"
        ) from None
    # On its other backends Keras imports TensorFlow later, where there is one, to ask for types.
    if keras.config.backend() != "tensorflow" and find_spec("tensorflow") is not None:
        with contextlib.suppress(ImportError):  # Keras does without one that is broken
            quiet_import("tensorflow")
    return keras


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


def import_without(hidden: str, name: str) -> ModuleType:
    """Import and return a module while the package `hidden`, which it can do without, is hidden."""
    before = sys.modules.get(hidden)
    sys.modules[hidden] = None  # type: ignore[assignment] # makes importing it fail
    try:
        return import_module(name)
    finally:
        del sys.modules[hidden]
        if before is not None:
            sys.modules[hidden] = before
