"""`finetune`: a pretrained network, trained on with the images."""

import argparse
from pathlib import Path
from typing import Any

from features.backbones.catalog import SCALINGS
from features.config import AUTO, ENGINES, PRECISIONS
from pipeline.commands.arguments import adder, given, names, network_options
from pipeline.config import FinetuneConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser(
        "finetune", help="train a pretrained network on, as a candidate like any other",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    option = adder(command, FinetuneConfig)
    option("--backbone", "see `backbones`", metavar="NAME")
    option(
        "--weights", "imagenet, a weights source, a file, or none for random ones", metavar="WHAT"
    )
    option("--scaling", "pixel scaling of a weights file", choices=tuple(SCALINGS))
    option("--unfreeze", "what is trained beside the head, a stage each: a block such as "
           "conv5_block1 and all deeper ones, a number of blocks, all, or none (none given: the "
           "deepest blocks with 2/5 of the weights)", type=names, metavar="BLOCKS")  # fmt: skip
    option("--epochs", "of each stage that unfreezes, at most", type=int, metavar="N")
    option("--head-epochs", "of the stage of the head alone, at most", type=int, metavar="N")
    option("--learning-rate", "the head's, the highest; blocks take 1/10 and 1/100",
           type=float, metavar="RATE")  # fmt: skip
    option("--warmup", "epochs in which a cosine rises", type=float, metavar="EPOCHS")
    option("--weight-decay", "of AdamW", type=float, metavar="SHARE")
    option("--head", "a logistic regression of `classify` that the head starts from, its name or "
           "folder", metavar="CANDIDATE")  # fmt: skip
    option("--features", "where the feature file of --head lies now", type=Path, metavar="FILE")
    option("--cache-trunk", "compute what is below the trained layers once (none given: where it "
           "is half of the work)", action=argparse.BooleanOptionalAction)  # fmt: skip
    option("--views", "augmented ones of each image in the cache", type=int, metavar="K")
    option("--engine", "that fills the cache", choices=(AUTO, *ENGINES))
    option("--engine-precision", "of it", choices=(AUTO, *PRECISIONS))
    network_options(command, option)

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import finetune

        values = given(options, FinetuneConfig)
        print(finetune.run(FinetuneConfig(**values, progress=not options.quiet)).path)

    command.set_defaults(run=run)
    return command
