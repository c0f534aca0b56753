"""`finetune`: a pretrained network, trained on with the images."""

import argparse
from pathlib import Path
from typing import Any

from features.backbones.catalog import SCALINGS
from features.config import AUTO, ENGINES, PRECISIONS
from pipeline.commands.arguments import add_network_options, given, names, option_adder
from pipeline.commands.console import show
from pipeline.commands.extract import SCALING, WEIGHTS
from pipeline.commands.help import add_command
from pipeline.config import FinetuneConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "finetune",
        "train a pretrained network on, as a candidate like any other",
        "finetune photos/ --backbone resnet50 --unfreeze conv5 --out results",
    )
    option = option_adder(command, FinetuneConfig)
    option("--backbone", "the network; see `backbones`", metavar="NAME")
    option("--weights", WEIGHTS, metavar="WHAT")
    option("--scaling", SCALING, choices=tuple(SCALINGS))
    option(
        "--unfreeze",
        "the blocks that are trained beside the head, one stage for each: a block "
        "such as conv5_block1 and all deeper ones, a number of blocks, all, or none; without "
        "it, the deepest blocks with two fifths of the weights",
        type=names,
        metavar="BLOCKS",
    )
    option(
        "--epochs",
        "the largest number of epochs of each stage that unfreezes blocks; without it, by the "
        "number of images",
        type=int,
        metavar="N",
    )
    option(
        "--head-epochs",
        "the largest number of epochs of the stage of the head alone; without it, likewise",
        type=int,
        metavar="N",
    )
    option(
        "--learning-rate",
        "the highest learning rate of the head; blocks take a tenth and a hundredth of it; "
        "without it 0.001, and a tenth of it where a logistic regression gives the head",
        type=float,
        metavar="RATE",
    )
    option(
        "--warmup",
        "the epochs in which the rate of a cosine schedule rises",
        type=float,
        metavar="EPOCHS",
    )
    option("--weight-decay", "the weight decay of AdamW", type=float, metavar="SHARE")
    option(
        "--head",
        "the logistic regression of `classify` that the head starts from, by its name or folder; "
        "without it, one in --out that fits the network, or else one fitted for it; none for "
        "random weights",
        metavar="CANDIDATE",
    )
    option(
        "--features",
        "where the feature file of --head lies now, if it has moved",
        type=Path,
        metavar="FILE",
    )
    option(
        "--cache-trunk",
        "compute what is below the trained layers only once; without it, where "
        "that is half of the work",
        action=argparse.BooleanOptionalAction,
    )
    option(
        "--views", "the number of augmented views of each image in the cache", type=int, metavar="K"
    )
    option("--engine", "the engine that fills the cache", choices=(AUTO, *ENGINES))
    option("--engine-precision", "the precision of that engine", choices=(AUTO, *PRECISIONS))
    add_network_options(command, option)

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import finetune

        show(finetune.run(FinetuneConfig(**given(options, FinetuneConfig))).path)

    command.set_defaults(run=run)
    return command
