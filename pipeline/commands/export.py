"""`export`: a candidate as one network file for other runtimes."""

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
from pipeline.config import ExportConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "export",
        "write a candidate as one network from pixels to probabilities, for other runtimes",
        "export results --out model.onnx",
    )
    command.add_argument(
        "results", type=Path, metavar="FOLDER", help=f"{RESULTS}, one candidate's in it, or a pack"
    )
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="a .onnx or .keras file, or a folder for OpenVINO",
    )
    option = option_adder(command, ExportConfig)
    add_choosing_options(option)
    add_rebuilding_options(option)

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import export

        show(export.run(ExportConfig(**given(options, ExportConfig))))

    command.set_defaults(run=run)
    return command
