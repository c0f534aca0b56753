"""From arguments to an exit code."""

import argparse
import errno
import os
import sys
from collections.abc import Callable
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


def main(arguments: list[str] | None = None, supervises: bool = False) -> int:
    """Run one command; return its exit code: 0, 1 for data, 2 for usage, 130 for Ctrl-C.

    Args:
        arguments: the command line; None takes that of this process.
        supervises: whether a command that decodes images runs in a child process, see
            `supervising`; it must not be done where threads are at work.
    """
    replace_unprintable()
    try:
        options = parser().parse_args(arguments)
        with messages_and_signals(options.quiet):
            if supervises and hasattr(options, "unfinished"):
                return _exit_code(lambda: _supervised(options))
            return _run(options)
    except KeyboardInterrupt:  # before the command began, or after its end
        print(f"warning: stopped: {_BEGIN_AGAIN}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def run_and_end() -> NoReturn:
    """Run the command of this process and end it, the entry point of scripts."""
    code = main(supervises=sys.platform == "linux")
    if code in (INTERRUPTED, TERMINATED):
        end_process(code)
    sys.exit(code)


def _supervised(options: argparse.Namespace) -> int:
    from pipeline.commands.supervising import supervised

    def work(goes_on: bool) -> int:
        options.restart = options.restart and not goes_on
        return _run(options)

    folder = options.unfinished(options)
    return _run(options) if folder is None else supervised(work, folder)


def _run(options: argparse.Namespace) -> int:
    return _exit_code(lambda: options.run(options))


def _exit_code(work: Callable[[], int | None]) -> int:
    """Do what a command does; return its exit code, and tell of errors in one line."""
    try:
        with saying_how_to_go_on(lambda: _BEGIN_AGAIN):
            return work() or 0
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
