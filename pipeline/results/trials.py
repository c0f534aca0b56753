"""What each tried setting predicted of the validation images: `trials.npz` of a candidate.

Metrics of predicted classes need these alone. Those of probabilities need each image's influence on
the score: probabilities themselves would take K times as much, and say no more about the choice.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import DataError
from pipeline.results import array_files
from pipeline.statistics import influence, metrics
from pipeline.statistics.influence import Measured

TRIALS = "trials.npz"


@dataclass(frozen=True)
class TriedSettings:
    """The settings that a search tried on all rows, in its order.

    Attributes:
        predicted: uint8 or uint16 (T, V), the class that each setting predicts of each image of
            `Splits.validated`, in the first repeat.
        scores: float64 (T,), the metric by which the setting was chosen, in the first repeat.
        metric: its name; empty in files of version 0.2.0.
        influence: float32 (T, V), of each image on the scores, where it is a metric of
            probabilities; else (0, V).
    """

    predicted: np.ndarray
    scores: np.ndarray
    metric: str
    influence: np.ndarray

    @classmethod
    def of(
        cls, metric: str, labels: np.ndarray, probabilities: Sequence[np.ndarray], scores: list
    ) -> "TriedSettings":
        """Return what to keep of settings.

        Args:
            metric: one of `scoring.RANKING_METRICS`, by which the best one is chosen.
            labels: int (V,).
            probabilities: T arrays, float (V, K).
            scores: T values of the metric.
        """
        few = probabilities[0].shape[1] <= 2**8
        predicted = np.stack([given.argmax(axis=1) for given in probabilities])
        rows = np.zeros((0, len(labels)), np.float32)
        if metric not in metrics.METRICS:
            rows = np.stack([influence.influence(metric, labels, one) for one in probabilities])
        return cls(
            predicted.astype(np.uint8 if few else np.uint16),
            np.array(scores, np.float64),
            metric,
            rows.astype(np.float32),
        )

    @classmethod
    def joined(cls, parts: Sequence["TriedSettings"]) -> "TriedSettings":
        """Return the settings of several in turn, which were tried on the same images."""
        return cls(
            np.concatenate([part.predicted for part in parts]),
            np.concatenate([part.scores for part in parts]),
            parts[0].metric,
            np.concatenate([part.influence for part in parts]),
        )

    def tells(self, metric: str) -> bool:
        """Tell whether what was kept tells a metric: any of classes, or the one that chose."""
        return metric in (*metrics.METRICS, self.metric)

    def measured(self, metric: str, labels: np.ndarray, classes: int) -> Measured:
        """Return the settings by a metric that `tells` is true of.

        Args:
            metric: its name.
            labels: int (V,), of the images of `Splits.validated`.
            classes: K.

        Raises:
            DataError: the settings were tried on other images.
        """
        if self.predicted.shape[1] != len(labels):
            raise DataError(
                "tried settings are of other images than validate; run `classify` again"
            )
        if self.predicted.max(initial=0) >= classes:
            raise DataError(
                f"tried settings predict class {self.predicted.max()} of {classes}; run `classify` "
                "again"
            )
        if metric in metrics.METRICS:
            predicted = self.predicted.astype(np.int64)
            return influence.measure_labels(metric, labels, list(predicted), classes)
        return Measured(metric, self.scores, self.influence.astype(np.float64))

    def write(self, folder: Path) -> dict[str, Any]:
        """Write `trials.npz` durably; return {"file", "bytes", "sha256"} for the record."""
        content = io.BytesIO()
        np.savez_compressed(content, **vars(self))
        return array_files.write(folder / TRIALS, content.getvalue())

    @classmethod
    def read(cls, folder: Path, facts: dict[str, Any]) -> "TriedSettings | None":
        """Read what `write` wrote; None where the record names no such file.

        Args:
            folder: the candidate's.
            facts: `Record.trials_file`.

        Raises:
            DataError: the file is missing, has changed, or cannot be read.
        """
        if not facts:
            return None
        return array_files.read(folder / TRIALS, facts, "run `classify` again", cls._of)

    @classmethod
    def _of(cls, arrays: dict[str, np.ndarray]) -> "TriedSettings":
        predicted, metric = arrays["predicted"], str(arrays.get("metric", ""))
        none = np.zeros((0, predicted.shape[-1]), np.float32)
        tried = cls(predicted, arrays["scores"], metric, arrays.get("influence", none))
        _check(tried)
        return tried


def _check(tried: TriedSettings) -> None:
    """Raise ValueError unless the arrays are of the kinds and shapes that `write` writes."""
    predicted, scores, rows = tried.predicted, tried.scores, tried.influence
    kinds = [array.dtype.kind for array in (predicted, scores, rows)]
    if kinds != ["u", "f", "f"] or predicted.ndim != 2 or scores.shape != (len(predicted),):
        raise ValueError(
            f"arrays of the kinds {kinds} and shapes {predicted.shape}, {scores.shape}"
        )
    if rows.shape not in ((0, predicted.shape[1]), predicted.shape):
        raise ValueError(f"influences of shape {rows.shape}, expected {predicted.shape}")
    if not np.isfinite(scores).all() or not np.isfinite(rows).all():
        raise ValueError("scores or influences that are not finite")
