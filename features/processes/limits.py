"""Limits on memory and time of a process that may be lost."""

import os
import signal
from contextlib import suppress
from pathlib import Path

_PATIENCE = 5  # times the seconds of the processor, where others use it too


def limit(memory: int, seconds: int) -> None:
    """Limit this process, as far as the system has these limits.

    Args:
        memory: bytes that it may take beyond those that it has.
        seconds: processor time that it may take from now on; five times as much by the clock.
    """
    signal.alarm(_PATIENCE * seconds)
    no_core_dump()
    _lower("RLIMIT_CPU", seconds + int(sum(os.times()[:2])))
    if taken := memory_bytes():
        _lower("RLIMIT_AS", taken + memory)


def memory_bytes() -> int:
    """Return the bytes of this process's address space; 0 where the system does not say."""
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return pages * os.sysconf("SC_PAGESIZE")
    return 0


def no_core_dump() -> None:
    """Have a crash of this process leave no file of its memory."""
    _lower("RLIMIT_CORE", 0)


def longest(seconds: int) -> int:
    """Return the seconds by the clock after which a process of such a limit has ended."""
    return _PATIENCE * seconds


def _lower(name: str, value: int) -> None:
    with suppress(ImportError, OSError, ValueError):
        import resource

        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(
            kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard)
        )
