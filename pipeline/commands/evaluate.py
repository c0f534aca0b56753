"""`evaluate`: the locked test, once."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import (
    RESULTS,
    add_bootstrap_options,
    add_choosing_options,
    add_json_option,
    given,
    option_adder,
)
from pipeline.commands.console import as_json, show
from pipeline.commands.help import add_command
from pipeline.config import EvaluateConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "evaluate",
        "open the locked test for one candidate, and count the opening",
        "evaluate results --candidate recommended",
    )
    command.add_argument("results", type=Path, metavar="FOLDER", help=RESULTS)
    option = option_adder(command, EvaluateConfig)
    add_choosing_options(option)
    option(
        "--features", "where the feature file lies now, if it has moved", type=Path, metavar="FILE"
    )
    option(
        "--source",
        "where the images lie now, if they have moved, for a network",
        type=Path,
        metavar="SOURCE",
    )
    option(
        "--trust",
        "load an estimator of your own, whose file can run any code",
        action="store_true",
    )
    add_bootstrap_options(option)
    add_json_option(command)

    def run(options: argparse.Namespace) -> None:
        from pipeline.reports import evaluation as report
        from pipeline.stages import evaluate

        result = evaluate.run(EvaluateConfig(**given(options, EvaluateConfig)))
        show(as_json(report.data(result)) if options.json else report.text(result))

    command.set_defaults(run=run)
    return command
