"""The parser of all commands, and the script that completes them in a shell."""

import argparse
from pathlib import Path
from typing import Any, NoReturn

from pipeline.commands import COMMANDS
from pipeline.commands.arguments import location
from pipeline.commands.help import PROGRAM, HelpFormatter, example

SCRIPT = "offshelf"  # what `pip install` puts on the path
SHELLS = ("bash", "zsh")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with exit code 2."""
        self.exit(2, f"error: {message}; `{self.prog} --help` shows what can be given\n")


def parser(program: str = PROGRAM) -> Parser:
    """Return the parser of all commands."""
    top = Parser(
        prog=program,
        description="CNN features, off the shelf: extracted fast, stored safely, compared fairly.",
        epilog=example("demo"),
        formatter_class=HelpFormatter,
    )
    top.add_argument("--version", action=_PrintVersion, nargs=0, help="print the version and exit")
    top.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=SHELLS,
        metavar="SHELL",
        help=f"print a script that completes `{SCRIPT}` in bash or zsh, and exit",
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        command = module.add(commands)
        command.add_argument(
            "--quiet", action="store_true", help="show warnings only, and no progress"
        )
    return top


class _PrintVersion(argparse.Action):
    def __call__(self, caller: argparse.ArgumentParser, *rest: object) -> None:
        from features import __version__

        print(f"offshelf {__version__}")
        caller.exit()


class _PrintCompletion(argparse.Action):
    def __call__(
        self, caller: argparse.ArgumentParser, namespace: object, shell: Any, *rest: object
    ) -> None:
        print(completion(shell))
        caller.exit()


def completion(shell: str) -> str:
    """Return the script that completes the installed command in a shell, one of `SHELLS`."""
    import shtab

    completed = parser(SCRIPT)
    for action in _paths(completed):
        kind = shtab.DIRECTORY if action.metavar == "FOLDER" else shtab.FILE
        action.complete = kind  # type: ignore[attr-defined] # shtab reads it there
    return shtab.complete(completed, shell)


def _paths(command: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments that take a path, those of all commands among them."""
    paths = []
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            paths += [path for inner in action.choices.values() for path in _paths(inner)]
        elif action.type in (Path, location):
            paths.append(action)
    return paths
