"""Zip archives, which are read at any place."""

import bz2
import stat
import struct
import threading
import zlib
from contextlib import ExitStack, nullcontext
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import IO
from zipfile import (
    ZIP_BZIP2,
    ZIP_DEFLATED,
    ZIP_LZMA,
    ZIP_STORED,
    BadZipFile,
    ZipExtFile,
    ZipFile,
    ZipInfo,
)

from features.decoding.formats import HEAD_BYTES
from features.errors import DataError
from features.remote.location import remote
from features.remote.stores import READERS
from features.sources.archive import member_name, opening, reading, refused
from features.sources.blocks import Block, Span
from features.sources.files import check_size, read_content

_ENCRYPTED = 0x1
_UTF8 = 0x800
_METHODS = (ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA)
_OTHER_METHODS = {1: "shrink", 6: "implode", 9: "deflate64", 93: "zstd", 95: "xz", 98: "ppmd"}
_HEADER = struct.Struct("<26sHH")  # of a member: the lengths of its name and of what follows
_STEP, _LZMA_STEP = 2**24, 2**12  # bytes; of LZMA packed ones, each of which becomes 7,000 at most
_MOST_EXTRA_BYTES = 2**10  # of a member's header, beside its name; more takes a second request
_TAIL_BYTES = 2**16 + 22  # the end of a zip, with the longest comment


class ZipArchive:
    """A zip that implements `archive.Archive`; members are read one at a time, under a lock.

    Those of a remote zip are read many at a time, and neighbours by one request.
    """

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
        self._address = remote(path)
        self.reading_threads = READERS if self._address else 0
        with ExitStack() as stack:
            self._file = stack.enter_context(path.open("rb"))
            _check_segments(path, self._file)
            stack.enter_context(opening(path))
            self._zip = stack.enter_context(ZipFile(self._file))
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

    def read(self, position: int, is_image: bool = True, block: Block | None = None) -> bytes:
        """Return a member's content; raises OSError where it is damaged."""
        member = self._members[position]
        check_size(member.file_size)
        with reading():
            content = self._read(member, member.file_size, is_image, block)
            if len(content) < member.file_size:
                raise BadZipFile(f"it has fewer than the {member.file_size:,} bytes that it claims")
            return content

    def head(self, position: int) -> bytes:
        """Return a member's first bytes; none where it is damaged."""
        try:
            with reading():
                return self._read(self._members[position], HEAD_BYTES, is_image=False)
        except OSError:
            return b""

    def span(self, position: int) -> Span | None:
        """Return where a member lies in a remote file, None where the file is on the disk."""
        if self._address is None:
            return None
        member = self._members[position]
        stop = member.header_offset + _most_header_bytes(member) + member.compress_size
        return Span(self._address, member.header_offset, stop)

    def _read(
        self, member: ZipInfo, size: int, is_image: bool, block: Block | None = None
    ) -> bytes:
        """Return the first bytes of a member, never more than `size`, whatever lies in the file."""
        step = _LZMA_STEP if member.compress_type == ZIP_LZMA else _STEP
        if self._address is not None:
            packed = self._packed(member, block)
            if member.compress_type == ZIP_BZIP2:
                return self._unpack_bzip2(packed, member, size, is_image)
            with ZipExtFile(BytesIO(packed), "r", member) as file:
                return read_content(file, size, step, is_image)
        with self._lock:
            if member.compress_type == ZIP_BZIP2:
                return self._unpack_bzip2(self._packed(member), member, size, is_image)
            with self._zip.open(member) as file:
                return read_content(file, size, step, is_image)

    def _packed(self, member: ZipInfo, block: Block | None = None) -> bytes:
        """Return a member as it lies in the file, or in a block that may lack the end of it."""
        check_size(member.compress_size)
        with self._path.open("rb") if block is None else nullcontext(block) as file:
            file.seek(member.header_offset)
            content = file.read(_most_header_bytes(member) + member.compress_size)
            _, name_bytes, extra_bytes = _HEADER.unpack_from(content)
            start = _HEADER.size + name_bytes + extra_bytes
            missing = start + member.compress_size - len(content)
            if missing > 0:
                content += file.read(missing)
        packed = content[start : start + member.compress_size]
        if block is not None and len(packed) < member.compress_size:
            return self._packed(member)
        return packed

    def _unpack_bzip2(self, packed: bytes, member: ZipInfo, size: int, is_image: bool) -> bytes:
        # A few bytes of bzip2 become gigabytes, and zipfile decompresses all that it reads.
        unpacked = _Bzip2(packed)
        content = read_content(unpacked, size, is_image=is_image)
        if size == member.file_size and (unpacked.read(1) or zlib.crc32(content) != member.CRC):
            raise BadZipFile(f"its content is not the {member.file_size:,} bytes that it claims")
        return content

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._file.close()


class _Bzip2(RawIOBase):
    """Reads what is packed by bzip2, no more at a time than is asked for."""

    def __init__(self, packed: bytes) -> None:
        self._packed, self._unpacker = packed, bz2.BZ2Decompressor()

    def read(self, size: int = -1) -> bytes:
        packed, self._packed = self._packed, b""
        return b"" if self._unpacker.eof else self._unpacker.decompress(packed, size)


def _most_header_bytes(member: ZipInfo) -> int:
    """Return how many bytes a member has before its content, unless it has many extra facts."""
    return _HEADER.size + len(member.orig_filename.encode()) + _MOST_EXTRA_BYTES


def _check_segments(path: Path, file: IO[bytes] | RawIOBase) -> None:
    """Raise DataError where a zip is a segment or was cut; OSError where it cannot be read."""
    file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
    tail = file.read() or b""
    start = tail.rfind(b"PK\5\6")
    if start < 0:
        file.seek(0)
        if file.read(4) == b"PK\3\4":
            raise DataError(
                f"{path} was cut: the directory at its end is missing; copy or download it again"
            )
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
