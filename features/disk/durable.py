"""Files that exist either whole or not at all, whatever the moment of a kill or power cut.

Bytes go to a file of a temporary name, which is synced and renamed into place. Then the folder is
synced, because a rename is not durable before that. All changes to the disk go through one `Disk`.
Nobody can guess a temporary name, nor have the bytes written elsewhere by a link of that name.
"""

import errno
import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from features.disk.leftovers import holding, remove_left
from features.errors import UsageError

TEMPORARY = ".tmp"
REPLACED = ".replaced"  # the suffix of a folder while another one takes its place
_RANDOM_BYTES = 8  # of a temporary name
_COPIED_BYTES = 2**22  # at a time
_NAME_KEPT = 40  # characters of a file's name that its temporary name begins with
_ATTEMPTS = 10  # to replace a folder that somebody else puts back meanwhile

# Errors by which a file system, such as a network one, says that it cannot sync folders.
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES}
# Errors by which one says that it gives a file no second name there.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES}


class Disk:
    """The few operations that change the disk; each may raise OSError.

    Tests replace it: by a disk that fails at a given operation, or by one that records all of
    them, to work out what a power cut between any two would have left.
    """

    def create(self, path: Path) -> io.FileIO:
        """Make a file and open it for writing and reading, unbuffered.

        Raises FileExistsError where there is anything at the path, also a link to nowhere.
        """
        return path.open("x+b", buffering=0)

    def write(self, file: io.FileIO, data: memoryview) -> int:
        """Write at the file's position; return how many bytes were written, perhaps not all."""
        return file.write(data)

    def truncate(self, file: io.FileIO, size: int) -> None:
        """Cut or extend a file."""
        file.truncate(size)

    def sync(self, file: io.FileIO) -> None:
        """Make the file's content safe from a power cut."""
        os.fsync(file.fileno())

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file; a file of the new name is replaced."""
        old.replace(new)

    def link(self, old: Path, new: Path) -> None:
        """Give a file a second name, which nothing has yet."""
        new.hardlink_to(old)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def make_folder(self, folder: Path) -> None:
        """Make a folder unless it exists."""
        folder.mkdir(exist_ok=True)

    def remove_folder(self, folder: Path) -> None:
        """Remove an empty folder."""
        folder.rmdir()

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder safe from a power cut, where the file system can do it."""
        if os.name == "nt":  # folders cannot be opened on Windows, and need not be synced
            return
        try:
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise


disk = Disk()


