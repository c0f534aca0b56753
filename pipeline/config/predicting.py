"""Settings of the stage that predicts new images."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from features.arguments import (
    as_location,
    as_path,
    check_choice,
    check_count,
    check_flag,
    check_share,
    normalize,
    optional,
    refused,
)
from features.config import AUTO, ENGINES, PRECISIONS
from features.remote.location import remote
from pipeline.config.choices import RECOMMENDED, TABLE_SUFFIXES
from pipeline.config.readers import CANDIDATE, check_confidence

EXPLAINED = 100  # images, at most, of which the evidence is shown


@dataclass(frozen=True)
class PredictConfig:
    """Settings of `predict`.

    Attributes:
        results: a results folder, the folder of one candidate in it, or a pack.
        images: one source, as `extract` takes it, or paths of image files.
        out: the table to write, .csv or .parquet.
        candidate: "recommended" by `compare`, "best" on validation, or a name.
        metric: the metric by which "best" and "recommended" are chosen; None takes the one that
            candidates were chosen by.
        top: how many of the likeliest classes to give for each image.
        coverage: the promised share of prediction sets that hold the true class.
        alarms: the share of images like those learned from that are marked as unlike them.
        explain: a folder for pictures that show where the evidence for a class lies, of the first
            `EXPLAINED` images; None makes none.
        submission: a competition's sample file; predictions are also written with its ids, in its
            order, and its columns.
        weights: the weights file, where the features were made from one.
        engine: the engine that computes the features; None takes the one that made those learned
            from.
        precision: the precision of the engine; None takes theirs too.
        features: where the feature file lies now, if it has moved.
        trust: whether to load an analyst's own estimator, whose file can run any code.
        limit: take that many images only, spread evenly over the source.
        restart: discard what an earlier run left and begin anew.
        progress: whether to show a progress bar.
    """

    results: Path
    images: tuple[str, ...]
    out: Path = Path("predictions.csv")
    candidate: str = RECOMMENDED
    metric: str | None = None
    top: int = 3
    coverage: float = 0.95
    alarms: float = 0.02
    explain: Path | None = None
    submission: Path | None = None
    weights: str | None = None
    engine: str | None = None
    precision: str | None = None
    features: Path | None = None
    trust: bool = False
    limit: int | None = None
    restart: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        normalize(
            self,
            **CANDIDATE,
            images=_as_images,
            out=_as_table_path,
            top=check_count,
            coverage=check_confidence,
            alarms=check_share,
            explain=optional(as_path),
            submission=optional(as_location),
            engine=optional(partial(check_choice, choices=(AUTO, *ENGINES))),
            precision=optional(partial(check_choice, choices=(AUTO, *PRECISIONS))),
            limit=optional(check_count),
            restart=check_flag,
            progress=check_flag,
        )


def _as_images(value: Any, option: str) -> tuple[str, ...]:
    """Return paths as text; one path stands alone."""
    paths = [value] if isinstance(value, str | Path) else value
    if not isinstance(paths, Iterable) or not (listed := list(paths)):
        raise refused(value, option, "a path, or a sequence of paths")
    return tuple(_as_text(as_location(path, option)) for path in listed)


def _as_text(path: Path) -> str:
    address = remote(path)
    return str(path) if address is None else address.url


def _as_table_path(value: Any, option: str) -> Path:
    path = as_location(value, option)
    if path.suffix not in TABLE_SUFFIXES:
        raise refused(str(path), option, f"a file ending in {' or '.join(TABLE_SUFFIXES)}")
    return path
