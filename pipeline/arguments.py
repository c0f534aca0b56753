"""What commands take: options whose defaults stand in a config, and how their values are read."""

import argparse
from collections.abc import Callable
from dataclasses import fields
from typing import Any


def adder(command: argparse.ArgumentParser, config: type) -> Callable[..., None]:
    """Return what adds an option whose default stands in a stage's config."""
    default = {field.name: field.default for field in fields(config)}

    def option(name: str, help: str, **settings: Any) -> None:
        field = name.removeprefix("--").replace("-", "_")
        command.add_argument(name, default=default[field], help=help, **settings)

    return option


def bootstrap_options(option: Callable[..., None]) -> None:
    """Add what every command that draws intervals takes."""
    option("--resamples", "of the bootstrap", type=int, metavar="N")
    option("--confidence", "of its intervals", type=share, metavar="SHARE")
    option("--seed", "of the bootstrap", type=int)


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
