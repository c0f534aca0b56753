"""`classifiers`: the suite."""

import argparse
from typing import Any


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser("classifiers", help="list the classifiers of the suite")

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import classifiers as list_classifiers

        print(list_classifiers.overview())

    command.set_defaults(run=run)
    return command
