"""Notes that say what a folder or a file of the cache should hold, and by which damage is found.

A note has the SHA-256 of each file, and a seal: the SHA-256 of the note itself. A change of any
byte is found, whichever of the two it meets.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.disk import documents, durable
from features.errors import DataError

NOTE = "note.json"
_SEAL = "seal"


@dataclass(frozen=True)
class _Note:
    """The content of the note of a folder."""

    key: str
    files: dict[str, str]


def sealed(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with their seal."""
    return values | {_SEAL: _seal_of(values)}


def has_seal(values: dict[str, Any]) -> bool:
    """Return whether a note has a seal; those of Offshelf 0.2 have none."""
    return _SEAL in values


def is_intact(values: dict[str, Any]) -> bool:
    """Return whether a note is as it was sealed."""
    rest = {name: value for name, value in values.items() if name != _SEAL}
    return values.get(_SEAL) == _seal_of(rest)


def write_note(folder: Path, key: str, names: Iterable[str] | None = None) -> None:
    """Write the note of a folder: the checksums of files in it; raises OSError.

    Args:
        folder: a folder of files.
        key: what the folder is, so that it is not taken for another one.
        names: the names of the files; None takes every file in the folder.
    """
    if names is None:
        names = sorted(path.name for path in folder.iterdir())
    files = {name: _sha256_of_file(folder / name) for name in names}
    note = sealed({"key": key, "files": files})
    durable.write(folder / NOTE, json.dumps(note, indent=2).encode())


def read_files(folder: Path, key: str, names: Iterable[str]) -> list[bytes]:
    """Return the content of files, which is what was there when the note was written.

    Raises:
        DataError: the note or a file is missing, truncated or changed, or the folder is another.
    """
    contents: list[bytes] = []

    def checksum(path: Path) -> str:
        contents.append(path.read_bytes())
        return _sha256(contents[-1])

    _check(folder, key, names, checksum)
    return contents


def check_files(folder: Path, key: str, names: Iterable[str]) -> None:
    """Check files of any size, as `read_files` does; nothing of them is kept in memory.

    Raises:
        DataError: as `read_files`.
    """
    _check(folder, key, names, _sha256_of_file)


def _check(folder: Path, key: str, names: Iterable[str], checksum: Callable[[Path], str]) -> None:
    try:
        values = documents.load(folder / NOTE)
        note = documents.convert(values, _Note, NOTE)
        if not is_intact(values) or note.key != key:
            raise DataError(f"{NOTE} in it has changed")
        found = {name: checksum(folder / name) for name in names}
        changed = [name for name in found if found[name] != note.files.get(name)]
    except OSError as error:
        place = Path(str(error.filename)).name
        raise DataError(f"{place} in it cannot be read: {error.strerror or error}") from None
    if changed:
        raise DataError(f"{changed[0]} in it has changed")


def _seal_of(values: dict[str, Any]) -> str:
    return _sha256(json.dumps(values, sort_keys=True).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
