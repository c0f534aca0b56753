"""`report`: a comparison as a page to look at and to hand on."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import (
    RESULTS,
    add_bootstrap_options,
    add_give_up_option,
    given,
    option_adder,
)
from pipeline.commands.console import show
from pipeline.commands.help import add_command
from pipeline.config import ReportConfig
from pipeline.config.choices import METRICS


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "report",
        "write one HTML page: the answer, the table, charts, the mistakes",
        "report results --out report.html",
    )
    command.add_argument(
        "results",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help=f"{RESULTS}; several with equal splits go on one page",
    )
    option = option_adder(command, ReportConfig)
    option("--out", "the page, which works without a network", type=Path, metavar="FILE")
    option(
        "--features",
        "where feature files lie now that have moved",
        type=Path,
        nargs="+",
        metavar="FILE",
    )
    option("--images", "where the images lie now, if they have moved", type=Path, metavar="SOURCE")
    option(
        "--evidence",
        "mistakes of the recommended candidate in which a click shows where the evidence lies; an "
        "eighth of them where it is found by covering parts; 0: none",
        type=int,
        metavar="N",
    )
    option(
        "--metric",
        "the metric that ranks; without it, the one that candidates were chosen by",
        choices=METRICS,
    )
    add_bootstrap_options(option)
    add_give_up_option(option)
    option(
        "--paths", "show whole paths on the page, which may tell who made it", action="store_true"
    )

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import report

        show(report.run(ReportConfig(**given(options, ReportConfig))).path)

    command.set_defaults(run=run)
    return command
