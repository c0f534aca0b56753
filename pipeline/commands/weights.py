"""`weights`: list, fetch, verify."""

import argparse
from typing import Any


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser("weights", help="list, fetch or verify pretrained weights")
    command.add_argument("action", choices=("list", "fetch", "verify"))
    command.add_argument("names", nargs="*", metavar="BACKBONE")
    command.add_argument("--weights-source", default="imagenet", metavar="SOURCE",
                         help="fetch from this weights source only")  # fmt: skip

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import weights

        if options.action == "list":
            print(weights.listing())
        elif options.action == "fetch":
            weights.bring(options.names, options.weights_source)
        else:
            print("\n".join(weights.verify(options.names)))

    command.set_defaults(run=run)
    return command
