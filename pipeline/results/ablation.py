"""The result of an ablation: networks trained without each trick, compared with one with all."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from features.disk import durable
from features.text import for_csv
from pipeline.results.predictions import VALIDATION, Predictions
from pipeline.results.records import Record
from pipeline.statistics import significance

FILE = "ablation.csv"


@dataclass(frozen=True)
class Ablation:
    """Candidates that differ in the tricks that were left out.

    Attributes:
        missing: the tricks that each candidate was trained without; the first lacks none.
        records: the records of the candidates.
        folder: the results folder.
    """

    missing: Sequence[tuple[str, ...]]
    records: Sequence[Record]
    folder: Path

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each candidate: what was left out, its accuracy on validation, the change.

        `p_value` is that of McNemar's test against the first candidate, corrected by Holm's
        method.
        """
        correct = np.stack([self._correct(record) for record in self.records])
        p_values = significance.against_first(correct).tolist()
        accuracies = correct.mean(axis=1).tolist()
        return [
            {
                "left_out": " ".join(missing) or "nothing",
                "candidate": record.name,
                "accuracy": round(accuracy, 6),
                "change": round(accuracy - accuracies[0], 6),
                "p_value": float(f"{p_value:.6g}"),
                "seconds": round(record.seconds["search"] + record.seconds["fit"], 3),
            }
            for missing, record, accuracy, p_value in zip(
                self.missing, self.records, accuracies, p_values, strict=True
            )
        ]

    def write(self) -> None:
        """Write `ablation.csv` into the results folder."""
        table = io.StringIO()
        writer = csv.DictWriter(table, [*self.rows[0]], lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: for_csv(value) for name, value in row.items()} for row in self.rows)
        durable.write(self.folder / FILE, table.getvalue().encode())

    def _correct(self, record: Record) -> np.ndarray:
        """Return which of the images that validate are predicted correctly, bool (n,)."""
        path, digest = self.folder / record.name / VALIDATION, record.predictions.get("sha256", "")
        predictions = Predictions.read(path, record.class_names, digest)
        return predictions.repeats[0].argmax(axis=1) == predictions.labels
