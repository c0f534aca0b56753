"""`map`: features laid out in the plane."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import given, location, option_adder
from pipeline.commands.console import show
from pipeline.commands.help import add_command
from pipeline.config import MapConfig
from pipeline.config.choices import MAP_METHODS, MOST_DRAWN


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "map",
        "lay the images of a feature file out so that similar ones lie together",
        "map photos.h5 --results results --out map.html",
    )
    command.add_argument("features", type=location, metavar="FEATURES", help="a feature file")
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="an .html page or a .png picture; a .csv goes with it",
    )
    option = option_adder(command, MapConfig)
    option("--layer", "the layer of the feature file; without it, the deepest", metavar="NAME")
    option(
        "--method",
        'the method; umap needs an extra: pip install "offshelf[umap]"',
        choices=MAP_METHODS,
    )
    option(
        "--results",
        "the results folder of these images, which knows who is locked and who was misclassified",
        type=Path,
        metavar="FOLDER",
    )
    option("--images", "where the images lie now, if they have moved", type=Path, metavar="SOURCE")
    option(
        "--sample",
        f"how many images are laid out and drawn, where there are more than {MOST_DRAWN:,}; the "
        "others are placed among them",
        type=int,
        metavar="N",
    )
    option("--limit", "take only that many images, spread evenly", type=int, metavar="N")
    option(
        "--components",
        "the number of principal components that the method sees",
        type=int,
        metavar="N",
    )
    option(
        "--perplexity",
        "about how many neighbours an image has; without it, 30, or fewer for few images",
        type=float,
        metavar="P",
    )
    option("--seed", "the seed of everything random", type=int, metavar="N")

    def run(options: argparse.Namespace) -> None:
        from pipeline.reports import map_text
        from pipeline.stages import map

        show(map_text.text(map.run(MapConfig(**given(options, MapConfig)))))

    command.set_defaults(run=run)
    return command
