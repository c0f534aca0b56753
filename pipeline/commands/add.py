"""`add`: the predictions of another tool as one more candidate."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import RESULTS, given, option_adder
from pipeline.commands.console import show
from pipeline.commands.help import add_command
from pipeline.config import AddConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "add",
        "make the validation predictions of another tool a candidate",
        "add results predictions.csv --name my-svm --seconds 12.5",
    )
    command.add_argument("results", type=Path, metavar="FOLDER", help=RESULTS)
    command.add_argument(
        "table",
        type=Path,
        metavar="TABLE",
        help="a .csv or .parquet file with a column `id`, and a column `p:<class>` for each class "
        "or one column `predicted`",
    )
    command.add_argument(
        "--name",
        required=True,
        metavar="NAME",
        help="the name of the candidate, unique in the folder",
    )
    option = option_adder(command, AddConfig)
    option("--title", "the name of the candidate in tables, instead of --name", metavar="TITLE")
    option("--seconds", "the time that it took to fit", type=float, metavar="S")
    option(
        "--replace",
        "replace other predictions that were added under this name",
        action="store_true",
    )

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import add

        show(add.run(AddConfig(**given(options, AddConfig))).path)

    command.set_defaults(run=run)
    return command
