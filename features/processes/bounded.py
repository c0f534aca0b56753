"""Work on a file that anybody may have made, done by a process of its own that may be lost.

The process has limits on memory and time. Where it crashes, loops or fills its memory, the file is
refused in one line, and the caller goes on.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from typing import Any

from features.errors import DataError, MissingPackageError, UsageError
from features.processes.limits import limit, longest
from features.processes.python import command_of

_START = "from features.processes.bounded import serve; serve()"
_ERRORS = {error.__name__: error for error in (UsageError, DataError, MissingPackageError)}


def ask(function: str, request: dict[str, Any], memory: int, seconds: int) -> Any:
    """Return what a function of ours returns when another process calls it.

    Args:
        function: "module:name" of a function that takes keyword arguments and returns what JSON
            holds.
        request: its keyword arguments, of types that JSON knows.
        memory: the bytes that it may take beyond what Python and its module take.
        seconds: the processor time that it may take.

    Raises:
        DataError: the process crashed, or went beyond a limit; the message begins with "it".
        OffshelfError: what the function itself raised.
    """
    question = json.dumps([function, request, memory, seconds]).encode()
    try:
        ended = subprocess.run(  # noqa: S603
            command_of(_START),
            input=question, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
            timeout=longest(seconds) + 60,
            start_new_session=True,  # Ctrl-C in a terminal is for the parent alone
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise DataError(_too_long(seconds)) from None
    try:
        kind, value = json.loads(ended.stdout)
    except ValueError:
        raise DataError(_how_it_ended(ended.returncode, seconds)) from None
    if kind in _ERRORS:
        raise _ERRORS[kind](value)
    return value


def serve() -> None:
    """Answer the question on standard input by one line of JSON: [kind, value]."""
    function, request, memory, seconds = json.loads(sys.stdin.buffer.readline())
    answer_to = os.dup(1)
    os.dup2(2, 1)  # libraries print
    module, _, name = function.partition(":")
    call = getattr(importlib.import_module(module), name)
    prepare = getattr(importlib.import_module(module), "prepare", None)
    try:
        if prepare is not None:
            prepare()  # its imports are no part of what the file costs
        limit(memory, seconds)
        answer = ["", call(**request)]
    except MemoryError:
        answer = ["DataError", f"it needs more than {memory >> 20:,} MiB of memory"]
    except tuple(_ERRORS.values()) as error:
        answer = [type(error).__name__, str(error)]
    os.write(answer_to, json.dumps(answer).encode() + b"\n")
    os._exit(0)  # what a library would do at its end is of no use


def _too_long(seconds: int) -> str:
    return f"it takes more than {seconds} s to look through it"


def _how_it_ended(status: int, seconds: int) -> str:
    if status in (-signal.SIGALRM, -signal.SIGXCPU, -signal.SIGKILL):
        return _too_long(seconds)
    what = signal.Signals(-status).name if status < 0 else f"status {status}"
    return f"what reads it crashes ({what}); it is damaged, or was made to do harm"
