"""Commands as a user would type them, for records, reports and advice."""

import shlex
from collections.abc import Sequence
from dataclasses import fields
from typing import Any


def command_line(*words: object) -> str:
    """Return the command that a shell takes, such as "python -m pipeline compare results"."""
    return shlex.join(["python", "-m", "pipeline", *map(str, words)])


def spelled(command: str, config: Any, places: Sequence[str], unsaid: Sequence[str] = ()) -> str:
    """Return the command line that gives a stage its config; defaults are left unsaid.

    Args:
        command: such as "scratch".
        config: a dataclass; a field that is false where its default is not gives "--no-<field>".
        places: fields that have no option's name before them.
        unsaid: further fields to leave out.
    """
    words: list[object] = [command, *(getattr(config, name) for name in places)]
    for field in fields(config):
        value = getattr(config, field.name)
        option = field.name.replace("_", "-")
        if field.name in (*places, *unsaid, "progress") or value == field.default:
            continue
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", _text(value)]
    return command_line(*words)


def _text(value: Any) -> str:
    """Return what an option's type reads as this value."""
    if isinstance(value, tuple):
        return ("x" if isinstance(value[0], int) else ",").join(map(str, value))
    return str(value)
