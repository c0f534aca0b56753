"""Zip archives, which are read at any place."""

import bz2
import os
import stat
import struct
import threading
import zlib
from contextlib import ExitStack
from pathlib import Path
from zipfile import (
    ZIP_BZIP2,
    ZIP_DEFLATED,
    ZIP_LZMA,
    ZIP_STORED,
    BadZipFile,
    ZipFile,
    ZipInfo,
)

from features.decoding.formats import HEAD_BYTES
from features.errors import DataError
from features.sources.archive import member_name, opening, reading, refused
from features.sources.files import check_size

_ENCRYPTED = 0x1
_UTF8 = 0x800
_METHODS = (ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA)
_OTHER_METHODS = {1: "shrink", 6: "implode", 9: "deflate64", 93: "zstd", 95: "xz", 98: "ppmd"}
_HEADER = struct.Struct("<26sHH")  # of a member: the lengths of its name and of what follows
_TAIL_BYTES = 2**16 + 22  # the end of a zip, with the longest comment


class ZipArchive:
    """A zip that implements `archive.Archive`; members are read one at a time, under a lock."""

    sequential, is_cut = False, False

    def __init__(self, path: Path) -> None:
        """Read the directory at the end of the file.

        Raises:
            DataError: the file is no zip, or has members that are encrypted, are links, or lead
                outside.
        """
        self._path, self._lock = path, threading.Lock()
        self._members: list[ZipInfo] = []
        self.names: list[str] = []
        self.warnings: list[str] = []
        check_segments(path)
        with ExitStack() as stack, opening(path):
            self._zip = stack.enter_context(ZipFile(path))
            members = self._zip.infolist()
            separator = "/" if any("/" in member.filename for member in members) else "\\"
            for member in members:
                if not member.filename.endswith(("/", separator)):
                    _check_method(path, member)
                    self._members.append(member)
                    self.names.append(_checked_name(path, member, separator))
                else:
                    _checked_name(path, member, separator)
            stack.pop_all()
        self.sizes = [member.file_size for member in self._members]

    def read(self, position: int) -> bytes:
        """Return a member's content; raises OSError where it is damaged."""
        member = self._members[position]
        check_size(member.file_size)
        with self._lock, reading():
            if member.compress_type == ZIP_BZIP2:
                return self._read_bzip2(member)
            return self._zip.read(member)

    def _read_bzip2(self, member: ZipInfo) -> bytes:
        # A few bytes of bzip2 become gigabytes, whatever size the archive claims for them.
        with self._path.open("rb") as file:
            file.seek(member.header_offset)
            header = file.read(_HEADER.size)
            _, name_bytes, extra_bytes = _HEADER.unpack(header)
            file.seek(name_bytes + extra_bytes, os.SEEK_CUR)
            packed = file.read(member.compress_size)
        content = bz2.BZ2Decompressor().decompress(packed, member.file_size + 1)
        if len(content) != member.file_size or zlib.crc32(content) != member.CRC:
            raise BadZipFile(f"its content is not the {member.file_size:,} bytes that it claims")
        return content

    def head(self, position: int) -> bytes:
        """Return a member's first bytes; none where it is damaged."""
        member = self._members[position]
        try:
            if member.compress_type == ZIP_BZIP2:
                return self.read(position)[:HEAD_BYTES]
            with self._lock, reading(), self._zip.open(member) as file:
                return file.read(HEAD_BYTES)
        except OSError:
            return b""

    def close(self) -> None:
        """Close the file."""
        self._zip.close()


def check_segments(path: Path) -> None:
    """Raise DataError where a zip is one of several segments; OSError where it cannot be read."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        tail = file.read()
    start = tail.rfind(b"PK\5\6")
    if start >= 0 and tail[start + 4 : start + 8] not in (bytes(4), b"\xff" * 4):
        raise DataError(
            f"{path} is the last segment of a split zip; join the segments first: "
            f"zip -s 0 {path.name} --out whole.zip"
        )


def _check_method(path: Path, member: ZipInfo) -> None:
    if member.compress_type not in _METHODS:
        method = _OTHER_METHODS.get(member.compress_type, f"method {member.compress_type}")
        raise DataError(
            f"{path} is compressed by {method}, which Python cannot read (it is not damaged); "
            "pack the files anew by deflate, or unpack them and give the folder"
        )


def _checked_name(path: Path, member: ZipInfo, separator: str) -> str:
    if member.flag_bits & _ENCRYPTED:
        raise refused(path, member.filename, "is encrypted")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise refused(path, member.filename, "is a link")
    return member_name(path, _decoded(member).replace(separator, "/"))


def _decoded(member: ZipInfo) -> str:
    """Return the name; macOS stores UTF-8 without the flag, so it is read as code page 437."""
    if member.flag_bits & _UTF8:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename
