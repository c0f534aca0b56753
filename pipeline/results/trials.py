"""What each tried setting predicted of the validation images: `trials.npz` of a candidate."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features import durable
from features.errors import DataError
from features.packages import sha256_of

TRIALS = "trials.npz"


@dataclass(frozen=True)
class TriedSettings:
    """The settings that a search tried on all rows, in its order.

    Attributes:
        predicted: uint8 or uint16 (T, V), the class that each setting predicts of each image of
            `Splits.validated`, in the first repeat.
        scores: float64 (T,), the metric by which the setting was chosen, in the first repeat.
    """

    predicted: np.ndarray
    scores: np.ndarray

    def write(self, folder: Path) -> dict[str, Any]:
        """Write `trials.npz` durably; return {"file", "bytes", "sha256"} for the record."""
        content = io.BytesIO()
        np.savez_compressed(content, predicted=self.predicted, scores=self.scores)
        path = folder / TRIALS
        durable.write(path, content.getvalue())
        return {"file": TRIALS, "bytes": path.stat().st_size, "sha256": sha256_of(path)}

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
        path = folder / TRIALS
        if not path.is_file() or sha256_of(path) != facts.get("sha256"):
            raise DataError(f"{path} is missing or has changed; run `classify` again")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(arrays["predicted"], arrays["scores"])
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} cannot be read: {error}") from None
