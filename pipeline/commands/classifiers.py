"""`classifiers`: the suite."""

import argparse
from typing import Any

from pipeline.commands.arguments import add_json_option
from pipeline.commands.console import as_json, show
from pipeline.commands.help import add_command


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands, "classifiers", "list the classifiers of the suite", "classifiers --json"
    )
    add_json_option(command)

    def run(options: argparse.Namespace) -> None:
        from pipeline.reports import classifiers as report
        from pipeline.stages import classifiers

        result = classifiers.run()
        show(as_json({"classifiers": result}) if options.json else report.text(result))

    command.set_defaults(run=run)
    return command
