"""`scratch`: a CNN trained on the images alone."""

import argparse
from typing import Any

from pipeline.commands.arguments import adder, given, network_options
from pipeline.config import ScratchConfig
from pipeline.networks.architectures import ARCHITECTURES


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser(
        "scratch", help="train a CNN from scratch, as a candidate like any other",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    option = adder(command, ScratchConfig)
    option("--architecture", "of the CNN", choices=tuple(ARCHITECTURES))
    option("--epochs", "at most (none given: the architecture's own)", type=int, metavar="N")
    option("--learning-rate", "the highest (none given: the architecture's own)",
           type=float, metavar="RATE")  # fmt: skip
    option("--weight-decay", "of AdamW", type=float, metavar="SHARE")
    network_options(command, option)
    for trick in ("batchnorm", "dropout", "standardize"):
        option(f"--no-{trick}", "leave it out", field=trick, action="store_false")
    command.add_argument("--no-augment", dest="augment", action="store_const", const=("none",),
                         default=argparse.SUPPRESS, help="as --augment none")  # fmt: skip
    option("--ablate", "train with all of these, without each, and without any; write "
           "ablation.csv", action="store_true")  # fmt: skip

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import scratch

        values = given(options, ScratchConfig)
        print(scratch.run(ScratchConfig(**values, progress=not options.quiet)).path)

    command.set_defaults(run=run)
    return command
