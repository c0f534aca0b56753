"""Files on their way to a store: made on the local disk, then uploaded whole.

A store shows an object when all of it is there, and until then the one that was there before; so an
upload needs no temporary name.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from features.disk import durable
from features.errors import DataError
from features.processes.progress import progress_bar
from features.remote import cache
from features.remote.connections import store_of
from features.remote.location import is_remote, remote

log = logging.getLogger("offshelf")

_MEGABYTE = 10**6


def working_path(out: Path) -> Path:
    """Return where a file is made: `out` itself, or a file in the cache where `out` is remote."""
    address = remote(out)
    return out if address is None else cache.folder_of(address) / "work" / address.name


def check_remote(out: Path) -> None:
    """Raise an error where a remote file could not be written.

    Raises:
        UsageError: there is no such bucket, or the store takes no files.
        DataError: access is denied.
    """
    if (address := remote(out)) is not None:
        store_of(address.scheme).check_writable(address)


def tell_working_path(out: Path) -> None:
    """Say where the work on a remote file lies."""
    if is_remote(out):
        log.info(
            "%s is put together in %s and then uploaded; until then its shards lie in %s.partial, "
            "from which the same command goes on, on any machine", out, working_path(out).parent,
            out,
        )  # fmt: skip


def upload(local: Path, out: Path) -> None:
    """Bring a finished file to its place; nothing is to be done for a local one.

    The local file then lies in the cache, or is gone.

    Raises:
        DataError: it could not be uploaded; the file is still there.
    """
    address = remote(out)
    if address is None:
        return
    size = local.stat().st_size
    log.info("uploading %s (%.1f MB)", address, size / _MEGABYTE)
    shown, done = log.isEnabledFor(logging.INFO) and size >= _MEGABYTE, 0
    with progress_bar(size // _MEGABYTE, 0, "MB", shown) as bar:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            bar.update(min(done // _MEGABYTE, size // _MEGABYTE) - bar.n)

        try:
            store_of(address.scheme).put(local, address, advance)
        except OSError as error:
            raise DataError(f"{address} could not be written: {error.strerror}") from None
    if address.stat().size != size:
        raise DataError(f"{address} has another size than what was uploaded; somebody wrote to it")
    cache.keep(local, out)


def remove(folder: Path, names: Sequence[str]) -> None:
    """Remove files of a folder, on the disk or in a store; some may be gone already.

    Raises:
        OSError: one cannot be removed.
        DataError: the store does not let us.
    """
    if (address := remote(folder)) is not None:
        store_of(address.scheme).remove([address / name for name in names])
        return
    for name in names:
        with suppress(FileNotFoundError):
            durable.disk.unlink(folder / name)
