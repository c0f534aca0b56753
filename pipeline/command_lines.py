"""Command lines as a user would type them, for records, reports and advice."""

import shlex
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from features.remote.homes import without_home


def command_line(*words: object) -> str:
    """Return the command line of these words, such as "python -m pipeline compare results".

    Paths below the user's folder begin with "~", so that the line does not tell who that is.
    """
    return " ".join(["python", "-m", "pipeline", *(_quoted(without_home(word)) for word in words)])


def _quoted(word: str) -> str:
    """Return a word for a shell, which is to see a "~" that begins it."""
    return f"~/{shlex.quote(word[2:])}" if word[:2] == "~/" and word[2:] else shlex.quote(word)


def config_command_line(
    command: str, config: Any, positional: Sequence[str], omit: Sequence[str] = ()
) -> str:
    """Return the command line that gives a stage this config; defaults are left out.

    Args:
        command: the name of the command, such as "scratch".
        config: a dataclass; a field that is False where its default is True gives "--no-<field>".
        positional: the fields that are positional arguments.
        omit: further fields to leave out.
    """
    words: list[object] = [command, *(getattr(config, name) for name in positional)]
    for field in fields(config):
        value = getattr(config, field.name)
        option = field.name.replace("_", "-")
        if field.name in (*positional, *omit, "progress") or value == field.default:
            continue
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", option_text(value)]
    return command_line(*words)


def option_text(value: Any) -> str:
    """Return the text that the option reads as this value."""
    if not isinstance(value, tuple):
        return str(value)
    if isinstance(value[0], tuple):  # splits and their folders
        return ",".join("=".join(pair) for pair in value)
    return ("x" if isinstance(value[0], int) else ",").join(map(str, value))
