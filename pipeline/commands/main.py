"""From arguments to an exit code: one command, its messages, its signals."""

import argparse
import contextlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator

from features.errors import OffshelfError
from pipeline.commands import COMMANDS

INTERRUPTED, TERMINATED = 130, 143


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code: 0, 1 for data, 2 for usage, 130 for Ctrl-C."""
    options = parser().parse_args(arguments)
    with _as_a_command(options.quiet):
        try:
            return options.run(options) or 0
        except OffshelfError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
        except BrokenPipeError:  # the reader, such as `head`, has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except OSError as error:  # such as no space left in the cache
            place = f"{error.filename}: " if error.filename else ""
            print(f"error: {place}{error.strerror or error}", file=sys.stderr)
            return 1
        except _Terminated:
            return TERMINATED
        except KeyboardInterrupt:
            return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(
        prog="python -m pipeline",
        description="CNN features, off the shelf: extracted fast, stored safely, compared fairly.",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and leave")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        command = module.add(commands)
        command.add_argument("--quiet", action="store_true", help="no progress, only warnings")
    return top


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        from features import __version__

        print(f"offshelf {__version__}")
        parser.exit()


class _Terminated(KeyboardInterrupt):
    """SIGTERM, handled on the way that Ctrl-C takes."""


@contextlib.contextmanager
def _as_a_command(quiet: bool) -> Iterator[None]:
    """Show messages as plain lines on standard error, and take SIGTERM as Ctrl-C is taken."""
    log, handler = logging.getLogger("offshelf"), logging.StreamHandler()
    handler.setFormatter(_Lines())
    log.addHandler(handler)
    level, before = log.level, signal.signal(signal.SIGTERM, _terminate)
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, meant for their programmers
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.setLevel(level)
            signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: object) -> None:
    raise _Terminated


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return prefix + record.getMessage()
