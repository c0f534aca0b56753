"""`backbones`: the networks that can be used, and their layers."""

import argparse
from typing import Any

from pipeline.commands.arguments import add_json_option, image_size
from pipeline.commands.console import as_json, show
from pipeline.commands.help import add_command
from pipeline.config import BackbonesConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "backbones",
        "list the backbones, or the layers of one",
        "backbones resnet50 --image-size 96",
    )
    command.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="the backbone whose layers are listed, or a file of an own network (.onnx, .xml, "
        ".keras), or timm/NAME; without it, all backbones",
    )
    command.add_argument(
        "--image-size",
        type=image_size,
        metavar="SIZE",
        help="the pixels a side, or HEIGHTxWIDTH; without it, the backbone's own",
    )
    command.add_argument(
        "--all",
        action="store_true",
        help="list every layer that can be tapped, not the recommended ones alone",
    )
    add_json_option(command)

    def run(options: argparse.Namespace) -> None:
        from pipeline.reports import backbones as report
        from pipeline.stages import backbones

        config = BackbonesConfig(options.name, options.image_size, not options.all)
        result = backbones.run(config)
        show(as_json(result) if options.json else report.text(result))

    command.set_defaults(run=run)
    return command
