"""`pack`: a candidate as one file to carry away."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import (
    RESULTS,
    add_choosing_options,
    add_rebuilding_options,
    given,
    option_adder,
)
from pipeline.commands.console import show
from pipeline.commands.help import add_command
from pipeline.config import PackConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "pack",
        "put a candidate and all that it needs to predict into one file",
        "pack results --out model.zip",
    )
    command.add_argument(
        "results", type=Path, metavar="FOLDER", help=f"{RESULTS}, or one candidate's in it"
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the .zip file to write"
    )
    option = option_adder(command, PackConfig)
    add_choosing_options(option)
    option(
        "--with-weights",
        "pack the converted network, too, so that neither weights nor TensorFlow are needed where "
        "OpenVINO is",
        action="store_true",
    )
    add_rebuilding_options(option)

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import pack

        show(pack.run(PackConfig(**given(options, PackConfig))))

    command.set_defaults(run=run)
    return command
