"""What the store and a working copy had in common when both were compared last."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from features.disk import documents, durable
from features.errors import DataError
from features.remote.facts import Facts

_FILE = "mirror.json"


@dataclass(frozen=True)
class Copy:
    """A file of a working copy, as it was when the store had the same.

    Attributes:
        version: the version of the object.
        size: bytes of the file.
        changed: when the file was changed last, in nanoseconds.
    """

    version: str
    size: int
    changed: int


@dataclass
class Note:
    """What a working copy knows of the store.

    Attributes:
        files: what it had in common with the copy, by name.
        partial: versions of what belongs to no whole unit, by name: somebody was stopped there.
    """

    files: dict[str, Copy] = field(default_factory=dict)
    partial: dict[str, str] = field(default_factory=dict)


def read_note(home: Path) -> Note:
    """Return the note beside a copy; an empty one where there is none that can be read.

    Then all is compared by content with what the store has.
    """
    try:
        return documents.read(home / _FILE, Note)
    except DataError:
        return Note()


def write_note(home: Path, note: Note) -> None:
    """Write the note; raises OSError."""
    durable.write(home / _FILE, json.dumps(asdict(note)).encode())


@contextmanager
def changing(home: Path) -> Iterator[Note]:
    """Yield the note, and write it in the end, whatever happens.

    Raises:
        DataError: there is none, so that what is missing in the copy was not removed by us.
    """
    if not (home / _FILE).is_file():
        raise DataError(f"{home} was removed while a command worked there; give the command again")
    note = read_note(home)
    try:
        yield note
    finally:
        write_note(home, note)


def state_of(path: Path) -> tuple[int, int]:
    """Return size and time of a file, which change when it is changed."""
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def copy_of(path: Path, facts: Facts) -> Copy:
    """Return what is kept of a file that is as the store has it."""
    return Copy(facts.version, *state_of(path))
