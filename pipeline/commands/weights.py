"""`weights`: list, fetch, verify."""

import argparse
from typing import Any

from features.config import ExtractConfig
from pipeline.commands.arguments import add_json_option
from pipeline.commands.console import as_json, show
from pipeline.commands.help import add_command

ACTIONS = ("list", "fetch", "verify")


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "weights",
        "list, fetch or verify pretrained weights",
        "weights fetch vgg16 resnet50",
    )
    command.add_argument(
        "action", choices=ACTIONS, help="list what is in the cache, fetch, or verify what is there"
    )
    command.add_argument(
        "names",
        nargs="*",
        metavar="BACKBONE",
        help="the backbones; without it, list and verify take all",
    )
    command.add_argument(
        "--weights-source",
        default=ExtractConfig.weights,
        metavar="SOURCE",
        help="the only weights source to fetch from; imagenet tries them all",
    )
    add_json_option(command)

    def run(options: argparse.Namespace) -> None:
        from features.errors import UsageError
        from pipeline.reports import weights as report
        from pipeline.stages import weights

        if options.json and options.action != "list":
            raise UsageError(f"--json goes with `weights list`, not with `{options.action}`")
        if options.action == "list":
            result = weights.list_weights(options.names)
            show(as_json(result) if options.json else report.text(result))
        elif options.action == "fetch":
            weights.fetch_weights(options.names, options.weights_source)
        else:
            show("\n".join(weights.verify_weights(options.names)))

    command.set_defaults(run=run)
    return command
