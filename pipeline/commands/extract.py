"""`extract`: images to a feature file."""

import argparse
from pathlib import Path
from typing import Any

from features.backbones.catalog import POOLINGS, SCALINGS
from features.config import (
    AUTO,
    ENGINES,
    EXECUTORS,
    INT8,
    INTERPOLATIONS,
    PRECISIONS,
    RESIZES,
    STORES,
    ExtractConfig,
)
from features.records import LAYOUTS
from features.sources.reading import Reading
from pipeline.commands.arguments import (
    DAMAGED,
    SPLITS,
    given,
    image_size,
    location,
    names,
    option_adder,
    share,
)
from pipeline.commands.console import show
from pipeline.commands.help import add_command

WEIGHTS = "imagenet, the name of one weights source, a weights file, or none for random weights"
SCALING = "the pixel scaling of a weights file, or of an own network whose file does not say it"


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command; return its parser."""
    command = add_command(
        commands,
        "extract",
        "turn images into a feature file",
        "extract photos/ --backbone resnet50 --out photos.h5",
    )
    command.add_argument(
        "source",
        type=location,
        metavar="SOURCE",
        help="a folder, a .csv or .parquet manifest, a .zip or .tar, a pattern of .tar shards, or "
        "a .npz or .h5 of arrays; a path or a URL",
    )
    command.add_argument(
        "--out",
        type=location,
        required=True,
        metavar="FILE",
        help="the feature file to write; a path or a URL",
    )
    option = option_adder(command, ExtractConfig)
    _add_network_options(option)
    _add_image_options(option)
    option("--store", "the dtype of the stored features", choices=STORES)
    option(
        "--layout",
        "one file, or many behind a small index, for what no single file should hold",
        choices=LAYOUTS,
    )
    option("--restart", "discard what an earlier run left", action="store_true")
    option(
        "--trust-source",
        "take images for those of an earlier run by their names, labels and sizes alone",
        action="store_true",
    )
    option(
        "--seed",
        "the seed of random weights, and of the images that int8 is calibrated on",
        type=int,
        metavar="N",
    )

    _add_ray_options(option)
    command.add_argument(
        "--dry-run", action="store_true", help="say how the source is read, and stop"
    )

    def run(options: argparse.Namespace) -> None:
        from pipeline.stages import extract

        config = ExtractConfig(**given(options, ExtractConfig))
        if options.dry_run:
            show("\n".join(_lines(extract.read_source(config))))
        else:
            show(extract.run(config))

    command.set_defaults(run=run, unfinished=_unfinished)
    return command


def _unfinished(options: argparse.Namespace) -> Path | None:
    from pipeline.stages import extract

    config = ExtractConfig(**given(options, ExtractConfig))
    return None if options.dry_run else extract.unfinished(config)


def _lines(reading: Reading) -> list[str]:
    return [reading.sentence(), *(f"warning: {warning}" for warning in reading.warnings)]


def _add_network_options(option: Any) -> None:
    option(
        "--backbone",
        "the network, or the hand-crafted descriptor, see `backbones`; or a file of an own network "
        "(.onnx, .xml, .keras), or timm/NAME",
        metavar="NAME",
    )
    option(
        "--layers",
        "the layers to tap, separated by commas; without it, the last one",
        type=names,
        metavar="NAMES",
    )
    option("--pooling", "how the positions of a layer become one vector", choices=POOLINGS)
    option("--weights", WEIGHTS, metavar="WHAT")
    option("--scaling", SCALING, choices=tuple(SCALINGS))
    option("--engine", "the engine that runs the network", choices=(AUTO, *ENGINES))
    option(
        "--precision", "the precision of weights and operations", choices=(AUTO, *PRECISIONS, INT8)
    )
    option(
        "--force-int8",
        "take int8 also where it loses more of the features than the guard allows",
        action="store_true",
    )
    option("--batch-size", "the number of images in a forward pass", type=int, metavar="N")


def _add_ray_options(option: Any) -> None:
    option(
        "--executor",
        "where rows are computed: in this process, or by the workers of a Ray cluster",
        choices=EXECUTORS,
    )
    option(
        "--ray-address",
        "the cluster; without it $RAY_ADDRESS, or one that is started on this machine",
        metavar="ADDRESS",
    )
    option("--workers", "the workers of Ray; without it one a node or GPU", type=int, metavar="N")
    option("--gpus-per-worker", "the GPUs of each worker of Ray", type=int, metavar="N")


def _add_image_options(option: Any) -> None:
    option(
        "--image-size",
        "the pixels a side that the network sees, or HEIGHTxWIDTH; without it, the backbone's own",
        type=image_size,
        metavar="SIZE",
    )
    option(
        "--resize", "stretch keeps the whole image, crop keeps its aspect ratio", choices=RESIZES
    )
    option("--interpolation", "how pixels are resampled", choices=INTERPOLATIONS)
    option(
        "--exact-decode",
        "decode JPEGs at full scale also where half of it would do",
        action="store_true",
    )
    option("--accept-damaged", DAMAGED, action="store_true")
    option(
        "--decode-memory",
        "the GiB that decoding may take, all threads together; an image beyond it is rejected",
        type=float,
        metavar="GIB",
    )
    option("--limit", "take only that many images, spread evenly", type=int, metavar="N")
    option("--splits", SPLITS, metavar="SPLIT=FOLDER,...")
    option(
        "--max-rejected",
        "the share of unreadable images up to which the run is a success",
        type=share,
        metavar="SHARE",
    )
