"""How a command speaks: messages on standard error, JSON on standard output, signals."""

import contextlib
import io
import json
import logging
import math
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from features.remote import places
from features.text import in_line, visible_lines


class Terminated(KeyboardInterrupt):
    """SIGTERM, handled the way Ctrl-C is."""


@contextlib.contextmanager
def messages_and_signals(quiet: bool) -> Iterator[None]:
    """Show messages as plain lines on standard error, and handle SIGTERM as Ctrl-C is."""
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


def replace_unprintable() -> None:
    """Have characters replaced that standard output cannot encode, instead of an error raised.

    A terminal or a pipe may be in cp1252 or ASCII, and a file's name may not be text at all.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="replace")


def show(*texts: object, sep: str = "\n") -> None:
    """Print texts and paths on standard output, without what a terminal would obey.

    A text may have several lines; what anybody has chosen in it must be in one line already.
    """
    shown = [in_line(text) if isinstance(text, Path) else str(text) for text in texts]
    print(visible_lines(places.shown(sep.join(shown))))


def as_json(data: Any) -> str:
    """Return valid JSON of dataclasses, mappings, sequences and scalars."""
    return json.dumps(_plain(data), indent=1, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return what JSON knows; numbers that are not finite become null."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def _terminate(number: int, frame: object) -> None:
    raise Terminated


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return prefix + in_line(record.getMessage())
