"""A finished candidate as it is read from its folder, with its predictions on validation."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from features.errors import DataError
from pipeline.data.splits import Splits
from pipeline.results import decisions
from pipeline.results.predictions import VALIDATION, read_of
from pipeline.results.records import RECORD, Record
from pipeline.statistics import calibration, metrics


@dataclass(frozen=True)
class Entry:
    """One finished candidate.

    Attributes:
        label: its name, with the results folder before it where names occur twice.
        folder: `results/<candidate>`.
        record: its record.
        probabilities: float32 (R, n, K), of the validation images in the order of the splits, in
            each of R repeats of cross-validation; each repeat is scored by itself.
        deciding: float32 (R, n, K), highest at the class that the candidate decides for: the same,
            but where it has a threshold (`results.decisions`).
    """

    label: str
    folder: Path
    record: Record
    probabilities: np.ndarray
    deciding: np.ndarray

    def read_by(self, metric: str) -> np.ndarray:
        """Return what a metric reads, float32 (R, n, K): the classes decided for, or all."""
        return self.deciding if metric in metrics.METRICS else self.probabilities

    @cached_property
    def predicted(self) -> np.ndarray:
        """The class that it decides for of each image in the first repeat, int64 (n,)."""
        return self.deciding[0].argmax(axis=1)

    @cached_property
    def calibrated(self) -> np.ndarray:
        """The probabilities of the first repeat at the record's temperature, float32 (n, K)."""
        return calibration.apply(self.probabilities[0], self.record.temperature)


def read_entry(label: str, folder: Path, record: Record, splits: Splits) -> Entry:
    """Read a finished candidate; raises what `read_probabilities` raises."""
    probabilities = read_probabilities(folder, record, splits)
    labels, groups = splits.labels[splits.validated], splits.validation_groups
    deciding = decisions.deciding(record, labels, probabilities, groups)
    return Entry(label, folder, record, probabilities, deciding)


def read_probabilities(folder: Path, record: Record, splits: Splits) -> np.ndarray:
    """Read a candidate's probabilities on validation, in the order of the splits.

    Args:
        folder: the candidate's.
        record: the candidate's.
        splits: of the results folder.

    Returns:
        float32 (R, n, K), for each repeat of cross-validation that the candidate validated on a
        row for each image of `splits.validated`; rows sum to 1.

    Raises:
        DataError: they cannot be read, or do not belong to the splits.
    """
    if (record.splits, record.class_names) != (splits.digest, splits.class_names):
        raise DataError(
            f"{folder / RECORD} belongs to other splits ({record.splits}) than those of its "
            f"results folder ({splits.digest}); run `classify` again"
        )
    digest = record.predictions.get("sha256", "")
    return read_of(folder / VALIDATION, splits, splits.validated, digest).repeats
