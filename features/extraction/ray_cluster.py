"""The Ray cluster that computes: at an address, or started on this machine."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from features.config import ExtractConfig
from features.errors import DataError, MissingPackageError
from features.processes.cpus import available_cpus

_STORE_BYTES, _IMAGE_BYTES = 2**27, 2**8  # of a cluster that we start: for it, and for each image
_REACHED_WITHIN = 5.0  # seconds, to connect to the head of a cluster


def check(config: ExtractConfig) -> None:
    """Raise an error, before any work, where Ray is not installed or nobody is at the address.

    Raises:
        MissingPackageError: Ray is not installed.
        DataError: nobody listens at the address.
    """
    if not _ray().is_initialized() and (address := _address(config)):
        _check_reached(address)


def _ray() -> Any:
    os.environ.setdefault("RAY_TQDM_PATCH_PRINT", "0")  # Ray would put its own print in Python's
    try:
        import ray
    except ImportError:
        raise MissingPackageError(
            '--executor ray needs Ray; `pip install "offshelf[ray]"` brings it'
        ) from None
    return ray


def _address(config: ExtractConfig) -> str | None:
    return config.ray_address or os.environ.get("RAY_ADDRESS")  # a submitted job has the latter


@contextmanager
def connected(config: ExtractConfig, images: int) -> Iterator[Any]:
    """Give Ray, connected to the cluster at the address, or to one of this machine alone.

    Args:
        config: the settings.
        images: how many are listed; one of this machine has room for the list.

    Raises:
        MissingPackageError: Ray is not installed.
        DataError: there is no cluster at the address.
    """
    ray, address = _ray(), _address(config)
    if ray.is_initialized():  # by a notebook, whose cluster it is
        yield ray
        return
    settings: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address is None:
        settings |= {
            "num_cpus": available_cpus(), "include_dashboard": False,
            "object_store_memory": _STORE_BYTES + _IMAGE_BYTES * images,
        }  # fmt: skip
    try:
        with _keeping_signals():
            # None would take a cluster that happens to run on this machine.
            ray.init(address=address or "local", **settings)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise DataError(f"no Ray cluster at {address or 'this machine'}: {reason}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _keeping_signals() -> Iterator[None]:
    """Keep our answer to SIGTERM, in whose place Ray puts its own."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _check_reached(address: str) -> None:
    """Raise DataError where nobody listens at an address; Ray would try for a minute."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdigit():
        return  # "auto" and the like
    try:
        socket.create_connection((host, int(port)), timeout=_REACHED_WITHIN).close()
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"no Ray cluster at {address}: {reason}; `ray start --head` starts one"
        ) from None