class Draft(io.RawIOBase):
    """A file that is being written, by HDF5 too, and that never raises an error while it is.

    HDF5 may crash when its file object raises, even while it closes the file. So the first error
    is kept for `check`, and nothing is written after it.
    """

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._error: Exception | None = None

    def check(self) -> None:
        """Raise the first error, if any occurred."""
        if self._error is not None:
            raise self._error

    def write(self, data: object) -> int:
        view = left = memoryview(data).cast("B")  # type: ignore[arg-type] # any buffer
        with self._keeping_error():
            while left and self._error is None:
                left = left[disk.write(self._file, left) :]
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        with self._keeping_error():
            if self._error is None:
                disk.truncate(self._file, size)
        return size

    def readinto(self, buffer: object) -> int:
        view, count = memoryview(buffer).cast("B"), 0  # type: ignore[arg-type] # any buffer
        with self._keeping_error():
            count = self._file.readinto(view) or 0
        view[count:] = bytes(len(view) - count)  # HDF5 ignores the count, so the rest is zeroed
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with self._keeping_error():
            offset = self._file.seek(offset, whence)
        return offset

    def tell(self) -> int:
        return self.seek(0, os.SEEK_CUR)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    @contextmanager
    def _keeping_error(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._error = self._error or error


@contextmanager
def replacing(path: Path, scratch: Path | None = None) -> Iterator[Draft]:
    """Yield a file to write to; on success it is synced and renamed to `path`.

    On any error the temporary file is removed and `path` stays as it was.

    Args:
        path: the file to make or replace.
        scratch: the folder of the temporary file, on the same file system; None takes the folder
            of `path`.

    Raises:
        OSError: the file could not be written, or not be made durable.
    """
    temporary = _temporary(path, scratch)
    try:
        with disk.create(temporary) as file, holding(temporary):
            draft = Draft(file)
            try:
                yield draft
            finally:
                draft.check()
            disk.sync(file)
            file.close()  # some systems rename no open file
            disk.rename(temporary, path)
        disk.sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            disk.unlink(temporary)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from None  # as the user knows it
        raise


def remove_drafts(folder: Path) -> None:
    """Remove the temporary files of `replacing` in a folder that killed processes left."""
    remove_left(folder, f"*.{'[0-9a-f]' * 2 * _RANDOM_BYTES}{TEMPORARY}")


def write(path: Path, data: bytes) -> None:
    """Write a whole file durably; raises OSError."""
    with replacing(path) as draft:
        draft.write(data)


def link(old: Path, new: Path) -> bool:
    """Give a file a second name, or copy it where the file system has no such thing.

    A file of the new name is replaced. The name is durable when its folder has been synced.

    Returns:
        Whether it was copied.

    Raises:
        OSError: there is no such file, or it could not be copied.
    """
    if new.exists() and new.samefile(old):
        return False
    temporary = _temporary(new)
    try:
        disk.link(old, temporary)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with old.open("rb") as file, replacing(new) as draft:
            shutil.copyfileobj(file, draft, _COPIED_BYTES)
        return True
    disk.rename(temporary, new)
    return False


def _temporary(path: Path, folder: Path | None = None) -> Path:
    """Return a name for a file that will be renamed to `path`; nobody can guess it."""
    name = f"{path.name[:_NAME_KEPT]}.{secrets.token_hex(_RANDOM_BYTES)}{TEMPORARY}"
    return (folder or path.parent) / name


def mapped_array(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """Make an .npy file and return it as a memory map to write to; its room is taken at once.

    Where a disk is full, the system kills the process that writes to a map of a file without room.

    Raises:
        OSError: there is no room.
    """
    try:
        array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("rb+") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    return array


def place_folder(draft: Path, place: Path) -> None:
    """Sync a folder of files and rename it to `place`; raises OSError.

    A folder that is there already gives way under the name that `aside` returns, and is removed
    when the new one is in its place. `recover_folder` undoes what a kill in between left.
    """
    for path in draft.iterdir():
        with path.open("rb+", buffering=0) as file:
            disk.sync(file)
    disk.sync_folder(draft)
    for attempt in range(_ATTEMPTS):
        shutil.rmtree(aside(place), ignore_errors=True)
        with suppress(FileNotFoundError):
            disk.rename(place, aside(place))
        try:
            disk.rename(draft, place)
            break
        except OSError as error:  # somebody has put the old folder back
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or attempt == _ATTEMPTS - 1:
                raise
    disk.sync_folder(place.parent)
    shutil.rmtree(aside(place), ignore_errors=True)


def aside(place: Path) -> Path:
    """Return the path of a folder while another one takes its place."""
    return place.with_name(f".{place.name}{REPLACED}")


def recover_folder(place: Path) -> None:
    """Put a folder back that a kill left aside, or remove it where the new one is in its place."""
    if place.exists():
        shutil.rmtree(aside(place), ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            disk.rename(aside(place), place)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably; raises OSError."""
    missing = [place for place in (folder, *folder.parents) if not place.is_dir()]
    for place in reversed(missing):
        disk.make_folder(place)
        disk.sync_folder(place.parent)


def empty_folder(folder: Path, pattern: str = "*") -> None:
    """Remove the files in a folder; raises OSError."""
    for path in sorted(folder.glob(pattern)):
        disk.unlink(path)


def prepare_folder(folder: Path) -> None:
    """Make a folder and check, before any long work, that files can be written to it.

    Raises:
        UsageError: the folder cannot be made or written to.
    """
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
        remove_drafts(folder)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"cannot write to {folder}: {reason}; choose another --out") from None
