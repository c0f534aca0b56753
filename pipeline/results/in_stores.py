"""Stages whose folders and files lie in a store: they work on copies, brought and put up here.

A stage says by `in_stores` which fields of its config may be places in a store. It gets a config in
which each is a path on this machine.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from features.errors import DataError, OffshelfError, UsageError
from features.remote import places
from features.remote.attempts import ConflictError, RemoteError, telling_repeats
from features.remote.cache import fetched
from features.remote.connections import store_of
from features.remote.location import RemotePath, remote
from features.remote.mirror import Mirror
from pipeline.config.choices import PACK_SUFFIX
from pipeline.data.splits import FILE as SPLITS
from pipeline.results.records import RECORD
from pipeline.results.stored import FilesMirror, ResultsMirror

log = logging.getLogger("offshelf")
Result = TypeVar("Result")


def in_stores(
    writes: tuple[str, ...] = (),
    reads: tuple[str, ...] = (),
    files: tuple[str, ...] = (),
    inputs: tuple[str, ...] = (),
) -> Callable[[Callable[[Any], Result]], Callable[[Any], Result]]:
    """Return a decorator of a stage's `run`: places in stores in its config become working copies.

    What the stage has changed is put into the store in the end, also where it raises an error of
    ours, whose text then names the place in the store. Beside these errors it raises UsageError
    where there is no such bucket or it cannot be written, and DataError where the store fails.

    Args:
        writes: fields that are results folders, which are written; that this can be done is checked
            before any work.
        reads: fields that are results folders, folders of candidates, or packs.
        files: fields that are files to write.
        inputs: fields that are files to read, which are fetched.
    """
    takes = {_written: writes, _read: reads, _file: files, _input: inputs}

    def decorate(run: Callable[[Any], Result]) -> Callable[[Any], Result]:
        @wraps(run)
        def run_on_copies(config: Any) -> Result:
            mirrors: list[Mirror] = []
            with telling_repeats(), _putting_up(mirrors):
                changes = {
                    name: local
                    for take, names in takes.items()
                    for name in names
                    if (local := _local(getattr(config, name), take, mirrors)) is not None
                }
                return run(replace(config, **changes) if changes else config)

        return run_on_copies

    return decorate


def _local(
    value: Any, take: Callable[[RemotePath, list[Mirror]], Path], mirrors: list[Mirror]
) -> Any:
    """Return the value of a field with paths on this machine; None where it has no other."""
    if isinstance(value, tuple):
        paths = [_local(each, take, mirrors) for each in value]
        return tuple(map(_first, paths, value)) if any(map(bool, paths)) else None
    address = remote(value)
    if address is None and isinstance(value, Path):
        address = places.address_of(value)  # as a result of an earlier call has it
    return None if address is None else take(address, mirrors)


def _first(changed: Any, value: Any) -> Any:
    return value if changed is None else changed


def _written(address: RemotePath, mirrors: list[Mirror]) -> Path:
    store_of(address.scheme).check_writable(address / SPLITS)
    return _brought(ResultsMirror(address), mirrors).folder


def _read(address: RemotePath, mirrors: list[Mirror]) -> Path:
    if address.suffix == PACK_SUFFIX and address.exists():
        return fetched(address)
    if not address.is_store:
        raise UsageError(
            f"{address}: a web server lists no folders; give a results folder on a disk or in a "
            "store such as s3://"
        )
    if (address / RECORD).exists():
        return _brought(ResultsMirror(address.parent), mirrors).folder / address.name
    return _brought(ResultsMirror(address), mirrors).folder


def _file(out: RemotePath, mirrors: list[Mirror]) -> Path:
    store_of(out.scheme).check_writable(out)
    return _brought(FilesMirror(out), mirrors).folder / out.name


def _input(address: RemotePath, mirrors: list[Mirror]) -> Path:
    return fetched(address)


def _brought(mirror: Mirror, mirrors: list[Mirror]) -> Mirror:
    if mirror.folder not in [other.folder for other in mirrors]:
        mirror.bring()
        mirrors.append(mirror)
    return mirror


@contextmanager
def _putting_up(mirrors: list[Mirror]) -> Iterator[None]:
    """Put up in the end what was worked on; the list is filled meanwhile."""
    try:
        with _telling_what_is_left(mirrors):
            yield
    except RemoteError:
        raise
    except OffshelfError as error:
        for mirror in mirrors:  # some stages say at the end of their work what was wrong
            with suppress(OffshelfError):
                mirror.put_up()
        error.args = tuple(places.shown(str(text)) for text in error.args)
        raise
    for mirror in mirrors:
        _put_up(mirror)


def _put_up(mirror: Mirror) -> None:
    try:
        mirror.put_up()
    except ConflictError:
        raise
    except RemoteError as error:
        raise DataError(
            f"{error}; what was made is kept on this machine, and put there by the next command "
            "that works on it"
        ) from None


@contextmanager
def _telling_what_is_left(mirrors: list[Mirror]) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        for mirror in mirrors:
            if not mirror.is_put_up():
                log.warning(
                    "not all that was made is in %s yet; the same command on this machine puts it "
                    "there", mirror.address,
                )  # fmt: skip
        raise
