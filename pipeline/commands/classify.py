"""`classify`: classifiers on feature files."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import (
    GROUP_BY,
    THRESHOLD,
    duration,
    duration_text,
    given,
    location,
    names,
    option_adder,
)
from pipeline.commands.console import show
from pipeline.commands.help import add_command
from pipeline.config import ClassifyConfig
from pipeline.config.choices import METRICS


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "classify",
        "fit, tune and record classifiers on feature files",
        "classify photos.h5 --out results --budget 30m",
    )
    command.add_argument(
        "features",
        type=location,
        nargs="+",
        metavar="FEATURES",
        help="the feature files, all of the same images",
    )
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="the folder of the results; what is finished there is kept",
    )
    option = option_adder(command, ClassifyConfig)
    option(
        "--classifiers",
        "the classifiers, separated by commas; without it, all that `classifiers` lists",
        type=names,
        metavar="NAMES",
    )
    option(
        "--layers",
        "the layers of each file, separated by commas, or all; a plus joins layers, such as "
        "block3_pool+block5_pool or vgg16:block5_pool+resnet50:conv5_block3_out, and all+ joins "
        "all; without it, the deepest",
        type=names,
        metavar="NAMES",
    )
    option("--metric", "the metric by which settings are chosen", choices=METRICS)
    option("--threshold", THRESHOLD, action="store_true")
    option(
        "--folds",
        "the number of folds of cross-validation; without it, a fifth of the images "
        "is held out, or 5 folds are made where images are few",
        type=int,
        metavar="K",
    )
    option("--group-by", GROUP_BY, metavar="COLUMN")
    option(
        "--no-tune",
        "take the defaults of classifiers instead of searching",
        field="tune",
        action="store_false",
    )
    option(
        "--budget",
        "the time for the whole run, such as 90s, 30m, 2h or none "
        f"(default: {duration_text(ClassifyConfig.budget)})",
        type=duration,
        metavar="TIME",
    )
    option(
        "--memory",
        "the memory for the whole run, such as 4G; features that do not fit are read in blocks "
        "(default: half of what is free)",
        metavar="SIZE",
    )
    option(
        "--restart", "discard the candidates and the splits of an earlier run", action="store_true"
    )
    option("--seed", "the seed of splits, searches and classifiers", type=int, metavar="N")

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import classify

        show(classify.run(ClassifyConfig(**given(options, ClassifyConfig))).path)

    command.set_defaults(run=run)
    return command
