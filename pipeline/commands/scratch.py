"""`scratch`: a CNN trained on the images alone."""

import argparse
from typing import Any

from pipeline.commands.arguments import add_network_options, given, option_adder
from pipeline.commands.console import show
from pipeline.commands.help import add_command
from pipeline.config import ScratchConfig
from pipeline.config.choices import ARCHITECTURES, NO_AUGMENTATION

TRICKS = {
    "batchnorm": "leave batch normalization out",
    "dropout": "leave dropout out",
    "standardize": "leave the standardization of pixels out",
}


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "scratch",
        "train a CNN from scratch, as a candidate like any other",
        "scratch photos/ --architecture small --out results",
    )
    option = option_adder(command, ScratchConfig)
    option("--architecture", "the architecture of the CNN", choices=ARCHITECTURES)
    option(
        "--epochs",
        "the largest number of epochs; without it, by the number of images",
        type=int,
        metavar="N",
    )
    option(
        "--learning-rate",
        "the highest learning rate; without it, the architecture's own",
        type=float,
        metavar="RATE",
    )
    option("--weight-decay", "the weight decay of AdamW", type=float, metavar="SHARE")
    add_network_options(command, option)
    for trick, text in TRICKS.items():
        option(f"--no-{trick}", text, field=trick, action="store_false")
    command.add_argument(
        "--no-augment",
        dest="augment",
        action="store_const",
        const=(NO_AUGMENTATION,),
        default=argparse.SUPPRESS,
        help="leave augmentation out, as --augment none does",
    )
    option(
        "--ablate",
        "train with all of these, without each of them, and without any; write ablation.csv",
        action="store_true",
    )

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import scratch

        show(scratch.run(ScratchConfig(**given(options, ScratchConfig))).path)

    command.set_defaults(run=run)
    return command
