"""The store behind a scheme, connected once in each process."""

import os
from functools import cache
from importlib import import_module

from features.errors import MissingPackageError
from features.remote.azure import AzureStore
from features.remote.google import GoogleStore
from features.remote.schemes import SCHEMES
from features.remote.stores import S3Store, Store
from features.remote.web import Web


def store_of(scheme: str) -> Store:
    """Return the store behind a scheme; MissingPackageError where its package is not installed."""
    return _store(scheme, os.getpid())  # a fork has no thread that asks


@cache
def _store(scheme: str, process: int) -> Store:
    kind = SCHEMES[scheme]
    try:
        import_module("fsspec")
        import_module(kind.module)
    except ImportError:
        raise MissingPackageError(
            f"{scheme}:// needs {kind.module}; `pip install {kind.install}` brings it"
        ) from None
    if not kind.is_store:
        return Web(scheme)
    return {"s3": S3Store, "gs": GoogleStore, "az": AzureStore}.get(scheme, Store)(scheme)
