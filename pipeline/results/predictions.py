"""The predictions of a candidate: a Parquet table in its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features import durable
from features.errors import DataError

VALIDATION = "validation.parquet"


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of n images: float32 (n, K), rows sum to 1; labels int32 (n,)."""

    ids: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray

    def write(self, path: Path, class_names: Sequence[str]) -> None:
        """Write a Parquet table: id, label (a name), then a column `p:<class>` for each class."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table(
            {"id": self.ids, "label": [class_names[label] for label in self.labels]}
            | {f"p:{name}": self.probabilities[:, k] for k, name in enumerate(class_names)}
        )
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        durable.write(path, sink.getvalue().to_pybytes())

    @classmethod
    def read(cls, path: Path, class_names: Sequence[str]) -> "Predictions":
        """Read a table that `write` wrote; raises DataError where it is none."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        numbers = {name: number for number, name in enumerate(class_names)}
        try:
            table = pq.read_table(path)
            return cls(
                tuple(table["id"].to_pylist()),
                np.array([numbers[name] for name in table["label"].to_pylist()], np.int32),
                np.stack([table[f"p:{name}"].to_numpy() for name in class_names], axis=1),
            )
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise DataError(f"{path} cannot be read as predictions: {reason}") from None
