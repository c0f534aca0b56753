"""`inspect`: what a feature file holds."""

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser("inspect", help="show what a feature file holds and check it")
    command.add_argument("file", type=Path, metavar="FILE")

    def run(options: argparse.Namespace) -> int:
        from pipeline.stages import inspect

        text, problems = inspect.describe(options.file)
        print(text, end="\n\n")
        for problem in problems:
            print(f"problem: {problem}")
        print("not as it was written" if problems else "every check passed")
        return 1 if problems else 0

    command.set_defaults(run=run)
    return command
