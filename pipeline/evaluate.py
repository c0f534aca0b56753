"""The evaluate stage: the locked test, opened for one candidate, and the opening counted."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features import durable
from features.errors import UsageError, unknown_name
from features.packages import sha256_of
from features.records import blake2b
from features.shards import locked
from pipeline import compare
from pipeline.config import EvaluateConfig
from pipeline.evaluation import bootstrap, calibration, duplicates, metrics, openings, predicting
from pipeline.evaluation.openings import Opening
from pipeline.evaluation.records import Predictions, Record, candidates, versions
from pipeline.evaluation.splits import Splits

TEST, RESULT = "test.parquet", "test.json"
BEST, RECOMMENDED = "best", "recommended"
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

    @property
    def text(self) -> str:
        """All of it for a terminal."""
        from pipeline.reports import evaluation

        return evaluation.text(self)


def run(config: EvaluateConfig) -> Evaluation:
    """Open the locked test for a candidate, unless that was done before, and show the result.

    Everything that can fail does so before the opening is written down, and the opening is
    written down before any score is computed.

    Raises:
        UsageError: no results folder, an unknown candidate, one of an unknown kind, no locked
            test, or another process at work in the folder.
        DataError: a record, the model, the features or the images are missing, damaged or others.
        MissingPackageError: the candidate's model needs a package.
    """
    bootstrap.check(config.resamples, config.confidence)
    splits = Splits.read(config.results)
    record = _chosen(config)
    _check(record, splits)
    folder = config.results / record.name
    with locked(config.results):
        if (facts := stored(folder, record)) is not None:
            return Evaluation(facts, openings.read(config.results), False, folder)
        predictions = predicting.predict(config, splits, record)
        kept = duplicates.unsuspected([config.results], "test", predictions.ids)
        opening = openings.add(config.results, record)
        predictions.write(folder / TEST, splits.class_names)
        facts = _scores(config, record, predictions, kept)
        facts |= _provenance(record, opening, folder)
        _write(folder, facts)
        return Evaluation(facts, openings.read(config.results), True, folder)


def _chosen(config: EvaluateConfig) -> Record:
    """Return the record of the candidate that is meant, judged on validation alone."""
    known = candidates(config.results)
    if config.candidate in known:
        return known[config.candidate]
    choosers = {BEST: compare.best, RECOMMENDED: compare.recommended}
    if config.candidate not in choosers:
        raise unknown_name("candidate", config.candidate, [*known, *choosers])
    used = sorted({record.metric for record in known.values()})
    if len(used) > 1:
        raise UsageError(
            f"candidates in {config.results} were chosen by different metrics "
            f"({', '.join(used)}), so that none is {config.candidate}; give --candidate a name"
        )
    return choosers[config.candidate]([config.results], used[0]).record


def _check(record: Record, splits: Splits) -> None:
    if record.splits != splits.digest:
        raise UsageError(
            f"{record.name} belongs to other splits ({record.splits}) than those of its results "
            f"folder ({splits.digest}); run `classify` again"
        )
    if not splits.test.size:
        raise UsageError("no images are locked away, so there is nothing to evaluate on")


def _scores(
    config: EvaluateConfig, record: Record, predictions: Predictions, kept: np.ndarray
) -> dict[str, Any]:
    from pipeline.reports.scores import per_class

    labels, given = predictions.labels, predictions.probabilities
    calibrated = calibration.apply(given, record.temperature)
    found = bootstrap.estimates(
        labels, given, calibrated, kept, config.resamples, config.confidence, config.seed
    )
    matrix = metrics.confusion(labels, given.argmax(axis=1), given.shape[1])
    return {
        "images": len(labels),
        "suspects": int((~kept).sum()),
        "metrics": {name: asdict(estimate) for name, estimate in found.items()},
        "confidence": config.confidence,
        "resamples": config.resamples,
        "seed": config.seed,
        "temperature": record.temperature,
        "per_class": per_class(matrix, record.class_names),
        "confusion": matrix.tolist(),
    }


def _provenance(record: Record, opening: Opening, folder: Path) -> dict[str, Any]:
    return {
        "candidate": record.name,
        "title": record.title,
        "class_names": record.class_names,
        "splits": record.splits,
        "content": record.inputs["content"],
        "opening": asdict(opening),
        "predictions": sha256_of(folder / TEST),
        "versions": versions("numpy", "scipy", "scikit-learn"),
        "schema": SCHEMA,
    }


def _write(folder: Path, facts: dict[str, Any]) -> None:
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
