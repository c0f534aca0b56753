"""`backbones`: what can be tapped."""

import argparse
from typing import Any

from pipeline.commands.arguments import image_size


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser("backbones", help="list the backbones, or the layers of one")
    command.add_argument("name", nargs="?", metavar="NAME")
    command.add_argument("--image-size", type=image_size, metavar="SIZE",
                         help="pixels a side, or HEIGHTxWIDTH")  # fmt: skip
    command.add_argument("--all", action="store_true", help="every layer that can be tapped")

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import backbones

        if options.name:
            print(
                backbones.layers(options.name, options.image_size, recommended_only=not options.all)
            )
        else:
            print(backbones.overview())

    command.set_defaults(run=run)
    return command
