"""The evaluate stage: the locked test, opened for one candidate, and the opening counted."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from features.disk import durable
from features.errors import UsageError
from features.processes.packages import sha256_of
from features.processes.stopping import saying_how_to_go_on
from pipeline.config import EvaluateConfig
from pipeline.data import duplicates
from pipeline.data.splits import Splits
from pipeline.predictors import locked as predictors
from pipeline.results import decisions, evaluation, openings
from pipeline.results.choosing import chosen
from pipeline.results.evaluation import Choice, Evaluation
from pipeline.results.in_stores import in_stores
from pipeline.results.locks import locked_results
from pipeline.results.openings import Opening
from pipeline.results.predictions import Predictions, read_of
from pipeline.results.records import Record, versions
from pipeline.statistics import calibration, metrics
from pipeline.statistics import estimates as measures
from pipeline.statistics.intervals import Interval

_OF_INTERVALS = ("confidence", "resamples", "seed")


@in_stores(writes=("results",))
def run(config: EvaluateConfig) -> Evaluation:
    """Open the locked test for a candidate, or return the stored result of an earlier opening.

    With other settings of the intervals than a stored result has, or another threshold, it is
    computed anew from the stored predictions, and nothing is opened.

    Everything that can fail does so before the opening is recorded, and the opening is recorded
    before any score is computed.

    Raises:
        UsageError: no results folder, an unknown candidate, one of an unknown kind or of another
            tool, no locked test, or another process at work in the folder.
        DataError: a record, the model, the features or the images are missing, damaged or others.
        MissingPackageError: the candidate's model needs a package.
    """
    splits = Splits.read(config.results)
    with locked_results(config.results):
        record, choice = _chosen(config)
        _check(record, splits)
        folder = config.results / record.name
        durable.remove_drafts(folder)
        openings.warn_of_uncounted(config.results)
        if (facts := evaluation.stored(folder, record)) is not None:
            renewed = facts.get("threshold", {}) != record.threshold or any(
                facts[name] != getattr(config, name) for name in _OF_INTERVALS
            )
            if renewed:
                path, digest = folder / openings.TEST, facts["predictions"]
                predictions = read_of(path, splits, splits.test, digest)
                facts |= _scores(config, splits, record, predictions)
                evaluation.write(folder, facts)
            return Evaluation(facts, openings.read(config.results), False, folder, renewed, choice)
        before = openings.read(config.results)
        with saying_how_to_go_on(lambda: _state(config, before)):
            predictions = predictors.predict(config, splits, record)
            opening = openings.add(config.results, record)
            predictions.write(folder / openings.TEST, splits.class_names)
            facts = _scores(config, splits, record, predictions)
            facts |= _provenance(record, opening, folder)
            evaluation.write(folder, facts)
        return Evaluation(facts, openings.read(config.results), True, folder, choice=choice)


def _state(config: EvaluateConfig, before: tuple[Opening, ...]) -> str:
    """Return what a run that is stopped has done, and how to go on."""
    if openings.read(config.results) == before:
        return "the locked test was not opened; the same command begins again"
    return "the locked test was opened, and that is counted; the same command shows its result"


def _chosen(config: EvaluateConfig) -> tuple[Record, Choice | None]:
    """Return the record of the candidate that the config names, or that validation chooses."""
    record, ranking = chosen(config.results, config.candidate, config.metric)
    if ranking is None:
        return record, None
    expected = ranking.expected(config.resamples, config.confidence, config.seed)
    return record, Choice(config.candidate, ranking.metric, expected)


def _check(record: Record, splits: Splits) -> None:
    if record.splits != splits.digest:
        raise UsageError(
            f"{record.name} belongs to other splits ({record.splits}) than those of its results "
            f"folder ({splits.digest}); run `classify` again"
        )
    if not splits.test.size:
        raise UsageError("no images are locked away, so there is nothing to evaluate on")


def _scores(
    config: EvaluateConfig, splits: Splits, record: Record, predictions: Predictions
) -> dict[str, Any]:
    kept = duplicates.free_of_near_duplicates([config.results], "test", predictions.ids)
    labels, probabilities = predictions.labels, predictions.probabilities
    calibrated = calibration.apply(probabilities, record.temperature)
    names, classes = record.class_names, len(record.class_names)
    predicted = decisions.decide(record.threshold, names, probabilities, record.temperature)
    deciding = np.eye(classes, dtype=np.float32)[predicted]
    estimates = measures.estimates(
        labels, probabilities[None], calibrated[None], kept, splits.test_groups,
        config.resamples, config.confidence, config.seed, deciding[None],
    )  # fmt: skip
    matrix = metrics.confusion(labels, predicted, classes)
    return {
        "images": len(labels),
        "suspects": int((~kept).sum()),  # near-duplicates, by the name in files
        "metrics": {name: _as_facts(estimate) for name, estimate in estimates.items()},
        "confidence": config.confidence,
        "resamples": config.resamples,
        "seed": config.seed,
        "temperature": record.temperature,
        "threshold": record.threshold,
        "per_class": metrics.per_class(matrix, record.class_names),
        "confusion": matrix.tolist(),
    }


def _as_facts(interval: Interval) -> dict[str, Any]:
    """Return an interval as JSON takes it: without bounds there is a reason."""
    if interval.reason:
        return {"value": interval.value, "low": None, "high": None, "reason": interval.reason}
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def _provenance(record: Record, opening: Opening, folder: Path) -> dict[str, Any]:
    return {
        "candidate": record.name,
        "title": record.title,
        "class_names": record.class_names,
        "splits": record.splits,
        "content": record.inputs["content"],
        "opening": asdict(opening),
        "predictions": sha256_of(folder / openings.TEST),
        "versions": versions("numpy", "scipy", "scikit-learn"),
        "schema": evaluation.SCHEMA,
    }
