"""`fetch`: public data sets."""

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser("fetch", help="fetch a data set: cifar10, mnist, fashion-mnist")
    command.add_argument("name", metavar="NAME")
    command.add_argument("--out", type=Path, metavar="FILE", help="default: data/NAME.h5")

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import fetch

        out = options.out or Path("data") / f"{options.name}.h5"
        print(fetch.fetch(options.name, out, progress=not options.quiet))

    command.set_defaults(run=run)
    return command
