"""A folder in a store that is worked on as a folder on the disk: brought, worked on, put up.

The working copy lies in the cache, beside a note of the versions of the objects that it has. What
the store has in another version is brought when a command begins. What has changed in the copy is
put up when a piece of work is done, if the store still has the version that was brought. Where it
has another one somebody else has been at work: the command ends, and its repetition begins with
what the store has.
"""

import logging
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from features.disk import durable
from features.disk.locks import locked
from features.errors import UsageError
from features.processes.stopping import end_threads
from features.remote import cache, places
from features.remote.attempts import (
    NO_BUCKET,
    ConflictError,
    DeniedError,
    RemoteError,
)
from features.remote.connections import store_of
from features.remote.facts import Facts
from features.remote.location import RemotePath
from features.remote.mirror_note import (
    Copy,
    Note,
    changing,
    copy_of,
    read_note,
    state_of,
    write_note,
)
from features.remote.stores import READERS, Store

log = logging.getLogger("offshelf")

_PATIENCE = 3600.0  # seconds for another command that brings or puts up the same copy
_MEGABYTE = 10**6


_mirrors: dict[Path, "Mirror"] = {}  # those of this process, by the folder of the copy


def put_up(folder: Path, now: bool = True) -> None:
    """Put up what has changed in a folder that is a working copy; any other is left alone.

    Args:
        folder: the folder.
        now: whether the work must not go on before; else a store that is out of reach for a while
            is told, and gets it later.

    Raises:
        ConflictError: as `Mirror.put_up`.
        DataError: as `Mirror.put_up`.
    """
    if (mirror := _mirrors.get(folder)) is None:
        return
    try:
        mirror.put_up()
    except RemoteError as error:
        if now or isinstance(error, ConflictError | DeniedError):
            raise
        log.warning("%s; the work goes on, and is put there later", error)


