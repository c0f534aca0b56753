"""`report`: a comparison as a page to look at and to hand on."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import adder, bootstrap_options, given
from pipeline.config import ReportConfig
from pipeline.statistics.metrics import METRICS


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser(
        "report", help="write one HTML page: the answer, the table, charts, the mistakes",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    command.add_argument("results", type=Path, nargs="+", metavar="FOLDER",
                         help="results of `classify`")  # fmt: skip
    option = adder(command, ReportConfig)
    option("--out", "the page; it works without a network", type=Path, metavar="FILE")
    option("--features", "where feature files lie now that have moved",
           type=Path, nargs="+", metavar="FILE")  # fmt: skip
    option("--images", "where the images lie now, if they have moved", type=Path, metavar="SOURCE")
    option("--metric", "to rank by", choices=METRICS)
    bootstrap_options(option)

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import report

        values = given(options, ReportConfig)
        values |= {name: tuple(values[name]) for name in ("results", "features")}
        print(report.run(ReportConfig(**values)))

    command.set_defaults(run=run)
    return command
