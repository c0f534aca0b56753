"""How `--help` reads: defaults only where they tell something, and one example at the end."""

import argparse
from typing import Any

PROGRAM = "python -m pipeline"


def example(call: str) -> str:
    """Return the end of a help text: the example that has these arguments."""
    return f"example:\n  {PROGRAM} {call}"


def add_command(commands: Any, name: str, help: str, call: str) -> argparse.ArgumentParser:
    """Add a command to the parser of all commands.

    Args:
        commands: the subparsers of argparse.
        name: the name of the command.
        help: one line that says what it does, beginning with a verb.
        call: the arguments of the example, such as "compare results --metric macro_f1".

    Returns:
        The parser of the command.
    """
    return commands.add_parser(
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}.",
        epilog=example(call),
        formatter_class=HelpFormatter,
    )


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Leaves the example as it is, and adds defaults that tell something."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        tells = default not in (None, (), argparse.SUPPRESS) and not isinstance(default, bool)
        if not tells or "(default" in text or not action.option_strings:
            return text
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        return f"{text} (default: {shown})".replace("%", "%%")

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("example:"):
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)
