"""The one way to an HDF5 file that anybody may have made: it is opened after a look through it.

The look is taken by another process, see `hdf5_lookout`, which is started for the first file and
ends with this one. A file that was looked through, or that we wrote, is not looked through again
while its size, its times and its place on the disk stay the same.
"""

import atexit
import json
import os
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import h5py

from features.errors import DataError
from features.processes.packages import state_of
from features.processes.python import command_of

_START = "from features.storage.hdf5_lookout import serve; serve()"
_known: set[tuple[object, ...]] = set()


def opened(path: Path, names: Sequence[str] | None = None) -> h5py.File:
    """Return an HDF5 file, open for reading, after a look through it.

    Args:
        path: a regular file.
        names: what will be read of it, in lower case: datasets at its top, and attributes of the
            file. None: all of it.

    Raises:
        DataError: HDF5 crashes on it, or it goes beyond a bound; the message does not name it.
        OSError: it is no HDF5 file, or cannot be opened.
    """
    check(path, names)
    return h5py.File(path, "r", locking=False)


def check(path: Path, names: Sequence[str] | None = None, is_for_hdf5: bool = False) -> None:
    """Look through a file, as `opened` does, without opening it here.

    Args:
        path: an HDF5 file, or a `.keras` file with one in it.
        names: as in `opened`.
        is_for_hdf5: whether its chunks will be read by HDF5, which Keras does, and not by
            `hdf5_chunks`.

    Raises:
        DataError: as `opened`.
    """
    key = (*state_of(path), None if names is None else tuple(names), is_for_hdf5)
    if key in _known:
        return
    if (problem := _lookout.problem_of(path, names, is_for_hdf5)) is not None:
        raise DataError(problem)
    _known.add(key)


def vouch(path: Path) -> None:
    """Take a file that this process has just written for looked through."""
    with suppress(OSError):
        _known.add((*state_of(path), None, False))


class _Lookout:
    """The process that looks through files, started when the first one comes."""

    def __init__(self) -> None:
        self._lock, self._owner = threading.Lock(), 0
        self._process: subprocess.Popen[bytes] | None = None

    def problem_of(self, path: Path, names: Sequence[str] | None, is_for_hdf5: bool) -> str | None:
        request = json.dumps([str(path.absolute()), names, is_for_hdf5]).encode() + b"\n"
        with self._lock:
            process = self._started()
            assert process.stdin is not None  # noqa: S101 - both are pipes
            assert process.stdout is not None  # noqa: S101
            try:
                process.stdin.write(request)
                process.stdin.flush()
                answer = process.stdout.readline()
            except BrokenPipeError:
                answer = b""
            except BaseException:  # Ctrl-C: the answer would be taken for that of the next file
                process.kill()
                self._end()
                raise
            if not answer:
                self._end()
                return "the process that looks through files before they are read has ended"
            return None if (problem := json.loads(answer)) is None else str(problem)

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._owner != os.getpid():  # a fork shares no pipe with us
            self._owner = os.getpid()
            self._process = subprocess.Popen(  # noqa: S603
                command_of(_START),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # others would be lost in forks
                start_new_session=True,  # Ctrl-C in a terminal is for the parent alone
            )  # fmt: skip
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.communicate()


_lookout = _Lookout()
atexit.register(_lookout._end)
