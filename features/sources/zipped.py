"""Zip archives, which are read at any place."""

import stat
import threading
from contextlib import ExitStack
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from features.sources.archive import member_name, opening, reading, refused
from features.sources.files import check_size

_ENCRYPTED = 0x1
_UTF8 = 0x800


class ZipArchive:
    """A zip that implements `archive.Archive`; members are read one at a time, under a lock."""

    sequential = False

    def __init__(self, path: Path) -> None:
        """Read the directory at the end of the file.

        Raises:
            DataError: the file is no zip, or has members that are encrypted, are links, or lead
                outside.
        """
        self._lock = threading.Lock()
        self._members: list[ZipInfo] = []
        self.names: list[str] = []
        with ExitStack() as stack, opening(path):
            self._zip = stack.enter_context(ZipFile(path))
            for member in self._zip.infolist():
                name = _checked_name(path, member)
                if not member.is_dir():
                    self._members.append(member)
                    self.names.append(name)
            stack.pop_all()
        self.sizes = [member.file_size for member in self._members]

    def read(self, position: int) -> bytes:
        """Return a member's content; raises OSError where it is damaged."""
        member = self._members[position]
        check_size(member.file_size)
        with self._lock, reading():
            return self._zip.read(member)

    def close(self) -> None:
        """Close the file."""
        self._zip.close()


def _checked_name(path: Path, member: ZipInfo) -> str:
    if member.flag_bits & _ENCRYPTED:
        raise refused(path, member.filename, "is encrypted")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise refused(path, member.filename, "is a link")
    return member_name(path, _decoded(member))


def _decoded(member: ZipInfo) -> str:
    """Return the name; macOS stores UTF-8 without the flag, so it is read as code page 437."""
    if member.flag_bits & _UTF8:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename
