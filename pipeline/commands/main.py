"""From arguments to an exit code."""

import argparse
import os
import sys

from features.errors import OffshelfError
from features.text import visible_lines
from pipeline.commands.console import Terminated, messages_and_signals, replace_unprintable
from pipeline.commands.parser import parser

INTERRUPTED, TERMINATED = 130, 143


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code: 0, 1 for data, 2 for usage, 130 for Ctrl-C."""
    replace_unprintable()
    try:
        options = parser().parse_args(arguments)
        with messages_and_signals(options.quiet):
            return _run(options)
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(options: argparse.Namespace) -> int:
    """Run a command; return its exit code."""
    try:
        return options.run(options) or 0
    except OffshelfError as error:
        print(visible_lines(f"error: {error}"), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        raise
    except OSError as error:  # such as no space left in the cache
        place = f"{error.filename}: " if error.filename else ""
        print(visible_lines(f"error: {place}{error.strerror or error}"), file=sys.stderr)
        return 1
    except Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        return INTERRUPTED
