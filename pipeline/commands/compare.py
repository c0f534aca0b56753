"""`compare`: candidates ranked on validation."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import adder, bootstrap_options, given
from pipeline.config import CompareConfig
from pipeline.statistics.metrics import METRICS


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser(
        "compare", help="rank candidates on validation; the test part stays locked",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    command.add_argument("results", type=Path, nargs="+", metavar="FOLDER",
                         help="results of `classify`")  # fmt: skip
    option = adder(command, CompareConfig)
    option("--out", "folder of comparison.csv and comparison.json (none given: the first one)",
           type=Path, metavar="FOLDER")  # fmt: skip
    option("--metric", "to rank by", choices=METRICS)
    bootstrap_options(option)
    command.add_argument("--report", type=Path, metavar="FILE",
                         help="write all of it as a page, too; see `report`")  # fmt: skip

    def run(options: argparse.Namespace) -> None:
        from pipeline.reports import comparison as reports
        from pipeline.stages import compare, report

        values = given(options, CompareConfig) | {"results": tuple(options.results)}
        comparison = compare.run(CompareConfig(**values))
        print(reports.text(comparison))
        if options.report:
            print(report.write(comparison, options.report))

    command.set_defaults(run=run)
    return command
