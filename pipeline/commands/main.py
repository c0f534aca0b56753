"""From arguments to an exit code."""

import argparse
import errno
import os
import sys
from typing import NoReturn

from features.errors import OffshelfError
from features.processes.stopping import end_process, saying_how_to_go_on
from features.text import for_terminal
from pipeline.commands.console import Terminated, messages_and_signals, replace_unprintable
from pipeline.commands.parser import parser

INTERRUPTED, TERMINATED = 130, 143

_LONGEST = 1500  # characters of an error, which may quote what anybody has written

_BEGIN_AGAIN = "what is on disk is whole, and the same command does the rest"
# Of a disk, of a quota, of a limit on the size of files.
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)
_MAKE_ROOM = "; make room there, and the same command does the rest"
_OUT_OF_MEMORY = (
    "memory ran out; close other programs, give fewer images (--limit) or layers (--layers), or "
    "use a machine with more; what is on disk is whole"
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code: 0, 1 for data, 2 for usage, 130 for Ctrl-C."""
    replace_unprintable()
    try:
        options = parser().parse_args(arguments)
        with messages_and_signals(options.quiet):
            return _run(options)
    except KeyboardInterrupt:  # before the command began, or after its end
        print(f"warning: stopped: {_BEGIN_AGAIN}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def run_and_end() -> NoReturn:
    """Run the command of this process and end it, the entry point of scripts."""
    code = main()
    if code in (INTERRUPTED, TERMINATED):
        end_process(code)
    sys.exit(code)


def _run(options: argparse.Namespace) -> int:
    """Run a command; return its exit code."""
    try:
        with saying_how_to_go_on(lambda: _BEGIN_AGAIN):
            return options.run(options) or 0
    except OffshelfError as error:
        return _tell(str(error), error.exit_code)
    except BrokenPipeError:
        raise
    except OSError as error:  # such as no space left in the cache
        place = f"{error.filename}: " if error.filename else ""
        full = error.errno in _FULL
        return _tell(f"{place}{error.strerror or error}{_MAKE_ROOM if full else ''}")
    except MemoryError:
        return _tell(_OUT_OF_MEMORY)
    except Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        return INTERRUPTED


def _tell(error: str, code: int = 1) -> int:
    """Print an error in one line; return the exit code."""
    print(for_terminal(f"error: {error}", _LONGEST), file=sys.stderr)
    return code
