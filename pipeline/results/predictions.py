"""The predictions of a candidate: a Parquet table in its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features import durable
from features.errors import DataError

VALIDATION = "validation.parquet"


REPEAT = "repeat"  # the column of repeats, in files that have several


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of n images.

    Attributes:
        ids: n ids.
        labels: int32 (n,), the true classes.
        probabilities: float32 (n, K), rows sum to 1; or (R, n, K) of R repeats of
            cross-validation, each with all n images in the order of `ids`.
    """

    ids: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def repeats(self) -> np.ndarray:
        """The probabilities of each repeat, float32 (R, n, K), R at least 1."""
        return self.probabilities if self.probabilities.ndim == 3 else self.probabilities[None]

    def write(self, path: Path, class_names: Sequence[str]) -> None:
        """Write a Parquet table: id, label (a name), then a column `p:<class>` for each class.

        Of several repeats, each image has a row in each, and a column `repeat` numbers them from 0.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        count = len(self.repeats)
        columns: dict[str, Any] = {
            "id": self.ids * count,
            "label": [class_names[label] for label in self.labels] * count,
        }
        if self.probabilities.ndim == 3:
            columns[REPEAT] = np.repeat(np.arange(count, dtype=np.int8), len(self.ids))
        rows = self.repeats.reshape(-1, len(class_names))
        columns |= {f"p:{name}": rows[:, k] for k, name in enumerate(class_names)}
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns), sink)
        durable.write(path, sink.getvalue().to_pybytes())

    @classmethod
    def read(cls, path: Path, class_names: Sequence[str]) -> "Predictions":
        """Read a table that `write` wrote.

        Rows may come in any order; those of the repeats come in the order of the first one.

        Raises:
            DataError: the file cannot be read as such, or repeats have different images.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        numbers = {name: number for number, name in enumerate(class_names)}
        try:
            table = pq.read_table(path)
            ids = table["id"].to_pylist()
            labels = np.array([numbers[name] for name in table["label"].to_pylist()], np.int32)
            rows = np.stack([table[f"p:{name}"].to_numpy() for name in class_names], axis=1)
            if REPEAT not in table.column_names:
                return cls(tuple(ids), labels, rows)
            order = _order_of_repeats(ids, table[REPEAT].to_numpy())
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise DataError(f"{path} cannot be read as predictions: {reason}") from None
        if (labels[order] != labels[order[0]]).any():
            raise DataError(f"{path} gives an image another label in another repeat")
        first = order[0].tolist()
        return cls(tuple(ids[row] for row in first), labels[order[0]], rows[order])


def _order_of_repeats(ids: list[str], repeats: np.ndarray) -> np.ndarray:
    """Return the row of each image in each repeat, int64 (R, n), in the order of the first repeat.

    Raises:
        ValueError: the repeats do not have the same images, each once.
    """
    rows = [np.flatnonzero(repeats == number).tolist() for number in np.unique(repeats)]
    places = [{ids[row]: row for row in of_repeat} for of_repeat in rows]
    for of_repeat, place in zip(rows, places, strict=True):
        if place.keys() != places[0].keys() or len(place) != len(of_repeat):
            raise ValueError("its repeats do not have the same images, each once")
    return np.array([[place[ids[row]] for row in rows[0]] for place in places])
