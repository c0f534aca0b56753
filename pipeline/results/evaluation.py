"""What the locked test said of a candidate, as its folder keeps it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features import durable
from features.packages import sha256_of
from features.records import blake2b
from pipeline.results import openings
from pipeline.results.openings import Opening
from pipeline.results.records import Record

TEST, RESULT = "test.parquet", "test.json"
SCHEMA = 1


@dataclass(frozen=True)
class Evaluation:
    """What the locked test said of one candidate.

    Attributes:
        facts: as `test.json` holds them: metrics with intervals, classes, confusion matrix.
        openings: of the locked test, all there were so far.
        fresh: whether it was opened now; else the result was there already.
        folder: of the candidate, with test.json and test.parquet in it.
    """

    facts: dict[str, Any]
    openings: tuple[Opening, ...]
    fresh: bool
    folder: Path

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


def write(folder: Path, facts: dict[str, Any]) -> None:
    """Write `test.json` into the candidate's folder, sealed by a digest."""
    text = json.dumps(facts | {"digest": _digest(facts)}, indent=1)
    durable.write(folder / RESULT, (text + "\n").encode())


def stored(folder: Path, record: Record) -> dict[str, Any] | None:
    """Return what an earlier opening gave for this very candidate, as `test.json` holds it.

    None where there was none, or where the file or the predictions have changed since.
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
