"""`serve`: a candidate behind HTTP."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import (
    RESULTS,
    add_choosing_options,
    add_judging_options,
    add_rebuilding_options,
    given,
    option_adder,
)
from pipeline.commands.help import add_command
from pipeline.config import ServeConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "serve",
        "answer requests for predictions over HTTP, and show a page to drop images on",
        "serve model.zip --port 8000",
    )
    command.add_argument(
        "results", type=Path, metavar="FOLDER", help=f"{RESULTS}, one candidate's in it, or a pack"
    )
    option = option_adder(command, ServeConfig)
    add_choosing_options(option)
    option("--host", "the address to listen on; 0.0.0.0 is reached from everywhere", metavar="NAME")
    option("--port", "the port to listen on; 0 takes a free one", type=int, metavar="N")
    option("--max-batch", "images that are computed at a time", type=int, metavar="N")
    option(
        "--max-delay",
        "milliseconds that an image waits for others, at most",
        type=float,
        metavar="MS",
    )
    option("--max-waiting", "images that wait; more are refused with 503", type=int, metavar="N")
    option(
        "--max-requests",
        "requests that arrive at a time; more are refused with 503",
        type=int,
        metavar="N",
    )
    option("--max-body", "MiB of a request; more are refused with 413", type=int, metavar="N")
    option("--timeout", "seconds for a request to arrive, then 408", type=float, metavar="S")
    add_judging_options(option)
    add_rebuilding_options(option)

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import serve

        serve.run(ServeConfig(**given(options, ServeConfig)))

    command.set_defaults(run=run)
    return command
