"""The result of a candidate on the locked test, as its folder keeps it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features import durable
from features.packages import sha256_of
from features.records import blake2b
from pipeline.results import decisions, openings
from pipeline.results.display import html, mistakes, percent, predictions
from pipeline.results.openings import Opening
from pipeline.results.predictions import Predictions
from pipeline.results.records import Record
from pipeline.statistics import calibration
from pipeline.statistics.selection import Selected

if TYPE_CHECKING:
    import pandas as pd

TEST, RESULT = "test.parquet", "test.json"
SCHEMA = 1


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
        stored = Predictions.read(self.folder / TEST, names)
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

    None where there was no opening, or where the file or the predictions have changed since.
    """
    try:
        facts = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        digest, opening = facts.pop("digest"), Opening(**facts["opening"])
        whole = digest == _digest(facts) and facts["predictions"] == sha256_of(folder / TEST)
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return None
    same = (opening.key, opening.model) == (record.key, record.model["sha256"])
    return facts if whole and same and facts["schema"] == SCHEMA else None


def _digest(facts: dict[str, Any]) -> str:
    return blake2b(json.dumps(facts, sort_keys=True).encode()).hex()
