"""What commands take: options whose defaults stand in a config, and how their values are read."""

import argparse
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any


def adder(command: argparse.ArgumentParser, config: type) -> Callable[..., None]:
    """Return what adds an option whose default stands in a stage's config."""
    default = {field.name: field.default for field in fields(config)}

    def option(name: str, help: str, field: str = "", **settings: Any) -> None:
        field = field or name.removeprefix("--").replace("-", "_")
        command.add_argument(name, dest=field, default=default[field], help=help, **settings)

    return option


def bootstrap_options(option: Callable[..., None]) -> None:
    """Add what every command that draws intervals takes."""
    option("--resamples", "of the bootstrap", type=int, metavar="N")
    option("--confidence", "of its intervals", type=share, metavar="SHARE")
    option("--seed", "of the bootstrap", type=int)


def network_options(command: argparse.ArgumentParser, option: Callable[..., None]) -> None:
    """Add what every command that trains networks on pixels takes."""
    command.add_argument("source", type=Path, metavar="SOURCE",
                         help="images with labels, as `extract` takes them")  # fmt: skip
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER",
                         help="where results go; if it has splits, these are taken")  # fmt: skip
    option("--name", "of the candidate (none given: what it is)", metavar="NAME")
    option("--image-size", "pixels a side that the network sees, or HEIGHTxWIDTH",
           type=image_size, metavar="SIZE")  # fmt: skip
    option("--limit", "only that many images, spread evenly", type=int, metavar="N")
    option("--folds", "of cross-validation, where the folder has no splits yet (none given: as "
           "`classify`)", type=int, metavar="K")  # fmt: skip
    option("--group-by", "a manifest's column; images equal in it never part", metavar="COLUMN")
    option("--augment", "flip, rotation, zoom, translation, contrast, separated by commas; auto "
           "suits the classes", type=names, metavar="NAMES")  # fmt: skip
    option("--batch-size", "images a step", type=int, metavar="N")
    option("--schedule", "of the learning rate", choices=("cosine", "plateau", "constant"))
    option("--patience", "epochs without a lower validation loss that end a stage; 0: never",
           type=int, metavar="N")  # fmt: skip
    option("--label-smoothing", "share of a label that is spread over all classes",
           type=share, metavar="SHARE")  # fmt: skip
    option("--balanced", "weigh classes by how rare they are", action="store_true")
    option("--precision", "of the training", choices=("auto", "float32", "mixed_bfloat16"))
    option("--no-refit", "keep the network that validated instead of training once more on all "
           "images that are not locked", field="refit", action="store_false")  # fmt: skip
    option("--metric", "by which its validation is told",
           choices=("accuracy", "balanced_accuracy", "macro_f1"))  # fmt: skip
    option("--restart", "throw this candidate of an earlier run away", action="store_true")
    option("--seed", "of splits, weights and everything drawn", type=int)


def given(options: argparse.Namespace, config: type) -> dict[str, Any]:
    """Return what was given for each field of a stage's config, but for its progress."""
    wanted = [field.name for field in fields(config) if field.name != "progress"]
    return {name: getattr(options, name) for name in wanted}


def names(text: str) -> tuple[str, ...]:
    """Return what stands between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def image_size(text: str) -> tuple[int, int]:
    """Return height and width in pixels of "224" or "224x320"."""
    sides = text.lower().split("x")
    if not (len(sides) in (1, 2) and all(side.isdigit() and int(side) for side in sides)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected pixels such as 224 or 224x320")
    return int(sides[0]), int(sides[-1])


def duration(text: str) -> float | None:
    """Return the seconds of "90s", "30m" or "2h", and None of "none"."""
    if text.lower() == "none":
        return None
    seconds = {"s": 1, "m": 60, "h": 3600}
    number, unit = text[:-1], text[-1:].lower()
    try:
        return float(number) * seconds[unit]
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected a time such as 90s, 30m or 2h, or none"
        ) from None


def share(text: str) -> float:
    """Return a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a share from 0 to 1, such as 0.05")
    return number
