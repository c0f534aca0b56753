"""`doctor`: what was found on this machine."""

import argparse
from typing import Any


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser("doctor", help="show what was found here, and how fast it is")
    command.add_argument("--measure", metavar="BACKBONE", help="run each engine for some seconds")

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import doctor

        print(doctor.report())
        if options.measure:
            print("\n" + doctor.measure(options.measure))

    command.set_defaults(run=run)
    return command
