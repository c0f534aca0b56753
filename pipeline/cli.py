"""The commands and their options. A stage is imported only when its command runs."""

import argparse
import contextlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from features.backbones.catalog import POOLINGS, SCALINGS
from features.config import (
    AUTO,
    ENGINES,
    INTERPOLATIONS,
    PRECISIONS,
    RESIZES,
    STORES,
    ExtractConfig,
)
from features.errors import OffshelfError
from pipeline.arguments import adder, bootstrap_options, duration, given, image_size, names, share
from pipeline.config import ClassifyConfig, CompareConfig, DemoConfig, EvaluateConfig
from pipeline.evaluation.metrics import METRICS

INTERRUPTED, TERMINATED = 130, 143


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code: 0, 1 for data, 2 for usage, 130 for Ctrl-C."""
    options = parser().parse_args(arguments)
    with _as_a_command(options.quiet):
        try:
            return options.run(options) or 0
        except OffshelfError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
        except BrokenPipeError:  # the reader, such as `head`, has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except OSError as error:  # such as no space left in the cache
            place = f"{error.filename}: " if error.filename else ""
            print(f"error: {place}{error.strerror or error}", file=sys.stderr)
            return 1
        except _Terminated:
            return TERMINATED
        except KeyboardInterrupt:
            return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(
        prog="python -m pipeline",
        description="CNN features, off the shelf: extracted fast, stored safely, compared fairly.",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and leave")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_demo, _extract, _classify, _compare, _evaluate, _inspect, _backbones,
                _classifiers, _weights, _fetch, _doctor):  # fmt: skip
        command = add(commands)
        command.add_argument("--quiet", action="store_true", help="no progress, only warnings")
    return top


def _demo(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "demo", help="take the bundled images from pixels to the locked test"
    )
    command.add_argument("--out", type=Path, default=DemoConfig.out, metavar="FOLDER",
                         help="where everything goes (default: %(default)s)")  # fmt: skip

    def run(options: argparse.Namespace) -> None:
        from pipeline import demo

        print(demo.run(DemoConfig(out=options.out, progress=not options.quiet)))

    command.set_defaults(run=run)
    return command


def _extract(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "extract", help="turn images into a feature file",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    command.add_argument(
        "source", type=Path, metavar="SOURCE",
        help="a folder, a .csv or .parquet manifest, a .zip or .tar, a .npz or .h5 of arrays",
    )  # fmt: skip
    command.add_argument("--out", type=Path, required=True, metavar="FILE",
                         help="the feature file to write")  # fmt: skip
    option = adder(command, ExtractConfig)
    option("--backbone", "see `backbones`", metavar="NAME")
    option("--layers", "layers to tap, separated by commas (none given: the last one)",
           type=names, metavar="NAMES")  # fmt: skip
    option("--pooling", "how a layer's positions become one vector", choices=POOLINGS)
    option("--image-size", "pixels a side, or HEIGHTxWIDTH (none given: the backbone's own)",
           type=image_size, metavar="SIZE")  # fmt: skip
    option("--resize", "keep the whole image, or its aspect ratio", choices=RESIZES)
    option("--interpolation", "of the resizing", choices=INTERPOLATIONS)
    option("--exact-decode", "decode JPEGs at full scale also where half would do",
           action="store_true")  # fmt: skip
    option("--weights", "imagenet, an origin, a file, or none for random ones", metavar="WHAT")
    option("--scaling", "pixel scaling of a weights file", choices=tuple(SCALINGS))
    option("--engine", "what runs the network", choices=(AUTO, *ENGINES))
    option("--precision", "of weights and operations", choices=(AUTO, *PRECISIONS))
    option("--batch-size", "images a forward pass", type=int, metavar="N")
    option("--store", "dtype of the stored features", choices=STORES)
    option("--limit", "only that many images, spread evenly", type=int, metavar="N")
    option("--max-rejected", "share of unreadable images that is still a success",
           type=share, metavar="SHARE")  # fmt: skip
    option("--restart", "throw away what an earlier run left", action="store_true")
    option("--seed", "of random weights", type=int)

    def run(options: argparse.Namespace) -> None:
        from pipeline import extract

        values = given(options, ExtractConfig)
        print(extract.run(ExtractConfig(**values, progress=not options.quiet)))

    command.set_defaults(run=run)
    return command


def _classify(commands: Any) -> argparse.ArgumentParser:
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
        from pipeline import classify

        values = given(options, ClassifyConfig) | {"features": tuple(options.features)}
        print(classify.run(ClassifyConfig(**values, progress=not options.quiet)))

    command.set_defaults(run=run)
    return command


def _compare(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "compare", help="rank candidates on validation; the test part stays locked",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    command.add_argument("results", type=Path, nargs="+", metavar="FOLDER",
                         help="results of `classify`")  # fmt: skip
    option = adder(command, CompareConfig)
    option("--out", "folder of comparison.csv and comparison.json (none given: the first one)",
           type=Path, metavar="FOLDER")  # fmt: skip
    option("--metric", "to rank by", choices=METRICS)
    bootstrap_options(option)

    def run(options: argparse.Namespace) -> None:
        from pipeline import compare

        values = given(options, CompareConfig) | {"results": tuple(options.results)}
        print(compare.run(CompareConfig(**values)).text)

    command.set_defaults(run=run)
    return command


def _evaluate(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "evaluate", help="open the locked test part for one candidate, and count it",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    command.add_argument("results", type=Path, metavar="FOLDER", help="results of `classify`")
    option = adder(command, EvaluateConfig)
    option("--candidate", "best or recommended by `compare`, or a name", metavar="NAME")
    option("--features", "where the feature file lies now", type=Path, metavar="FILE")
    bootstrap_options(option)

    def run(options: argparse.Namespace) -> None:
        from pipeline import evaluate

        print(evaluate.run(EvaluateConfig(**given(options, EvaluateConfig))).text)

    command.set_defaults(run=run)
    return command


def _inspect(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser("inspect", help="show what a feature file holds and check it")
    command.add_argument("file", type=Path, metavar="FILE")

    def run(options: argparse.Namespace) -> int:
        from pipeline import inspect

        text, problems = inspect.describe(options.file)
        print(text, end="\n\n")
        for problem in problems:
            print(f"problem: {problem}")
        print("not as it was written" if problems else "every check passed")
        return 1 if problems else 0

    command.set_defaults(run=run)
    return command


def _backbones(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser("backbones", help="list the backbones, or the layers of one")
    command.add_argument("name", nargs="?", metavar="NAME")
    command.add_argument("--image-size", type=image_size, metavar="SIZE",
                         help="pixels a side, or HEIGHTxWIDTH")  # fmt: skip
    command.add_argument("--all", action="store_true", help="every layer that can be tapped")

    def run(options: argparse.Namespace) -> None:
        from pipeline import backbones

        if options.name:
            print(backbones.layers(options.name, options.image_size, worth=not options.all))
        else:
            print(backbones.overview())

    command.set_defaults(run=run)
    return command


def _weights(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser("weights", help="list, fetch or verify pretrained weights")
    command.add_argument("action", choices=("list", "fetch", "verify"))
    command.add_argument("names", nargs="*", metavar="BACKBONE")
    command.add_argument("--origin", default="imagenet", help="fetch from this origin only")

    def run(options: argparse.Namespace) -> None:
        from pipeline import weights

        if options.action == "list":
            print(weights.listing())
        elif options.action == "fetch":
            weights.bring(options.names, options.origin)
        else:
            print("\n".join(weights.verify(options.names)))

    command.set_defaults(run=run)
    return command


def _fetch(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser("fetch", help="fetch a data set: cifar10, mnist, fashion-mnist")
    command.add_argument("name", metavar="NAME")
    command.add_argument("--out", type=Path, metavar="FILE", help="default: data/NAME.h5")

    def run(options: argparse.Namespace) -> None:
        from pipeline import fetch

        out = options.out or Path("data") / f"{options.name}.h5"
        print(fetch.fetch(options.name, out, progress=not options.quiet))

    command.set_defaults(run=run)
    return command


def _classifiers(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser("classifiers", help="list the classifiers of the suite")

    def run(options: argparse.Namespace) -> None:
        from pipeline import list_classifiers

        print(list_classifiers.overview())

    command.set_defaults(run=run)
    return command


def _doctor(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser("doctor", help="show what was found here, and how fast it is")
    command.add_argument("--measure", metavar="BACKBONE", help="run each engine for some seconds")

    def run(options: argparse.Namespace) -> None:
        from pipeline import doctor

        print(doctor.report())
        if options.measure:
            print("\n" + doctor.measure(options.measure))

    command.set_defaults(run=run)
    return command


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        from features import __version__

        print(f"offshelf {__version__}")
        parser.exit()


class _Terminated(KeyboardInterrupt):
    """SIGTERM, handled on the way that Ctrl-C takes."""


@contextlib.contextmanager
def _as_a_command(quiet: bool) -> Iterator[None]:
    """Show messages as plain lines on standard error, and take SIGTERM as Ctrl-C is taken."""
    log, handler = logging.getLogger("offshelf"), logging.StreamHandler()
    handler.setFormatter(_Lines())
    log.addHandler(handler)
    level, before = log.level, signal.signal(signal.SIGTERM, _terminate)
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, meant for their programmers
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.setLevel(level)
            signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: object) -> None:
    raise _Terminated


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return prefix + record.getMessage()
