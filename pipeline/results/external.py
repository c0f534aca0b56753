"""Predictions of another tool as a candidate of a results folder.

Only the predictions on validation are known of such a candidate. So it is compared with all
others, but the locked test is never opened for it.
"""

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.disk.leftovers import scratch_folder
from features.errors import UsageError
from features.records import blake2b
from pipeline.command_lines import command_line
from pipeline.config import METRIC, AddConfig
from pipeline.data.splits import Splits
from pipeline.results.prediction_tables import PredictionTable
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import (
    EXTERNAL,
    RECORD,
    SCHEMA,
    Record,
    candidates,
    finished_records,
    place_candidate,
    read_record,
    versions,
    write_record,
)
from pipeline.statistics import calibration

log = logging.getLogger("offshelf")

ONLY_LABELS = "only classes were given, no probabilities: log loss, AUC and calibration mean little"


def make_record(config: AddConfig, predictions: PredictionTable, splits: Splits) -> Record:
    """Return the record of the candidate; its key is a digest of all that was given."""
    title, times = config.title or config.name, dict(config.seconds or {})
    content = blake2b(predictions.probabilities.tobytes()).hex()
    decides = [SCHEMA, config.name, title, times, splits.digest, content, predictions.only_labels]
    inputs = {"content": content, "only_labels": predictions.only_labels} | _command(config)
    labels = splits.labels[splits.validated]
    return Record(
        name=config.name, kind=EXTERNAL, title=title, method=EXTERNAL, requested=EXTERNAL,
        reason=ONLY_LABELS if predictions.only_labels else "", inputs=inputs,
        splits=splits.digest, class_names=splits.class_names, setting={}, trials=(),
        metric=_metric(config.results), seed=0, rows=0, budget=None,
        key=blake2b(json.dumps(decides, sort_keys=True).encode()).hex(), seconds=times,
        peak_memory=0, model={"file": "", "bytes": 0, "sha256": ""},
        temperature=calibration.temperature(predictions.probabilities, labels),
        versions=versions(), created=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _metric(results: Path) -> str:
    """Return the metric for which the folder's candidates were tuned, or else the default."""
    if not finished_records(results):
        return METRIC
    metrics = {each.metric for each in candidates(results).values() if each.kind != EXTERNAL}
    return metrics.pop() if len(metrics) == 1 else METRIC


def is_kept(config: AddConfig, record: Record) -> bool:
    """Tell whether these very predictions are in the results folder already.

    Raises:
        UsageError: another candidate has the name, and may not be replaced.
    """
    if not (config.results / record.name / RECORD).exists():
        return False
    before = read_record(config.results / record.name)
    if before.kind != EXTERNAL:
        raise UsageError(
            f"{record.name} is a {before.kind} that was trained here; choose another name"
        )
    if before.key == record.key:
        log.info("%s is there already, with the same predictions", record.name)
        return True
    if not config.replace:
        raise UsageError(
            f"{record.name} is there already, with other predictions, times or title; choose "
            "another name, or --replace to put these in its place"
        )
    return False


def write(config: AddConfig, record: Record, predictions: PredictionTable, splits: Splits) -> None:
    """Write the candidate into the results folder, in place of one of the same name."""
    validated = splits.validated
    ids = splits.ids_of(validated)
    table = Predictions(ids, splits.labels[validated], predictions.probabilities)
    with scratch_folder(config.results, "add") as folder:
        draft = folder / record.name
        draft.mkdir()
        written = table.write(draft / VALIDATION, splits.class_names)
        write_record(draft, replace(record, predictions=written))
        place_candidate(draft, config.results)


def _command(config: AddConfig) -> dict[str, str]:
    """Return the command that adds these predictions, where they are in a file."""
    if not isinstance(config.table, Path):
        return {}
    words: list[Any] = ["add", config.results, config.table, "--name", config.name]
    if config.title:
        words += ["--title", config.title]
    if config.seconds and "fit" in config.seconds:  # the time to predict has no option
        words += ["--seconds", f"{config.seconds['fit']:g}"]
    return {"command": command_line(*words)}
