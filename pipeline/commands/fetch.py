"""`fetch`: public data sets."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import given, option_adder
from pipeline.commands.console import show
from pipeline.commands.help import add_command
from pipeline.config import FetchConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "fetch",
        "fetch a public data set as a file that `extract` takes",
        "fetch cifar10 --out data/cifar10.h5",
    )
    command.add_argument(
        "name", metavar="NAME", help="the data set: cifar10, mnist or fashion-mnist"
    )
    option = option_adder(command, FetchConfig)
    option("--out", "the file to write (default: data/NAME.h5)", type=Path, metavar="FILE")

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import fetch

        show(fetch.run(FetchConfig(**given(options, FetchConfig))))

    command.set_defaults(run=run)
    return command
