"""The memory that is free, and the peak memory of this process since a reset."""

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

_SELF = Path("/proc/self")
_RESET = "5"  # written to clear_refs: the peak starts anew from what is held now


def reset_peak() -> None:
    """Start the peak anew, where the system can (Linux)."""
    with suppress(OSError):
        (_SELF / "clear_refs").write_text(_RESET)


def peak_since_reset() -> int:
    """Return the peak of resident bytes, mapped files included; 0 where it is not known."""
    with suppress(OSError):
        for line in (_SELF / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def give_back() -> None:
    """Give what this process has freed back to the system, which counts it as held until then."""
    if arrow := sys.modules.get("pyarrow"):
        arrow.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError, TypeError):  # of GNU's C library alone
        ctypes.CDLL(None).malloc_trim(0)


def free_bytes() -> int:
    """Return the memory that is free, as far as the system tells it; 8 GiB where it does not."""
    free = [8 * 2**30]
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        free = [int(line.split()[1]) * 1024]
    with suppress(OSError, ValueError):  # those of a container
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())
        free.append(most - int((group / "memory.current").read_text()))
    return max(0, min(free))
