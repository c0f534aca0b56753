"""`compare`: candidates ranked on validation."""

import argparse
import json
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import (
    RESULTS,
    add_bootstrap_options,
    add_give_up_option,
    add_json_option,
    given,
    option_adder,
)
from pipeline.commands.console import as_json, show
from pipeline.commands.help import add_command
from pipeline.config import CompareConfig
from pipeline.config.choices import METRICS


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "compare",
        "rank candidates on validation; the test split stays locked",
        "compare results --report report.html",
    )
    command.add_argument(
        "results",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help=f"{RESULTS}; several with equal splits are ranked together",
    )
    option = option_adder(command, CompareConfig)
    option(
        "--out",
        "the folder of comparison.csv and comparison.json; without it, the first results folder",
        type=Path,
        metavar="FOLDER",
    )
    option(
        "--metric",
        "the metric that ranks; without it, the one that candidates were chosen by",
        choices=METRICS,
    )
    add_bootstrap_options(option)
    add_give_up_option(option)
    command.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="the HTML page to write all of it to; see `report`",
    )
    add_json_option(command)

    def run(options: argparse.Namespace) -> None:
        from pipeline.reports import comparison as reports
        from pipeline.stages import compare, report

        comparison = compare.run(CompareConfig(**given(options, CompareConfig)))
        page = report.write(comparison, options.report).path if options.report else None
        if options.json:
            facts = json.loads(reports.json_text(comparison))
            show(as_json(facts | {"files": comparison.files, "report": page}))
        else:
            show(reports.text(comparison), *[page] if page else [], sep="\n")

    command.set_defaults(run=run)
    return command
