"""How another Python is started that has our packages, and nothing of its surroundings."""

import sys
from pathlib import Path

_FIND_PACKAGES = "import sys; sys.path[:] = sys.argv[1:]; "


def command_of(code: str) -> list[str]:
    """Return the command line of a Python that runs code, with the import path of this one."""
    root = str(Path(__file__).resolve().parents[2])  # a checkout need not be installed
    return [sys.executable, "-I", "-c", _FIND_PACKAGES + code, *sys.path, root]
