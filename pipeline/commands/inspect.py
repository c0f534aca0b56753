"""`inspect`: what a feature file holds."""

import argparse
from typing import Any

from pipeline.commands.arguments import add_json_option, location
from pipeline.commands.console import as_json, show
from pipeline.commands.help import add_command


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands, "inspect", "show what a feature file holds, and check it", "inspect photos.h5"
    )
    command.add_argument("file", type=location, metavar="FILE", help="a feature file")
    add_json_option(command)

    def run(options: argparse.Namespace) -> int:
        from pipeline.reports import inspection as report
        from pipeline.stages import inspect

        inspection = inspect.run(options.file)
        show(as_json(report.data(inspection)) if options.json else report.text(inspection))
        return 1 if inspection.problems else 0

    command.set_defaults(run=run)
    return command
