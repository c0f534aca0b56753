"""Where working copies of folders in stores lie on this machine, and how they are called.

Whoever works on a copy sees paths on the disk. What people read, and what is written into files,
names the place in the store.
"""

import logging
from pathlib import Path, PurePath

from features.remote.location import RemotePath

_known: dict[Path, RemotePath] = {}


class _Renaming(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = shown(record.getMessage()), ()
        return True


def register(folder: Path, address: RemotePath) -> None:
    """Note that a folder on the disk is the working copy of a folder in a store."""
    if not _known:
        logging.getLogger("offshelf").addFilter(_Renaming())
    _known[folder] = address


def address_of(path: PurePath) -> RemotePath | None:
    """Return the place in a store of which a path is the working copy; None for any other path."""
    for folder, address in _known.items():
        if path == folder:
            return address
        if path.is_relative_to(folder):
            return address / path.relative_to(folder).as_posix()
    return None


def shown(text: str) -> str:
    """Return a text with the places in stores instead of the paths of their working copies."""
    for folder, address in _known.items():
        text = text.replace(str(folder), str(address))
    return text
