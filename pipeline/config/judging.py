"""Settings of the stages that judge candidates."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from features.arguments import (
    as_location,
    as_locations,
    check_choice,
    check_count,
    check_flag,
    check_text,
    normalize,
    optional,
)
from pipeline.config.choices import BEST, METRICS
from pipeline.config.readers import (
    as_seconds,
    as_table,
    check_confidence,
    check_new_name,
    check_not_negative,
)

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES, CONFIDENCE = 1000, 0.95  # of every bootstrap
GIVE_UP = 0.5  # points of the metric, at most, for a lower cost


@dataclass(frozen=True)
class AddConfig:
    """Settings of `add`.

    Attributes:
        results: a results folder, whose splits say which images validate.
        table: a .csv or .parquet file with the predictions of another tool, or a pandas frame: a
            column `id`, and for each image that validates either a probability for each class
            (columns `p:<class>`, or named like the classes) or a predicted class (column
            `predicted` or `label`).
        name: the candidate's name, unique in the folder.
        title: the candidate's name in tables; None takes `name`.
        seconds: "fit" (to fit once) and "predict_1000" (to predict 1,000 images), as far as they
            are known; a number is the time to fit. Without "predict_1000" it is never
            the cheapest.
        replace: whether to replace other predictions that were added under this name.
    """

    results: Path
    table: "Path | pd.DataFrame"
    name: str
    title: str | None = None
    seconds: Mapping[str, float] | None = None
    replace: bool = False

    def __post_init__(self) -> None:
        normalize(
            self,
            results=as_location,
            table=as_table,
            name=check_new_name,
            title=optional(check_text),
            seconds=as_seconds,
            replace=check_flag,
        )


@dataclass(frozen=True)
class CompareConfig:
    """Settings of `compare`.

    Attributes:
        results: results folders with equal splits.
        out: the folder of comparison.csv and comparison.json; None takes the first of `results`.
        metric: the metric by which candidates are ranked, one of `choices.METRICS`; None takes the
            one that they were chosen by.
        resamples: the number of resamples of the bootstrap.
        confidence: the confidence level of its intervals, between 0 and 1.
        seed: the seed of the bootstrap.
        give_up: points of the metric, hundredths, that the recommended candidate may be below the
            best, for a lower cost.
    """

    results: tuple[Path, ...]
    out: Path | None = None
    metric: str | None = None
    resamples: int = RESAMPLES
    confidence: float = CONFIDENCE
    seed: int = 0
    give_up: float = GIVE_UP

    def __post_init__(self) -> None:
        normalize(
            self,
            results=partial(as_locations, at_least=1),
            out=optional(as_location),
            metric=optional(partial(check_choice, choices=METRICS)),
            resamples=check_count,
            confidence=check_confidence,
            seed=partial(check_count, at_least=0),
            give_up=check_not_negative,
        )


@dataclass(frozen=True)
class EvaluateConfig:
    """Settings of `evaluate`.

    Attributes:
        results: a results folder.
        candidate: "best" on validation, "recommended" by `compare`, or a name.
        features: where the feature file lies now, if it has moved.
        source: where the images lie now, if they have moved, for a network trained on pixels.
        trust: whether to load an analyst's own estimator, whose file can run any code.
        metric: the metric by which "best" and "recommended" are chosen; None takes the one that
            candidates were chosen by.
        resamples: the number of resamples of the bootstrap.
        confidence: the confidence level of its intervals, between 0 and 1.
        seed: the seed of the bootstrap.
    """

    results: Path
    candidate: str = BEST
    features: Path | None = None
    source: Path | None = None
    trust: bool = False
    metric: str | None = None
    resamples: int = RESAMPLES
    confidence: float = CONFIDENCE
    seed: int = 0

    def __post_init__(self) -> None:
        normalize(
            self,
            results=as_location,
            candidate=check_text,
            features=optional(as_location),
            source=optional(as_location),
            trust=check_flag,
            metric=optional(partial(check_choice, choices=METRICS)),
            resamples=check_count,
            confidence=check_confidence,
            seed=partial(check_count, at_least=0),
        )


@dataclass(frozen=True)
class ReportConfig:
    """Settings of `report`.

    Attributes:
        results: results folders with equal splits.
        out: the HTML file to write.
        features: where feature files lie now that have moved.
        images: where the images lie now, if they have moved.
        evidence: mistakes of the recommended candidate in which the evidence is shown, at most; an
            eighth of them where it is found by covering parts; 0 shows none.
        metric: the metric by which candidates are ranked, one of `choices.METRICS`; None takes the
            one that they were chosen by.
        resamples: the number of resamples of the bootstrap.
        confidence: the confidence level of its intervals, between 0 and 1.
        seed: the seed of the bootstrap.
        give_up: points of the metric, hundredths, that the recommended candidate may be below the
            best, for a lower cost.
        paths: whether the page shows whole paths, which may tell who made it.
        progress: whether to show a progress bar.
    """

    results: tuple[Path, ...]
    out: Path = Path("report.html")
    features: tuple[Path, ...] = ()
    images: Path | None = None
    evidence: int = 48
    metric: str | None = None
    resamples: int = RESAMPLES
    confidence: float = CONFIDENCE
    seed: int = 0
    give_up: float = GIVE_UP
    paths: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        normalize(
            self,
            results=partial(as_locations, at_least=1),
            out=as_location,
            paths=check_flag,
            features=as_locations,
            images=optional(as_location),
            evidence=partial(check_count, at_least=0),
            metric=optional(partial(check_choice, choices=METRICS)),
            resamples=check_count,
            confidence=check_confidence,
            seed=partial(check_count, at_least=0),
            give_up=check_not_negative,
            progress=check_flag,
        )
