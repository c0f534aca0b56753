"""The peak memory of this process since a reset."""

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
