"""`consolidate`: a feature file in the other layout, or made of several."""

import argparse
from typing import Any

from features.records import LAYOUTS
from pipeline.commands.arguments import given, location, option_adder
from pipeline.commands.console import show
from pipeline.commands.help import add_command
from pipeline.config import ConsolidateConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "consolidate",
        "make one feature file of many shards, shards of one file, or one file of several",
        "consolidate photos.h5 --out photos-in-one.h5",
    )
    command.add_argument(
        "features",
        nargs="+",
        type=location,
        metavar="FILE",
        help="a feature file, of one in shards the index, a path or a URL; or several of the same "
        "settings, whose rows are joined",
    )
    command.add_argument(
        "--out",
        type=location,
        required=True,
        metavar="FILE",
        help="the feature file to write; a path or a URL",
    )
    option = option_adder(command, ConsolidateConfig)
    option(
        "--layout",
        "the layout to write; without it, the other one, and of several sharded where one is",
        choices=LAYOUTS,
    )

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import consolidate

        show(consolidate.run(ConsolidateConfig(**given(options, ConsolidateConfig))))

    command.set_defaults(run=run)
    return command
