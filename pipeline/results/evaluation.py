"""The result of a candidate on the locked test, as its folder keeps it."""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from features.disk import documents, durable
from features.disk.documents import Share, Whole
from features.errors import DataError
from features.processes.packages import sha256_of
from features.records import blake2b
from pipeline.results import decisions, openings
from pipeline.results.display import html, mistakes, percent, predictions
from pipeline.results.openings import RESULT, RESULT_BYTES, TEST, Opening
from pipeline.results.predictions import Predictions
from pipeline.results.records import Record
from pipeline.statistics import calibration
from pipeline.statistics.selection import Selected

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1

log = logging.getLogger("offshelf")

_SHOWN = ("accuracy", "macro_f1", "roc_auc", "log_loss", "calibrated_calibration_error")  # in pages


@dataclass(frozen=True)
class Choice:
    """Why validation chose a candidate.

    Attributes:
        place: "best" or "recommended".
        metric: the metric that ranked.
        expected: what validation promised of new images for the best of all that was tried.
    """

    place: str
    metric: str
    expected: Selected


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The result of one candidate on the locked test.

    Attributes:
        facts: metrics with intervals, classes and confusion matrix, as `test.json` holds them.
        openings: all openings of the locked test so far.
        fresh: whether the test was opened now; else the result was stored by an earlier opening.
        folder: the candidate's folder, with test.json and test.parquet in it.
        renewed: whether the numbers were computed anew from the stored predictions, with other
            settings of the intervals, or another threshold, than those of the stored result.
        choice: why validation chose the candidate; None where it was named.
    """

    facts: dict[str, Any]
    openings: tuple[Opening, ...]
    fresh: bool
    folder: Path
    renewed: bool = False
    choice: Choice | None = None

    @property
    def chosen_by(self) -> str:
        """Which place in the ranking it was taken for, by which metric; empty for a name."""
        choice = self.choice
        return f"{choice.place} on validation by {choice.metric}" if choice else ""

    @property
    def accuracy(self) -> float:
        """Share of the test images that are predicted right, 0 to 1."""
        return float(self.facts["metrics"]["accuracy"]["value"])

    @property
    def confusion(self) -> np.ndarray:
        """True class by row, predicted class by column: int64 (K, K)."""
        return np.array(self.facts["confusion"], np.int64)

    @property
    def contenders(self) -> int:
        """For how many different candidates the test was opened so far."""
        return openings.contenders(self.openings)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were written: test.json and test.parquet."""
        return self.folder / RESULT, self.folder / TEST

    def frame(self) -> "pd.DataFrame":
        """Return a row for each metric: `metric`, `value` and its interval, `low` and `high`.

        Where a metric has no interval, `reason` says why.
        """
        import pandas as pd

        return pd.DataFrame(
            [{"metric": name} | estimate for name, estimate in self.facts["metrics"].items()]
        )

    def predictions(self) -> "pd.DataFrame":
        """Return a row for each test image.

        Returns:
            columns `id`, `label` (the true class), `predicted` and `probability` (of the predicted
            class, 0 to 1), then `p:<class>` for each class; all calibrated by the temperature.

        Raises:
            DataError: test.parquet cannot be read.
        """
        import pandas as pd

        stored = self._calibrated()
        columns = [f"p:{name}" for name in stored["class_names"]]
        frame = pd.DataFrame(stored["probabilities"], columns=columns)
        return pd.concat([predictions(**stored), frame], axis=1)

    def mistakes(self) -> "pd.DataFrame":
        """Return the test images that are predicted wrongly, the surest first.

        Returns:
            columns `id`, `label` (the true class), `predicted` and `probability` (of the predicted
            class, 0 to 1, calibrated).

        Raises:
            DataError: test.parquet cannot be read.
        """
        return mistakes(**self._calibrated())

    def _calibrated(self) -> dict[str, Any]:
        """Return the stored predictions as `display.predictions` takes them, calibrated."""
        names, temperature = self.facts["class_names"], self.facts["temperature"]
        stored = Predictions.read(self.folder / TEST, names, self.facts["predictions"])
        kept, given = self.facts.get("threshold", {}), stored.probabilities
        return {
            "ids": stored.ids,
            "labels": stored.labels,
            "predicted": decisions.decide(kept, names, given, temperature),
            "probabilities": calibration.apply(given, temperature),
            "class_names": names,
        }

    def __repr__(self) -> str:
        accuracy, count = self.facts["metrics"]["accuracy"], len(self.openings)
        shown = percent(accuracy["value"], accuracy["low"], accuracy["high"])
        return (
            f"Evaluation of {self.facts['candidate']} on {self.facts['images']:,} test images\n"
            f"accuracy {shown}; the test was opened {count} "
            f"time{'s' * (count != 1)}"
        )

    def _repr_html_(self) -> str:
        return html(repr(self), self.frame())


def write(folder: Path, facts: dict[str, Any]) -> None:
    """Write `test.json` into the candidate's folder, with a digest of its content."""
    text = json.dumps(facts | {"digest": _digest(facts)}, indent=1)
    durable.write(folder / RESULT, (text + "\n").encode())


def stored(folder: Path, record: Record) -> dict[str, Any] | None:
    """Return the result of an earlier opening for this very candidate, as `test.json` holds it.

    None where there was no opening; and, with a line that says so, where the file or the
    predictions have changed since, or are of an earlier fit.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        facts: dict[str, Any] = documents.load(path, RESULT_BYTES)
        result = documents.convert(facts, _Result, str(path), SCHEMA)
        digest = facts.pop("digest")
        if digest != _digest(facts):
            raise DataError(f"{path} has changed since it was written")
        if not (folder / TEST).is_file() or sha256_of(folder / TEST) != result.predictions:
            raise DataError(f"{folder / TEST} is missing, or has changed since it was written")
        if (result.opening.key, result.opening.model) != (record.key, record.model["sha256"]):
            raise DataError(f"{path} is of an earlier fit of the candidate")
    except DataError as error:
        log.warning("%s: this result on the locked test is not taken", error)
        return None
    return facts


@dataclass(frozen=True)
class _Estimate:
    value: float
    low: float | None
    high: float | None
    reason: str = ""


_Scores = TypedDict(
    "_Scores", {"class": str, "precision": float, "recall": float, "f1": float, "images": Whole}
)


@dataclass(frozen=True)
class _Result:
    """The content of `test.json`."""

    images: Whole
    suspects: Whole
    metrics: dict[str, _Estimate]
    confidence: Share
    resamples: Whole
    seed: int
    temperature: float
    per_class: tuple[_Scores, ...]
    confusion: tuple[tuple[Whole, ...], ...]
    candidate: str
    title: str
    class_names: tuple[str, ...]
    splits: str
    content: str
    opening: Opening
    predictions: str
    versions: dict[str, str]
    digest: str
    threshold: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if missing := [name for name in _SHOWN if name not in self.metrics]:
            raise ValueError(f"metrics: {missing[0]} is missing")
        classes = len(self.class_names)
        if {len(self.confusion), len(self.per_class), *map(len, self.confusion)} != {classes}:
            raise ValueError(f"confusion, per_class: expected a row for each of {classes} classes")
        if self.threshold and self.threshold.keys() < {"class", "value", "metric"}:
            raise ValueError("threshold: expected class, value and metric")


def _digest(facts: dict[str, Any]) -> str:
    return blake2b(json.dumps(facts, sort_keys=True).encode()).hex()
