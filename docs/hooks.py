"""Pages that are made while the site is built: the reference of commands, from their parser."""

import argparse
import os
from collections.abc import Iterator
from typing import Any

WIDTH = 96  # characters a line of help, whatever the terminal

INTRODUCTION = """# Commands

Made from the parser itself: what stands here is what `--help` prints. Each command is called as
`python -m pipeline COMMAND`, or as `offshelf COMMAND` after `pip install`.

It ends with exit code 0 when all went well, 1 when something is wrong with the data, 2 when an
argument cannot be meant, and 130 when Ctrl-C stopped it; the same command then goes on.

Results go to standard output, progress and messages to standard error. Commands with `--json` print
their result as JSON for other programs. `offshelf --print-completion bash` (or `zsh`) prints a
script that completes commands, options and file names in that shell; for bash:

```sh
offshelf --print-completion bash > ~/.local/share/bash-completion/completions/offshelf
```
"""


def on_files(files: Any, config: Any) -> Any:
    """Add the reference of commands to the files of the site (an event of MkDocs)."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "commands.md", content=command_reference()))
    return files


def command_reference() -> str:
    """Return the help of every command as one page of Markdown."""
    from pipeline.commands.parser import parser

    os.environ["COLUMNS"] = str(WIDTH)  # which argparse reads
    sections = [_section(command, level) for command, level in _commands(parser(), level=2)]
    return "\n".join([INTRODUCTION, *sections])


def _commands(
    parser: argparse.ArgumentParser, level: int
) -> Iterator[tuple[argparse.ArgumentParser, int]]:
    """Yield the commands of a parser, each followed by its own, with the level of its heading."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield command, level
                yield from _commands(command, level + 1)


def _section(command: argparse.ArgumentParser, level: int) -> str:
    name = command.prog.removeprefix("python -m pipeline ")
    return f"{'#' * level} {name}\n\n```text\n{command.format_help().rstrip()}\n```\n"
