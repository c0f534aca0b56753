"""Tar archives: plain ones are read at any place, compressed ones as a stream."""

import errno
import tarfile
import threading
from array import array
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple, cast

from features.decoding.formats import HEAD_BYTES
from features.errors import DataError
from features.remote.location import remote
from features.remote.stores import READERS
from features.sources.archive import member_name, opening, reading, refused
from features.sources.blocks import Block, Span
from features.sources.files import MOST_RATIO, check_size, most_unpacked, read_content
from features.sources.kinds import is_image, is_worth_opening

_MOST_ZEROS = 2**24  # that are looked through for a further archive
_MOST_HEADER_BYTES = 2**16  # of a name and other facts before a member
_MOST_FACTS = 1000  # on all members that follow
_MOST_HELD_BYTES = 2**26  # of all labels

_EXTENDED = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip

LABEL_SUFFIXES = (".cls", ".json")  # of members that hold the label of an image
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


class TarArchive:
    """A tar that implements `archive.Archive`.

    A plain tar is opened for each read: that costs microseconds, any number of threads can read
    at a time, and thousands of shards do not exhaust the file handles. A compressed tar stays
    open as a stream, which can go forward, or back to its beginning.
    """

    def __init__(self, path: Path) -> None:
        """Go through the archive once and keep the position of each member.

        Raises:
            DataError: the file is no tar, is damaged, or has links or members that lead outside.
        """
        self.path, self._lock = path, threading.Lock()
        self.names: list[str] = []
        self.warnings: list[str] = []
        self.is_cut = False
        self.sizes, self._offsets = array("q"), array("q")
        self._heads: dict[int, bytes] = {}  # of members that are no images, if going back is slow
        self._held_bytes = 0
        self._address = remote(path)
        with ExitStack() as stack, opening(path):
            self._tar, self.sequential = _open(path)
            self.reading_threads = READERS if self._address and not self.sequential else 0
            self._most_bytes = most_unpacked(path.stat().st_size)
            stack.callback(self._tar.close)
            self._list(self._tar)
            if self.sequential:
                stack.pop_all()

    def _list(self, tar: tarfile.TarFile) -> None:
        try:
            has_mark = self._list_whole(tar)
        except (tarfile.ReadError, EOFError) as error:
            is_cut = isinstance(error, EOFError) or not _stream(tar).read(1)
            if not is_cut:
                raise
            has_mark = False
            self._drop_unless_whole(tar)
        if not has_mark:
            self.is_cut = True
            self.warnings.append(
                f"{self.path} has no end mark: it was cut, and images may be missing"
            )

    def _list_whole(self, tar: tarfile.TarFile) -> bool:
        """List all members; return whether the zeros that mark the end are there."""
        while True:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined] # a million would fill a gigabyte
                self._check_extent(member)
                self._add(tar, member)
            end = _look_behind(self.path, tar)
            if end.following < 0:
                break
            tar.offset = end.following  # several were joined end to end
        if end.has_other_data:
            self.warnings.append(f"{self.path} has other data after its end, which were not read")
        return end.has_mark

    def _drop_unless_whole(self, tar: tarfile.TarFile) -> None:
        """Leave the last member out if the archive ends within it."""
        if not self.names or _reaches(tar, self._offsets[-1] + self.sizes[-1]):
            return
        name = self.names.pop()
        self.sizes.pop()
        self._offsets.pop()
        self._heads.pop(len(self.names), None)
        self.warnings.append(f"{self.path} ends within {name}, which was not read")

    def _check_extent(self, member: tarfile.TarInfo) -> None:
        """Raise DataError unless a member ends behind its beginning and not absurdly far."""
        if member.size < 0:
            raise refused(self.path, member.name, f"claims {member.size:,} bytes")
        if self.sequential and member.offset_data + member.size > self._most_bytes:
            raise DataError(
                f"{self.path} is refused: it unpacks to more than {MOST_RATIO} times its "
                "size; if it is what you want, unpack it and give the folder"
            )

    def _add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = _checked_name(self.path, member)
        if member.isdir():
            return
        self.names.append(name)
        self.sizes.append(member.size)
        self._offsets.append(member.offset_data)
        if (self.sequential or self._address) and (size := self._kept_bytes(name, member.size)):
            stream = _stream(tar)
            stream.seek(member.offset_data)
            self._heads[len(self.names) - 1] = stream.read(size)
            self._held_bytes += size

    def _kept_bytes(self, name: str, size: int) -> int:
        """Return how many bytes of a member are kept: small labels, and heads of doubtful ones."""
        if name.lower().endswith(LABEL_SUFFIXES) and self._held_bytes + size <= _MOST_HELD_BYTES:
            return size
        return min(size, HEAD_BYTES) if not is_image(name) and is_worth_opening(name) else 0

    def read(self, position: int, is_image: bool = True, block: Block | None = None) -> bytes:
        """Return a member's content.

        Raises:
            OSError: the member is damaged.
            DataError: the archive has vanished.
        """
        offset, size = self._offsets[position], self.sizes[position]
        check_size(size)
        head = self._heads.get(position)
        if head is not None and len(head) == size:
            return head
        with reading():
            if block is not None:
                return _read_at(block, offset, size, is_image)
            if self.sequential:
                with self._lock:
                    return _read_at(_stream(self._tar), offset, size, is_image)
            try:
                with self.path.open("rb") as file:
                    return _read_at(file, offset, size, is_image)
            except FileNotFoundError:
                raise DataError(f"{self.path} has vanished while it was read") from None

    def head(self, position: int) -> bytes:
        """Return a member's first bytes; none where it is damaged."""
        if position in self._heads:
            return self._heads[position][:HEAD_BYTES]
        try:
            with self.path.open("rb") as file:
                file.seek(self._offsets[position])
                return file.read(min(HEAD_BYTES, self.sizes[position]))
        except OSError:
            return b""

    def span(self, position: int) -> Span | None:
        """Return where a member lies in a remote file, None where it is not read by ranges."""
        if self._address is None or self.sequential:
            return None
        start = self._offsets[position]
        return Span(self._address, start, start + self.sizes[position])

    def forget_names(self) -> None:
        """Let go of what is no longer needed when labels are known: there may be millions."""
        self.names.clear()
        self._heads.clear()

    def close(self) -> None:
        """Close the file."""
        self._tar.close()