class Mirror:
    """A folder in a store and its working copy; a subclass says which files belong to it.

    Files belong to units, which are brought from the store or kept as a whole. A unit may have a
    marker, without which it is not there: it is put up last and withdrawn first.

    Attributes:
        address: the folder in the store.
        folder: the copy, a folder on this machine.
    """

    def __init__(self, address: RemotePath, folder: RemotePath | None = None) -> None:
        """Keep the places; nothing is asked or made yet.

        Args:
            address: what the copy is made for, by which it is found again.
            folder: the folder in the store; None takes `address`.
        """
        self.address = folder or address
        self._home = cache.folder_of(address).absolute() / "mirror"
        self.folder = self._home / self.address.name
        places.register(self.folder, self.address)
        _mirrors[self.folder] = self

    @cached_property
    def _store(self) -> Store:
        return store_of(self.address.scheme)

    def fits(self, name: str) -> bool:
        """Tell whether a file, named relative to the folder, may be one of those that are kept."""
        return True

    def unit(self, name: str) -> str:
        """Return the name of a file's unit."""
        return name

    def marker(self, unit: str) -> str:
        """Return the name of the file without which a unit is not there; "" where there is none."""
        return ""

    def order(self, name: str) -> int:
        """Return the turn of a file when several are put up: the smaller come first."""
        return 0

    def bring(self) -> None:
        """Bring what the store has in other versions than the copy.

        What was not put up yet stays, unless the store has other versions of its unit. While
        another command works on the copy, the copy is what that has brought.

        Raises:
            UsageError: there is no such bucket.
            DataError: the store cannot be read, or the disk not be written.
        """
        with locked(self._home, _PATIENCE), ExitStack() as stack:
            try:
                stack.enter_context(locked(self.folder))
            except UsageError:
                return
            self._bring(self._listed())

    def put_up(self) -> None:
        """Put up what has changed in the copy, and remove what was removed from it.

        Raises:
            ConflictError: somebody else has changed an object; what follows it is not put up.
            DataError: the store cannot be written, or the copy was removed.
        """
        with locked(self._home, _PATIENCE), changing(self._home) as note:
            changed, gone = self._differences(note)
            changed = {name for name in changed if not self._is_rewritten(note, name)}
            if changed:
                size = sum((self.folder / name).stat().st_size for name in changed)
                log.info(
                    "putting %d file%s (%.1f MB) into %s", len(changed), "s" * (len(changed) != 1),
                    size / _MEGABYTE, self.address,
                )  # fmt: skip
            for name in self._outdated(note, changed, gone):
                self._remove(note, name)
            last = {name for name in changed if self._is_marker(name)}
            for name in sorted(changed, key=lambda name: (name in last, self.order(name), name)):
                self._put(note, name)

    def is_put_up(self) -> bool:
        """Tell whether the copy has nothing that was not put up."""
        return not any(self._differences(read_note(self._home)))

    def _names(self, names: Collection[str]) -> set[str]:
        """Return those of all names that fit and whose unit is whole."""
        whole = {name for name in names if self.fits(name)}
        return {n for n in whole if (self.marker(self.unit(n)) or n) in whole}

    def _is_marker(self, name: str) -> bool:
        return name == self.marker(self.unit(name))

    def _listed(self) -> dict[str, Facts]:
        """Return the facts of all objects in the folder, by name.

        Raises:
            UsageError: there is no such bucket.
        """
        try:
            return {facts.name: facts for facts in self._store.listing(self.address)}
        except FileNotFoundError as error:
            if error.strerror == NO_BUCKET:
                raise UsageError(f"{self.address}: {NO_BUCKET}") from None
            return {}

    def _bring(self, objects: dict[str, Facts]) -> None:
        note, here = read_note(self._home), self._here()
        listed = {name: objects[name] for name in self._names(objects)}
        others = {
            name for name, facts in listed.items() if not self._has(note, name, facts)
        }  # which also notes those that it has
        changed, _ = self._differences(note)
        units = {self.unit(name) for name in others & here.keys()}
        stale = {name for name in here if self.unit(name) in units}
        if lost := sorted(stale & changed):
            log.warning(
                "%s has a newer %s; what was worked on here and not put there gives way",
                self.address, " and ".join([lost[0], *[f"{len(lost) - 1} more"] * (len(lost) > 1)]),
            )  # fmt: skip
        working = {self.unit(name) for name in changed}
        dropped = (note.files.keys() - listed.keys()) & here.keys()
        dropped = {name for name in dropped if self.unit(name) not in working}
        for name in (stale - listed.keys()) | dropped:
            durable.disk.unlink(self.folder / name)
        note.files = {name: copy for name, copy in note.files.items() if name in listed}
        wanted = others | (stale & changed) | (listed.keys() - here.keys())
        try:
            self._fetch(note, [listed[name] for name in sorted(wanted & listed.keys())])
        finally:
            fitting = {name: facts for name, facts in objects.items() if self.fits(name)}
            note.partial = {n: facts.version for n, facts in fitting.items() if n not in listed}
            write_note(self._home, note)

    def _has(self, note: Note, name: str, facts: Facts) -> bool:
        """Tell whether an object has the version that was brought, or the content of the copy."""
        if name in note.files and note.files[name].version == facts.version != "":
            return True
        local = self.folder / name
        if not local.is_file() or not self._store.is_content_of(local, facts):
            return False
        note.files[name] = copy_of(local, facts)
        return True

    def _fetch(self, note: Note, wanted: list[Facts]) -> None:
        if not wanted:
            return
        size = sum(facts.size for facts in wanted) / _MEGABYTE
        log.info(
            "fetching %d file%s (%.1f MB) from %s into %s", len(wanted), "s" * (len(wanted) != 1),
            size, self.address, self._home,
        )  # fmt: skip

        def fetch(facts: Facts) -> None:
            local = self.folder / facts.name
            durable.make_folder(local.parent)
            cache.download(self.address / facts.name, facts, local)
            note.files[facts.name] = copy_of(local, facts)

        pool = ThreadPoolExecutor(READERS, "bring")
        try:
            for _ in pool.map(fetch, wanted):
                pass
        finally:
            end_threads(pool)

    def _outdated(self, note: Note, changed: set[str], gone: set[str]) -> list[str]:
        """Return what is removed: what is gone, and first the markers that are to be renewed."""
        units = {self.unit(name) for name in changed | gone if not self._is_marker(name)}
        renewed = {self.marker(unit) for unit in units} & changed & note.files.keys()
        return sorted(gone | renewed, key=lambda name: (not self._is_marker(name), name))

    def _remove(self, note: Note, name: str) -> None:
        address = self.address / name
        try:
            if self._store.facts(address).version != note.files[name].version:
                raise ConflictError(address)
            self._store.remove([address])
        except FileNotFoundError:
            pass
        del note.files[name]

    def _put(self, note: Note, name: str) -> None:
        local, copy, state = self.folder / name, note.files.get(name), state_of(self.folder / name)
        before = (copy.version or None) if copy else note.partial.get(name, "")
        facts = self._store.put(local, self.address / name, before=before)
        note.files[name] = Copy(facts.version, *state)

    def _is_rewritten(self, note: Note, name: str) -> bool:
        """Tell whether a file that was written again has the content that the store has."""
        if (copy := note.files.get(name)) is None:
            return False
        local = self.folder / name
        facts = Facts(name, local.stat().st_size, copy.version)
        if is_same := self._store.is_content_of(local, facts):
            note.files[name] = copy_of(local, facts)
        return is_same

    def _here(self) -> dict[str, tuple[int, int]]:
        """Return size and time of the files of the copy, by name."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        paths = {path.relative_to(self.folder).as_posix(): path for path in files}
        return {name: state_of(paths[name]) for name in self._names(paths)}

    def _differences(self, note: Note) -> tuple[set[str], set[str]]:
        """Return which files have changed since the store had the same, and which are gone."""
        here = self._here()
        copies = {name: (copy.size, copy.changed) for name, copy in note.files.items()}
        changed = {name for name, state in here.items() if copies.get(name) != state}
        return changed, note.files.keys() - here.keys()
