"""Thresholds given to finished candidates, or taken from them: their records alone change."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from features.errors import UsageError
from pipeline.data.splits import Splits
from pipeline.results import decisions
from pipeline.results.entries import read_probabilities
from pipeline.results.records import Record, finished_records, read_record, write_record

log = logging.getLogger("offshelf")


def check(asked: bool, class_names: Sequence[str]) -> None:
    """Raise UsageError where a threshold is asked for, and there are not two classes."""
    if asked and len(class_names) != 2:
        raise UsageError(
            f"--threshold is between two classes, and here are {len(class_names)}; leave it out"
        )


def settle(results: Path, which: Callable[[Record], bool], asked: bool) -> None:
    """Give candidates a threshold where it is asked for, else take it from them.

    Nothing is fitted again: a threshold follows from the stored predictions of validation.

    Args:
        results: the results folder, locked by the caller.
        which: tells the candidates that are meant.
        asked: whether they are to have a threshold.
    """
    splits = Splits.read(results)
    for path in sorted(finished_records(results)):
        record = read_record(path.parent)
        if not which(record) or bool(record.threshold) == asked:
            continue
        if asked and len(np.unique(splits.validation_groups)) == 1:
            log.warning("%s: no threshold, as all images that validate are of one group",
                        record.name)  # fmt: skip
            continue
        new = replace(record, threshold=_chosen(path.parent, record, splits) if asked else {})
        write_record(path.parent, new)
        log.info("%s: %s", record.name, _line(new))


def _chosen(folder: Path, record: Record, splits: Splits) -> dict:
    labels, groups = splits.labels[splits.validated], splits.validation_groups
    probabilities = read_probabilities(folder, record, splits)
    return decisions.choose(record, labels, probabilities, groups)


def _line(record: Record) -> str:
    if not (kept := record.threshold):
        return "its threshold is dropped, as --threshold is not given"
    return (
        f"{kept['class']} from a probability of {kept['value']:.3g} on: "
        f"{kept['metric'].replace('_', ' ')} {kept['score']:.4f} on validation (by thresholds of "
        f"other images) instead of {kept['usual']:.4f}"
    )
