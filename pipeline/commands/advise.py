"""`advise`: what to do next with these images."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import adder, given
from pipeline.config import AdviseConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser(
        "advise", help="say from a feature file whether to classify, fine-tune or train anew",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    command.add_argument("features", type=Path, metavar="FEATURES", help="a feature file")
    option = adder(command, AdviseConfig)
    option("--out", "results folder for advice.json, whose splits are taken if it has some (none "
           "given: beside the feature file)", type=Path, metavar="FOLDER")  # fmt: skip
    option("--folds", "of cross-validation, as `classify` has it", type=int, metavar="K")
    option("--group-by", "a manifest's column; images equal in it never part", metavar="COLUMN")
    option("--seed", "of splits and choices of rows", type=int)

    def run(options: argparse.Namespace) -> None:
        from pipeline.reports import advice
        from pipeline.stages import advise

        values = given(options, AdviseConfig)
        print(advice.text(advise.run(AdviseConfig(**values, progress=not options.quiet))))

    command.set_defaults(run=run)
    return command
