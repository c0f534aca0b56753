"""`classify`: classifiers on feature files."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import adder, duration, given, names
from pipeline.config import ClassifyConfig
from pipeline.statistics.metrics import METRICS


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser(
        "classify", help="fit, tune and record classifiers on feature files",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    command.add_argument("features", type=Path, nargs="+", metavar="FEATURES",
                         help="feature files of the same images")  # fmt: skip
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER",
                         help="where results go; what is finished there is kept")  # fmt: skip
    option = adder(command, ClassifyConfig)
    option("--classifiers", "see `classifiers` (none given: all)", type=names, metavar="NAMES")
    option("--layers", "of each file, or all (none given: the deepest)",
           type=names, metavar="NAMES")  # fmt: skip
    option("--metric", "by which settings are chosen", choices=METRICS)
    option("--folds", "of cross-validation (none given: a fifth is held out, or 5 folds where "
           "images are few)", type=int, metavar="K")  # fmt: skip
    option("--group-by", "a manifest's column; images equal in it never part", metavar="COLUMN")
    command.add_argument("--no-tune", dest="tune", action="store_false", default=True,
                         help="take defaults instead of searching")  # fmt: skip
    option("--budget", "time for the whole, such as 90s, 30m, 2h or none", type=duration)
    option("--restart", "throw away candidates and splits of an earlier run", action="store_true")
    option("--seed", "of splits, searches and classifiers", type=int)

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import classify

        values = given(options, ClassifyConfig) | {"features": tuple(options.features)}
        print(classify.run(ClassifyConfig(**values, progress=not options.quiet)))

    command.set_defaults(run=run)
    return command
