"""`advise`: what to do next with these images."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import GROUP_BY, given, location, option_adder
from pipeline.commands.console import show
from pipeline.commands.help import add_command
from pipeline.config import AdviseConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "advise",
        "say from a feature file whether to classify, fine-tune or train a CNN from scratch",
        "advise photos.h5 --out results",
    )
    command.add_argument("features", type=location, metavar="FEATURES", help="a feature file")
    option = option_adder(command, AdviseConfig)
    option(
        "--out",
        "the results folder for advice.json, whose splits are taken if it has any; "
        "without it, the file goes beside the feature file",
        type=Path,
        metavar="FOLDER",
    )
    option(
        "--folds",
        "the number of folds of cross-validation; without it, as in `classify`",
        type=int,
        metavar="K",
    )
    option("--group-by", GROUP_BY, metavar="COLUMN")
    option("--seed", "the seed of the splits and of the choice of rows", type=int, metavar="N")

    def run(options: argparse.Namespace) -> None:
        from pipeline.reports import advice
        from pipeline.stages import advise

        show(advice.text(advise.run(AdviseConfig(**given(options, AdviseConfig)))))

    command.set_defaults(run=run)
    return command
