"""`doctor`: what was found on this machine."""

import argparse
from typing import Any

from pipeline.commands.arguments import add_json_option
from pipeline.commands.console import as_json, show
from pipeline.commands.help import add_command


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "doctor",
        "show the hardware, engines, versions and weights of this machine",
        "doctor --measure resnet50",
    )
    command.add_argument(
        "--measure", metavar="BACKBONE", help="the backbone that each engine runs for some seconds"
    )
    add_json_option(command)

    def run(options: argparse.Namespace) -> None:
        from pipeline.reports import doctor as report
        from pipeline.stages import doctor

        diagnosis = doctor.run()
        if not options.json:
            show(report.text(diagnosis))
        rates = doctor.measure(options.measure) if options.measure else None
        if options.json:
            show(as_json({"machine": diagnosis, "measured": rates}))
        elif rates is not None:
            show(f"\n{report.rates_text(rates)}")

    command.set_defaults(run=run)
    return command
