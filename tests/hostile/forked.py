"""The process that looks through a network of anybody's, as a fork: it starts within a moment.

The fork has what this process has imported, so nothing may have run in it that starts threads.
"""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from features.processes import bounded

peaks: list[int] = []  # bytes that each fork needed beyond what it had


@contextmanager
def asking() -> Iterator[None]:
    """Let `bounded.ask` fork."""
    fakes = SimpleNamespace(run=_run, PIPE=None, DEVNULL=None, TimeoutExpired=TimeoutError)
    with patch.object(bounded, "subprocess", fakes):
        yield


def _run(command: list[str], input: bytes, **options: Any) -> SimpleNamespace:
    question, answer = os.pipe(), os.pipe()
    os.write(question[1], input)
    os.close(question[1])
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    with _unlimited():
        fork = os.fork()
    if not fork:
        os.dup2(question[0], 0)
        os.dup2(answer[1], 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stdin = os.fdopen(0)
        bounded.serve()  # never returns
    os.close(answer[1])
    os.close(question[0])
    with os.fdopen(answer[0], "rb") as file:
        said = file.read()
    _, status, used = os.wait4(fork, 0)
    peaks.append(used.ru_maxrss * 1024 - pages * os.sysconf("SC_PAGESIZE"))
    return SimpleNamespace(stdout=said, returncode=os.waitstatus_to_exitcode(status))


@contextmanager
def _unlimited() -> Iterator[None]:
    """Let a fork begin with all memory, as a process does that is started; it limits itself."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limits[1], limits[1]))
    owner = os.getpid()
    yield
    if os.getpid() == owner:
        resource.setrlimit(resource.RLIMIT_AS, limits)
