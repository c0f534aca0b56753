"""`map`: features laid out in the plane."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands.arguments import adder, given
from pipeline.config import MapConfig


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = commands.add_parser(
        "map", help="lay the images of a feature file out so that similar ones lie together",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    command.add_argument("features", type=Path, metavar="FEATURES", help="a feature file")
    command.add_argument("--out", type=Path, required=True, metavar="FILE",
                         help="an .html page or a .png picture; a .csv goes with it")  # fmt: skip
    option = adder(command, MapConfig)
    option("--layer", "of the feature file (none given: the deepest)", metavar="NAME")
    option("--method", 'umap is an extra: pip install "offshelf[umap]"',
           choices=("tsne", "umap"))  # fmt: skip
    option("--results", "of `classify` on these images: who is locked, who was misclassified",
           type=Path, metavar="FOLDER")  # fmt: skip
    option("--images", "where the images lie now, if not where they were", type=Path,
           metavar="SOURCE")  # fmt: skip
    option("--limit", "take that many images, spread evenly", type=int, metavar="N")
    option("--components", "principal components that the method sees", type=int, metavar="N")
    option("--perplexity", "about how many neighbours an image has", type=float, metavar="P")
    option("--seed", "of everything random", type=int)

    def run(options: argparse.Namespace) -> None:
        from pipeline.reports import map_text
        from pipeline.stages import map

        config = MapConfig(**given(options, MapConfig), progress=not options.quiet)
        print(map_text.text(map.run(config)))

    command.set_defaults(run=run)
    return command
