"""Options that commands take: defaults from a config, and readers of their values."""

import argparse
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from pipeline.config.choices import METRICS, SCHEDULES, TRAINING_PRECISIONS

GROUP_BY = "the column of a manifest whose equal values keep images in the same split"
DAMAGED = "take damaged JPEGs as far as they can be decoded; they are counted"
SPLITS = "the folders that are splits, where their names do not say so: train=a,test=b"
THRESHOLD = (
    "choose the decision threshold between two classes on validation, for the metric; without it, "
    "the more probable class is predicted"
)
RESULTS = "the results folder of `classify`, `finetune` or `scratch`"


def option_adder(command: argparse.ArgumentParser, config: type) -> Callable[..., None]:
    """Return a function that adds an option whose default stands in a stage's config."""
    default = {field.name: field.default for field in fields(config)}

    def add_option(name: str, help: str, field: str = "", **settings: Any) -> None:
        field = field or name.removeprefix("--").replace("-", "_")
        command.add_argument(name, dest=field, default=default[field], help=help, **settings)

    return add_option


def add_json_option(command: argparse.ArgumentParser) -> None:
    """Add the option that turns the text into JSON."""
    command.add_argument("--json", action="store_true", help="print JSON instead of text")


def add_bootstrap_options(option: Callable[..., None]) -> None:
    """Add the options of every command that draws intervals."""
    option("--resamples", "the number of resamples of the bootstrap", type=int, metavar="N")
    option("--confidence", "the confidence level of its intervals", type=share, metavar="SHARE")
    option("--seed", "the seed of the bootstrap", type=int, metavar="N")


def add_choosing_options(option: Callable[..., None]) -> None:
    """Add the options of every command that takes one candidate of a results folder."""
    option(
        "--candidate",
        "the name of a candidate, or best on validation, or recommended by `compare`",
        metavar="NAME",
    )
    option(
        "--metric",
        "the metric of best and recommended; without it, the one that candidates were chosen by",
        choices=METRICS,
    )


def add_rebuilding_options(option: Callable[..., None]) -> None:
    """Add the options of every command that rebuilds a candidate."""
    option("--weights", "the weights file, where features were made from one", metavar="FILE")
    option(
        "--features", "where the feature file lies now, if it has moved", type=Path, metavar="FILE"
    )
    option(
        "--trust",
        "load an estimator of your own, whose file can run any code",
        action="store_true",
    )


def add_judging_options(option: Callable[..., None]) -> None:
    """Add the options of every command that judges new images."""
    option("--top", "how many of the likeliest classes to give", type=int, metavar="N")
    option(
        "--coverage",
        "the promised share of prediction sets that hold the true class",
        type=share,
        metavar="SHARE",
    )
    option(
        "--alarms",
        "the share of images like those learned from that are marked as unlike them",
        type=share,
        metavar="SHARE",
    )


def add_give_up_option(option: Callable[..., None]) -> None:
    """Add the option of every command that recommends a candidate."""
    option(
        "--give-up",
        "the points of the metric that the recommended candidate may be below the best, for a "
        "lower cost",
        type=float,
        metavar="POINTS",
    )


def add_network_options(command: argparse.ArgumentParser, option: Callable[..., None]) -> None:
    """Add the options of every command that trains networks on pixels."""
    command.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="the images with their labels, as `extract` takes them",
    )
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="the results folder, whose splits are taken if it has any",
    )
    option(
        "--name", "the name of the candidate, instead of one that says what it is", metavar="NAME"
    )
    option(
        "--image-size",
        "the pixels a side that the network sees, or HEIGHTxWIDTH",
        type=image_size,
        metavar="SIZE",
    )
    option("--limit", "take only that many images, spread evenly", type=int, metavar="N")
    option("--splits", SPLITS, metavar="SPLIT=FOLDER,...")
    option("--accept-damaged", DAMAGED, action="store_true")
    option(
        "--folds",
        "the number of folds of cross-validation, where the folder has no splits "
        "yet; without it, as in `classify`",
        type=int,
        metavar="K",
    )
    option("--group-by", GROUP_BY, metavar="COLUMN")
    option(
        "--augment",
        "the augmentations, separated by commas: flip, rotation, zoom, "
        "translation, contrast; auto takes what suits the classes, none takes none",
        type=names,
        metavar="NAMES",
    )
    option(
        "--batch-size",
        "the number of images in a training step; without it, by the number of images",
        type=int,
        metavar="N",
    )
    option("--schedule", "how the learning rate changes", choices=SCHEDULES)
    option(
        "--patience",
        "the number of epochs without a lower validation loss that end a stage; 0 for never",
        type=int,
        metavar="N",
    )
    option(
        "--label-smoothing",
        "the share of a label that is spread over all classes",
        type=share,
        metavar="SHARE",
    )
    option("--balanced", "weight the classes by how rare they are", action="store_true")
    option("--precision", "the precision of the training", choices=TRAINING_PRECISIONS)
    option(
        "--no-refit",
        "keep the network that validated instead of training once more on all "
        "images that are not locked",
        field="refit",
        action="store_false",
    )
    option("--metric", "the metric of the validation", choices=METRICS)
    option("--threshold", THRESHOLD, action="store_true")
    option("--restart", "discard this candidate of an earlier run", action="store_true")
    option("--seed", "the seed of splits, weights and everything drawn", type=int, metavar="N")


def given(options: argparse.Namespace, config: type) -> dict[str, Any]:
    """Return the value of each field of a stage's config; `--quiet` turns its progress off."""
    names = [field.name for field in fields(config)]
    values = {name: getattr(options, name) for name in names if name != "progress"}
    return values | ({"progress": not options.quiet} if "progress" in names else {})


def location(text: str) -> str:
    """Return a path or URL as it was given: `Path` would take a slash from a URL."""
    return text


def names(text: str) -> tuple[str, ...]:
    """Return the names that commas separate."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def image_size(text: str) -> tuple[int, int]:
    """Return height and width in pixels of "224" or "224x320"."""
    sides = text.lower().split("x")
    if not (len(sides) in (1, 2) and all(side.isdigit() and int(side) for side in sides)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected pixels such as 224 or 224x320")
    return int(sides[0]), int(sides[-1])


SECONDS = {"h": 3600, "m": 60, "s": 1}  # in each unit of time


def duration(text: str) -> float | None:
    """Return the seconds of "90s", "30m" or "2h", and None of "none"."""
    if text.lower() == "none":
        return None
    number, unit = text[:-1], text[-1:].lower()
    try:
        return float(number) * SECONDS[unit]
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected a time such as 90s, 30m or 2h, or none"
        ) from None


def duration_text(seconds: float | None) -> str:
    """Return the text that `duration` reads as that many seconds."""
    if seconds is None:
        return "none"
    unit = next((unit for unit, size in SECONDS.items() if seconds % size == 0), "s")
    return f"{seconds / SECONDS[unit]:g}{unit}"


def share(text: str) -> float:
    """Return a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a share from 0 to 1, such as 0.05")
    return number
