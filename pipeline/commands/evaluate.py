"""`evaluate`: the locked test, once."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import adder, bootstrap_options, given
from pipeline.config import EvaluateConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser(
        "evaluate", help="open the locked test part for one candidate, and count it",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    command.add_argument("results", type=Path, metavar="FOLDER", help="results of `classify`")
    option = adder(command, EvaluateConfig)
    option("--candidate", "best or recommended by `compare`, or a name", metavar="NAME")
    option("--features", "where the feature file lies now", type=Path, metavar="FILE")
    option("--source", "where the images lie now, for a network", type=Path, metavar="SOURCE")
    bootstrap_options(option)

    def run(options: argparse.Namespace) -> None:
        from pipeline.reports import evaluation
        from pipeline.stages import evaluate

        print(evaluation.text(evaluate.run(EvaluateConfig(**given(options, EvaluateConfig)))))

    command.set_defaults(run=run)
    return command
