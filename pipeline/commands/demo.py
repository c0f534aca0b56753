"""`demo`: everything on the bundled images."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import option_adder
from pipeline.commands.console import show
from pipeline.commands.help import add_command
from pipeline.config import DemoConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "demo",
        "take the bundled images from pixels to the locked test",
        "demo --out demo",
    )
    option = option_adder(command, DemoConfig)
    option("--out", "the folder of the feature files and the results", type=Path, metavar="FOLDER")

    def run(options: argparse.Namespace) -> None:
        from pipeline.reports import comparison as comparison_report
        from pipeline.reports import evaluation as evaluation_report
        from pipeline.stages import demo

        config = DemoConfig(out=options.out, progress=not options.quiet)
        comparison, evaluation = demo.run(config)
        show(comparison_report.text(comparison), evaluation_report.text(evaluation), sep="\n\n")

    command.set_defaults(run=run)
    return command
