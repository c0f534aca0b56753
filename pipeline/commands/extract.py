"""`extract`: images to a feature file."""

import argparse
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
from pipeline.commands.arguments import adder, given, image_size, names, share


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
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
    option(
        "--weights", "imagenet, a weights source, a file, or none for random ones", metavar="WHAT"
    )
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
        from pipeline.stages import extract

        values = given(options, ExtractConfig)
        print(extract.run(ExtractConfig(**values, progress=not options.quiet)))

    command.set_defaults(run=run)
    return command
