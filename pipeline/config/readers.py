"""Readers of values that only the stages of this package take; see `features.arguments`."""

import os
from collections.abc import Iterable, Mapping
from functools import partial
from numbers import Real
from typing import Any

from features.arguments import (
    Reader,
    as_location,
    as_names,
    check_choice,
    check_flag,
    check_share,
    check_text,
    optional,
    refused,
)
from features.errors import UsageError
from pipeline.config.choices import (
    AUGMENTATIONS,
    AUTO_AUGMENTATION,
    BEST,
    EXTERNAL_SECONDS,
    LABEL_METRICS,
    METRICS,
    MODELS_FOLDER,
    NO_AUGMENTATION,
    RECOMMENDED,
)

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def check_not_negative(value: Any, option: str) -> float:
    """Return a finite number of at least 0, as float."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value < float("inf"):
        raise refused(value, option, "a number of at least 0")
    return float(value)


def as_bytes(value: Any, option: str) -> int:
    """Return a number of bytes: of a number as it is, of a text such as "4G" or "500M"."""
    text = str(value).strip().upper().removesuffix("B").removesuffix("I")
    number, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "")
    try:
        size = float(number) * _UNITS.get(unit, 1)
    except ValueError:
        size = 0.0
    if isinstance(value, bool) or not 2**20 <= size < 2**62:
        raise refused(value, option, "at least a megabyte, such as 500M or 4G")
    return int(size)


def check_confidence(value: Any, option: str) -> float:
    """Return a number between 0 and 1, which are left out, as float."""
    if (number := check_share(value, option)) in (0, 1):
        raise refused(value, option, "a number between 0 and 1, such as 0.95")
    return number


def check_threshold(asked: bool, metric: str) -> None:
    """Raise UsageError where a threshold is asked for, and the metric is of no classes."""
    if asked and metric not in LABEL_METRICS:
        raise UsageError(
            f"--threshold: no threshold changes {metric}; give it a --metric of predicted classes: "
            f"{', '.join(LABEL_METRICS[:-1])} or {LABEL_METRICS[-1]}"
        )


def as_augmentations(value: Any, option: str) -> tuple[str, ...]:
    """Return names of augmentations; "auto" and "none" stand alone."""
    alone = (AUTO_AUGMENTATION, NO_AUGMENTATION)
    names = as_names(value, option, (*AUGMENTATIONS, *alone), at_least=1)
    if len(names) > 1 and (wrong := [name for name in names if name in alone]):
        raise UsageError(f"{option}={','.join(names)}: {wrong[0]} stands alone")
    return names


def as_blocks(value: Any, option: str) -> tuple[str, ...]:
    """Return names of blocks or numbers of blocks as text; an int is one number of blocks."""
    blocks = [value] if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(blocks, Iterable) and not isinstance(blocks, str):
        blocks = [str(block) if type(block) is int else block for block in blocks]
    return as_names(blocks, option)


def as_classifiers(value: Any, option: str) -> tuple[Any, ...]:
    """Return names of the suite's classifiers; what is no string in a sequence is left as it is."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return as_names(value, option)
    return tuple(
        check_text(item, option).strip() if isinstance(item, str) else item for item in value
    )


def as_text_or_path(value: Any, option: str) -> str:
    """Return a name, or a path as text."""
    return check_text(os.fspath(value) if isinstance(value, os.PathLike) else value, option)


# How every stage reads which candidate it rebuilds, and from what.
CANDIDATE: dict[str, Reader] = {
    "results": as_location,
    "metric": optional(partial(check_choice, choices=METRICS)),
    "weights": optional(as_text_or_path),
    "features": optional(as_location),
    "trust": check_flag,
}


def check_new_name(value: Any, option: str) -> str:
    """Return the name of a new candidate, which is that of a folder."""
    name = check_text(value, option)
    if name.startswith(".") or any(sign in name for sign in '/\\:*?"<>|\0'):
        raise refused(value, option, "a name that a folder can have, such as my-svm")
    if name == MODELS_FOLDER:
        raise refused(value, option, f"another name: the folder {name} holds estimators' models")
    if name in (BEST, RECOMMENDED):
        raise refused(value, option, f"another name: {name} is what `evaluate` chooses by")
    return name


def as_seconds(value: Any, option: str) -> dict[str, float]:
    """Return seconds by name; a number is the time to fit, None is nothing."""
    if value is None:
        return {}
    times = value if isinstance(value, Mapping) else {"fit": value}
    for name in times:
        check_choice(name, option, EXTERNAL_SECONDS)
    return {name: check_not_negative(time, option) for name, time in times.items()}


def as_table(value: Any, option: str) -> Any:
    """Return the path of a table, or a pandas frame as it is."""
    if isinstance(value, str | os.PathLike):
        return as_location(value, option)
    if not hasattr(value, "columns"):
        raise refused(type(value).__name__, option, "a path, or a pandas frame")
    return value
