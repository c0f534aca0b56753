"""Whole objects on the local disk: what HDF5 and NumPy read lies in a file.

An object is fetched once for each version that the store gives it. What is kept has a checksum,
which is compared once in each process that uses it.
"""

import hashlib
import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from features.disk import durable
from features.errors import DataError
from features.processes.packages import cache_folder, sha256_of, state_of
from features.processes.progress import progress_bar
from features.processes.stopping import end_threads
from features.remote.attempts import telling_repeats
from features.remote.connections import store_of
from features.remote.facts import Facts
from features.remote.location import RemotePath, remote
from features.remote.stores import Store
from features.remote.web import Web

log = logging.getLogger("offshelf")

_RANGE_BYTES, _RANGES = 2**23, 4  # fetched at a time
_MEGABYTE = 10**6
_CHECKSUM = ".sha256"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_TOLD_BYTES = 2**25  # what is smaller is fetched without a bar

_checked: set[tuple[int, ...]] = set()  # states of those that this process has read


def fetched(path: Path | RemotePath, is_hdf5: bool = False) -> Path:
    """Return a path on the local disk with the content of another, which may be remote.

    Args:
        path: a path or a URL.
        is_hdf5: whether it should be an HDF5 file; nothing else is then fetched.

    Raises:
        DataError: the object cannot be read.
        FileNotFoundError: there is none.
    """
    address = remote(path)
    if address is None:
        assert isinstance(path, Path)  # noqa: S101
        return path
    store, facts = store_of(address.scheme), address.stat()
    place = _place(address, facts)
    if facts.version and _is_whole(place, facts):
        return place
    if is_hdf5 and facts.has_ranges:
        _check_signature(store, address, facts)
    log.info("fetching %s (%.1f MB) into %s", address, facts.size / _MEGABYTE, place.parent)
    durable.make_folder(place.parent)
    _remove_others(place)
    with telling_repeats():
        digest = download(address, facts, place)
    _note(place, digest if facts.has_ranges else sha256_of(place))
    return place


def download(address: RemotePath, facts: Facts, place: Path) -> str:
    """Write an object to a file, which is whole or not there; return the SHA-256 of what came.

    Raises:
        DataError: the object cannot be read, or is not the one that the facts are of.
        FileNotFoundError: there is none.
        OSError: the file cannot be written.
    """
    store, digest = store_of(address.scheme), hashlib.sha256()
    with durable.replacing(place) as draft:
        for block in _blocks(store, address, facts, draft):
            digest.update(block)
            draft.write(block)
            draft.check()
    return digest.hexdigest()


def _check_signature(store: Store, address: RemotePath, facts: Facts) -> None:
    if store.read(address, 0, min(len(_HDF5), facts.size), facts) != _HDF5:
        raise DataError(f"{address} is no HDF5 file, and was not fetched")


def keep(local: Path, path: Path) -> None:
    """Keep a file that was put into a store, if the store shows that it has this content.

    The file is gone in any case.
    """
    address = remote(path)
    assert address is not None  # noqa: S101
    facts = address.stat()
    place = _place(address, facts)
    if store_of(address.scheme).is_content_of(local, facts):
        durable.make_folder(place.parent)
        _remove_others(place)
        digest = sha256_of(local)
        durable.disk.rename(local, place)
        _note(place, digest)
    else:
        durable.disk.unlink(local)


def folder_of(address: RemotePath) -> Path:
    """Return the folder of the cache that belongs to an address."""
    key = hashlib.blake2b(str(address).encode(), digest_size=10).hexdigest()
    return cache_folder() / "remote" / f"{key}-{address.stem[:40]}"


def _place(address: RemotePath, facts: Facts) -> Path:
    version = f"{facts.version} {facts.size}"
    key = hashlib.blake2b(version.encode(), digest_size=10).hexdigest()
    return folder_of(address) / f"{key}{address.suffix}"


def _note(place: Path, digest: str) -> None:
    durable.write(place.with_name(place.name + _CHECKSUM), digest.encode())
    _checked.add(state_of(place))


def _is_whole(place: Path, facts: Facts) -> bool:
    """Tell whether an object lies in the cache as it was fetched."""
    try:
        if place.stat().st_size != facts.size:
            return False
        if state_of(place) not in _checked:
            if place.with_name(place.name + _CHECKSUM).read_text() != sha256_of(place):
                log.warning("%s has changed in the cache, and is fetched anew", place)
                return False
            _checked.add(state_of(place))
    except OSError:
        return False
    return True


def _remove_others(place: Path) -> None:
    """Remove earlier versions of the object."""
    for other in place.parent.glob("*.*"):
        if other.is_file() and not other.name.startswith(place.name):
            with suppress(OSError):
                other.unlink()


def _blocks(
    store: Store, address: RemotePath, facts: Facts, draft: durable.Draft
) -> Iterator[bytes]:
    """Yield the content of an object, of which some ranges are fetched at a time."""
    if not facts.has_ranges:
        assert isinstance(store, Web)  # noqa: S101 - stores have ranges
        store.fetch(address, draft)
        draft.check()
        return
    pool, coming = ThreadPoolExecutor(_RANGES, "fetch"), deque[Future[bytes]]()
    megabytes = facts.size // _MEGABYTE
    shown = facts.size > _TOLD_BYTES and log.isEnabledFor(logging.INFO)
    try:
        with progress_bar(megabytes, 0, "MB", shown) as bar:
            done = 0
            for start in range(0, facts.size + _RANGE_BYTES * _RANGES, _RANGE_BYTES):
                if start < facts.size:
                    stop = min(start + _RANGE_BYTES, facts.size)
                    coming.append(pool.submit(store.read, address, start, stop, facts))
                if coming and (len(coming) >= _RANGES or start >= facts.size):
                    block = coming.popleft().result()
                    yield block
                    done += len(block)
                    bar.update(done // _MEGABYTE - bar.n)
    finally:
        end_threads(pool)