class _Member(tarfile.TarInfo):
    """A member whose headers are read within limits; maps of sparse files are not read at all."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        path = str(tar.name)
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise refused(path, self.name, "is not an ordinary file")
        if self.type in _EXTENDED and not 0 <= self.size <= _MOST_HEADER_BYTES:
            raise refused(path, self.name[:40], f"has a header of {self.size:,} bytes")
        if len(tar.pax_headers) > _MOST_FACTS:
            raise refused(path, self.name[:40], f"has more than {_MOST_FACTS:,} facts before it")
        return super()._proc_member(tar)  # type: ignore[misc] # tarfile says: may be overridden

    def _refuse_sparse(self, following: tarfile.TarInfo, *rest: object) -> None:
        raise DataError(f"member {following.name!r} is not an ordinary file; pack the files anew")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse


def _open(path: Path) -> tuple[tarfile.TarFile, bool]:
    """Return the open tar and whether it is compressed, by its content, not by its suffix."""
    address = remote(path)
    name, opened = (path, None) if address is None else (str(path), address.open_in_order())
    try:
        return tarfile.open(name, "r:", opened, encoding="utf-8", tarinfo=_Member), False
    except tarfile.ReadError:
        if opened is not None:
            opened.seek(0)
    try:
        return tarfile.open(name, "r:*", opened, encoding="utf-8", tarinfo=_Member), True
    except tarfile.ReadError:
        raise DataError(f"{path} is no tar archive, or damaged at its beginning") from None


def _stream(tar: tarfile.TarFile) -> IO[bytes]:
    """Return the bytes of an open tar, decompressed."""
    return cast("IO[bytes]", tar.fileobj)


def _read_at(file: IO[bytes], offset: int, size: int, is_image: bool) -> bytes:
    file.seek(offset)
    content = read_content(file, size, is_image=is_image)
    if len(content) < size:
        raise OSError(errno.EIO, "the archive ends within it")
    return content


def _reaches(tar: tarfile.TarFile, end: int) -> bool:
    """Tell whether an archive has all bytes before `end`."""
    try:
        _stream(tar).seek(end - 1)
        return bool(_stream(tar).read(1))
    except EOFError:
        return False


def _checked_name(path: Path, member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        raise refused(path, member.name, "is a link")
    if not (member.isdir() or member.isreg()):
        raise refused(path, member.name, "is not an ordinary file")
    return member_name(path, member.name)


class _End(NamedTuple):
    """The end of an archive.

    Attributes:
        has_mark: whether there are the zeros that mark it.
        following: where a further archive begins behind it, -1 if none does.
        has_other_data: whether something else follows.
    """

    has_mark: bool
    following: int = -1
    has_other_data: bool = False


def _look_behind(path: Path, tar: tarfile.TarFile) -> _End:
    """Return what is behind the last member.

    Raises:
        DataError: there is no end; tarfile takes a damaged header for one.
    """
    stream, offset = _stream(tar), tar.offset
    stream.seek(offset)
    for start in range(offset, offset + _MOST_ZEROS, tarfile.BLOCKSIZE):
        block = stream.read(tarfile.BLOCKSIZE)
        if not block:
            return _End(has_mark=start > offset)
        if block.strip(b"\0"):
            if start == offset and len(block) < tarfile.BLOCKSIZE:
                return _End(has_mark=False)  # it was cut within a header
            if start == offset:
                raise DataError(f"{path} is damaged: no member begins at byte {start}")
            is_archive = _is_header(block)
            return _End(True, start if is_archive else -1, has_other_data=not is_archive)
    return _End(has_mark=True)


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True
