"""The process that looks through HDF5 files, by forks of itself that may be lost; see `hdf5_walk`.

A fork has limits on memory, processor time and time for each file. It goes on to the next file as
long as it met none with any fault, since a fork for each of a thousand shards costs more than the
looks. What it does not take then, a new one looks at: no file is refused because of another one.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from features.processes.limits import limit, memory_bytes
from features.storage import hdf5_walk
from features.storage.hdf5_walk import MEMORY_BYTES

CPU_SECONDS, MOST_CPU_SECONDS = 3, 3600  # for a small file, and for the largest
_BYTES_A_SECOND = 2**25  # of the file, that are looked through at least
_LEFT_BYTES = 2**26  # that files may leave in the memory of a fork which goes on


def serve() -> None:
    """Answer each line of standard input, arguments of `problem_of`, by a line: what it returns."""
    looker: _Looker | None = None
    for line in sys.stdin.buffer:
        if not hasattr(os, "fork"):
            answer = _answer(hdf5_walk.problem_of(*json.loads(line)))
        elif not (answer := looker.ask(line) if looker else b""):
            looker = _Looker()
            answer = looker.ask(line) or _answer(_how_it_ended(looker.status, line))
        os.write(1, answer)


class _Looker:
    """A fork of this process that looks at files in turn.

    Attributes:
        status: how it ended, as `os.waitpid` gives it.
    """

    def __init__(self) -> None:
        """Fork."""
        self._socket, asked = socket.socketpair()
        self._pid, self.status = os.fork(), 0
        if not self._pid:
            self._socket.close()
            _look(asked)
        asked.close()
        self._answers = self._socket.makefile("rb")

    def ask(self, line: bytes) -> bytes:
        """Return its answer; none where it has ended, or ends at this file."""
        answer = b""
        with suppress(OSError):
            self._socket.sendall(line)
            answer = self._answers.readline()
        if not answer and self._pid:
            self._answers.close()
            self._socket.close()
            self.status, self._pid = os.waitpid(self._pid, 0)[1], 0
        return answer


def _look(asked: socket.socket) -> None:
    """Look at files until one leaves a doubt about this process, and end."""
    before = memory_bytes()
    for number, line in enumerate(asked.makefile("rb")):
        request = json.loads(line)
        limit(MEMORY_BYTES, _cpu_seconds(request[0]))
        problem = hdf5_walk.problem_of(*request)
        signal.alarm(0)
        has_faults = problem is not None or bool(hdf5_walk.passed_over)
        if not (has_faults and number):
            asked.sendall(_answer(problem))
        if has_faults or memory_bytes() > before + _LEFT_BYTES:
            break
    os._exit(0)


def _answer(problem: str | None) -> bytes:
    return json.dumps(problem and problem[:500]).encode() + b"\n"


def _cpu_seconds(path: str) -> int:
    with suppress(OSError):
        more = Path(path).stat().st_size // _BYTES_A_SECOND
        return min(CPU_SECONDS + more, MOST_CPU_SECONDS)
    return CPU_SECONDS


def _how_it_ended(status: int, line: bytes) -> str:
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number in (signal.SIGALRM, signal.SIGXCPU, signal.SIGKILL):
        seconds = _cpu_seconds(json.loads(line)[0])
        what = f"needs more than {seconds} s to look through it"
    else:
        what = f"crashes on it ({signal.Signals(number).name if number else f'status {status}'})"
    return f"HDF5 {what}; it is damaged, or was made to do harm"
