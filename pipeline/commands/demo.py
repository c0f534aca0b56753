"""`demo`: everything on the bundled images."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.config import DemoConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser(
        "demo", help="take the bundled images from pixels to the locked test"
    )
    command.add_argument("--out", type=Path, default=DemoConfig.out, metavar="FOLDER",
                         help="where everything goes (default: %(default)s)")  # fmt: skip

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import demo

        print(demo.run(DemoConfig(out=options.out, progress=not options.quiet)))

    command.set_defaults(run=run)
    return command
