"""A command whose work is done by a child process, which is begun again when it crashes.

An image may crash what decodes it. That ends the child alone; the next child finds the image,
rejects it (see `features.extraction.watch`), and goes on from what is on disk. Ctrl-C and SIGTERM
reach the child by way of its parent, each once, whoever sent them to whom. The child ends with its
parent, whatever ends that.
"""

import fcntl
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from features.disk.durable import TEMPORARY
from features.disk.locks import CONTENT
from features.errors import DataError
from features.extraction.watch import NOTE
from pipeline.commands.console import Terminated

log = logging.getLogger("offshelf")

# By which a process ends that crashes; SIGKILL is what the system sends when memory is short.
_CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGKILL")
_MOST = 3  # crashes with nothing done in between
# What the parent sends for what it gets, as the child may get the same from a terminal.
_FORWARDED = {signal.SIGINT: signal.SIGUSR1, signal.SIGTERM: signal.SIGUSR2}


def supervised(work: Callable[[bool], int], folder: Path) -> int:
    """Do work in a child process; return its exit code, in the child and in the parent.

    Args:
        work: does it and returns the exit code; it takes whether to go on with what a child has
            begun.
        folder: where unfinished work lies, by which it is told whether a child has done something.

    Raises:
        DataError: the child keeps crashing without having done anything.
    """
    before, crashes = _done(folder), 0
    goes_on = False
    while True:
        child = _forked()
        if not child:
            return work(goes_on)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code >= 0:
            return code
        name = signal.Signals(-code).name
        if name not in _CRASHES:
            _end_by(-code)
        done = _done(folder)
        crashes = crashes + 1 if done == before else 1
        if crashes == _MOST:
            raise DataError(
                f"the process that does the work has ended {_MOST} times ({name}) and got no "
                "further, which no image that it decoded explains: memory may be short, or the "
                f"engine crashes (--engine names another one); what was done is kept in {folder}"
            )
        if log.isEnabledFor(logging.INFO):
            print(file=sys.stderr)  # there may be the bar of the child
        log.warning("the process that does the work has ended (%s) and is begun again", name)
        goes_on = goes_on or done != before or any(folder.glob(f"*{NOTE}"))
        before = done


def _done(folder: Path) -> set[str]:
    """Return the names of files that show what was done."""
    names = {path.name for path in folder.glob(CONTENT)}
    return {name for name in names if not name.endswith((NOTE, TEMPORARY))}


def _forked() -> int:
    """Fork; return 0 in the child, which ends with its parent, and its number in the parent."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    lifeline, held = os.pipe()
    answered = {number for number in _FORWARDED if signal.getsignal(number) != signal.SIG_IGN}
    signal.pthread_sigmask(signal.SIG_BLOCK, answered)
    try:
        child = os.fork()
        if child:
            os.close(lifeline)  # the other end is open until this process ends
        else:
            os.close(held)
            _end_with(lifeline)
        for number in answered:
            signal.signal(number, _forwarding_to(child) if child else _ignore)
            if not child:
                signal.signal(_FORWARDED[number], _stop)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, answered)
    return child


def _end_with(lifeline: int) -> None:
    """Have the system end this process when the other end of a pipe closes.

    SIGIO, which it then sends to the owner of the pipe, ends a process that does not handle it.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _forwarding_to(child: int) -> Callable[[int, Any], None]:
    def forward(number: int, frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, _FORWARDED[signal.Signals(number)])

    return forward


def _ignore(number: int, frame: object) -> None:
    """Do nothing; unlike SIG_IGN this is not inherited by programs that the child starts."""


def _stop(number: int, frame: object) -> None:
    raise Terminated if number == _FORWARDED[signal.SIGTERM] else KeyboardInterrupt


def _end_by(number: int) -> NoReturn:
    """End this process by the signal that ended its child."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise SystemExit(128 + number)
