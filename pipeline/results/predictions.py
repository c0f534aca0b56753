"""The predictions of a candidate: a Parquet table in its folder."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.disk import durable
from features.errors import DataError
from features.storage.texts import Texts
from pipeline.data.splits import Splits
from pipeline.data.tables import REMEDY, Table, named_column, text_column

VALIDATION = "validation.parquet"
TOLERANCE = 0.01  # by which the probabilities of an image may miss a sum of 1
_ROUNDING = 1e-5  # of a sum of float32

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

    ids: Sequence[str]
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def repeats(self) -> np.ndarray:
        """The probabilities of each repeat, float32 (R, n, K), R at least 1."""
        return self.probabilities if self.probabilities.ndim == 3 else self.probabilities[None]

    def write(self, path: Path, class_names: Sequence[str]) -> dict[str, Any]:
        """Write a Parquet table: id, label (a name), then a column `p:<class>` for each class.

        Of several repeats, each image has a row in each, and a column `repeat` numbers them from 0.

        Returns:
            {"file", "bytes", "sha256"}, for the record.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        count = len(self.repeats)
        columns: dict[str, Any] = {
            "id": pa.concat_arrays([text_column(self.ids)] * count),
            "label": named_column(np.tile(self.labels, count), class_names),
        }
        if self.probabilities.ndim == 3:
            columns[REPEAT] = np.repeat(np.arange(count, dtype=np.int8), len(self.ids))
        rows = self.repeats.reshape(-1, len(class_names))
        columns |= {f"p:{name}": rows[:, k] for k, name in enumerate(class_names)}
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns), sink)
        content = sink.getvalue().to_pybytes()
        durable.write(path, content)
        digest = hashlib.sha256(content).hexdigest()
        return {"file": path.name, "bytes": len(content), "sha256": digest}

    @classmethod
    def read(
        cls, path: Path, class_names: Sequence[str], sha256: str = "", most_rows: int | None = None
    ) -> "Predictions":
        """Read a table that `write` wrote.

        Rows may come in any order; those of the repeats come in the order of the first one.

        Args:
            path: the file.
            class_names: the classes.
            sha256: the SHA-256 that the file must have; empty where it is not known.
            most_rows: the number of rows that it may have; None: as its size allows.

        Raises:
            DataError: the file cannot be read as such or has changed, repeats have different
                images, a class is unknown, or a row is no probabilities.
        """
        table = Table(path, sha256, most_rows)
        ids, labels = table.ids("id"), table.numbered("label", class_names)
        rows = table.numbers([f"p:{name}" for name in class_names], "f").astype(np.float32)
        with table.reading():
            _check_rows(labels, rows)
            several = REPEAT in table.names
            repeats = table.numbers([REPEAT], "i")[:, 0] if several else np.zeros(table.rows, int)
            order = _order_of_repeats(ids, repeats)  # (R, n)
            known = labels[order]  # (R, n)
            if (known != known[0]).any():
                raise ValueError("it gives an image another label in another repeat")
        return cls(ids[order[0]], known[0], rows[order] if several else rows[order[0]])


def read_of(path: Path, splits: Splits, places: np.ndarray, sha256: str = "") -> Predictions:
    """Read predictions of exactly these images, in their order.

    Args:
        path: the file.
        splits: of the results folder.
        places: positions of n images in the splits, int64.
        sha256: the SHA-256 that the file must have; empty where it is not known.

    Raises:
        DataError: as `Predictions.read`; or they are of other images, or have other labels.
    """
    most = len(places) * len(splits.folds)
    predictions = Predictions.read(path, splits.class_names, sha256, most)
    expected = Texts.of(splits.ids)[places]
    order = Texts.of(predictions.ids).places_of(expected)
    if len(predictions.ids) != len(expected) or (order < 0).any():
        raise DataError(
            f"{path} has predictions of {len(predictions.ids)} images, expected those of exactly "
            f"the {len(expected)} of its split; {REMEDY}"
        )
    if (predictions.labels[order] != splits.labels[places]).any():
        raise DataError(f"{path} has other labels than the splits; {REMEDY}")
    given = predictions.probabilities
    ordered = given[order] if given.ndim == 2 else given[:, order]
    return Predictions(expected, predictions.labels[order], ordered)


def _check_rows(labels: np.ndarray, probabilities: np.ndarray) -> None:
    """Raise ValueError unless all labels (n,) are known, and rows (n, K) are probabilities."""
    if (labels < 0).any():
        raise ValueError(f"row {int((labels < 0).argmax())} has a label that is no class")
    off = np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1)
    wrong = ((probabilities < 0) | (probabilities > 1)).any(axis=1) | (off > TOLERANCE + _ROUNDING)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"row {row} holds values that are no probabilities: expected 0 to 1 with a sum of 1, "
            f"got {probabilities[row].min():.4g} to {probabilities[row].max():.4g} with a sum of "
            f"{probabilities[row].sum():.4g}"
        )


def _order_of_repeats(ids: Texts, repeats: np.ndarray) -> np.ndarray:
    """Return the row of each image in each repeat, int64 (R, n), in the order of the first repeat.

    Raises:
        ValueError: the repeats do not have the same images, each once.
    """
    rows = [np.flatnonzero(repeats == number) for number in np.unique(repeats)]
    first = ids[rows[0]]
    order = []
    for of_repeat in rows:
        own = ids[of_repeat]
        places = own.places_of(first)
        if own.repeated() or len(own) != len(first) or (places < 0).any():
            raise ValueError("its repeats do not have the same images, each once")
        order.append(of_repeat[places])
    return np.array(order)
