"""Tables of predictions that another tool made, checked against the splits.

A table has a column `id` and, for each image that validates, either a probability for each class
(columns `p:<class>`, or named like the classes) or one predicted class (column `predicted` or
`label`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.errors import DataError, UsageError
from features.storage import parquet_guard
from features.text import reason_of
from pipeline.data.splits import Splits
from pipeline.results.predictions import TOLERANCE

if TYPE_CHECKING:
    import pandas as pd

ID, PREFIX = "id", "p:"
LABELS = ("predicted", "label")  # the column of predicted classes; the first that is there is taken


@dataclass(frozen=True)
class PredictionTable:
    """Predictions of another tool.

    Attributes:
        probabilities: float32 (n, K), one row for each image of `Splits.validated`; rows sum to 1.
        only_labels: whether classes alone were given, so that each probability is 0 or 1.
    """

    probabilities: np.ndarray
    only_labels: bool


def read_table(table: "Path | pd.DataFrame", splits: Splits) -> PredictionTable:
    """Read predictions of exactly the images that validate, in any order.

    Args:
        table: a .csv or .parquet file, or a frame.
        splits: of the results folder.

    Raises:
        UsageError: there is no such file, or it is of another type.
        DataError: the table cannot be read; a column is missing; ids are doubled, missing, unknown
            or of locked images; a class is unknown; or rows are no probabilities.
    """
    name = str(table) if isinstance(table, Path) else "the frame"
    frame = _read(table, splits) if isinstance(table, Path) else table
    _check_columns(name, list(frame.columns), splits)
    order = _rows(name, [str(value) for value in frame[ID]], splits)
    frame = frame.iloc[order]
    if columns := _probability_columns(name, frame.columns, splits.class_names):
        return PredictionTable(_probabilities(name, frame, columns), False)
    column = next(column for column in LABELS if column in frame.columns)
    return PredictionTable(_one_hot(name, frame, column, splits.class_names), True)


def _check_columns(name: str, columns: Sequence[Any], splits: Splits) -> None:
    """Raise DataError where a table lacks ids or predictions."""
    if ID not in columns:
        raise DataError(f"{name} has no column {ID!r}; its columns are {_listed(columns)}")
    known = {*LABELS, *splits.class_names}
    if not any(str(each) in known or str(each).startswith(PREFIX) for each in columns):
        raise DataError(
            f"{name} has no predictions: its columns are {_listed(columns)}; expected "
            f"{PREFIX}<class> for each class, or {' or '.join(map(repr, LABELS))}"
        )


def _read(path: Path, splits: Splits) -> "pd.DataFrame":
    import pandas as pd

    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    try:
        if path.suffix.lower() == ".csv":  # as text: a class may be called "NA", an id "007"
            return pd.read_csv(path, dtype=str, keep_default_na=False)
        if path.suffix.lower() == ".parquet":
            return _read_parquet(path, splits)
    except (DataError, OSError, ValueError) as error:  # also of pyarrow and of the CSV parser
        raise DataError(f"{path} cannot be read: {reason_of(error)}") from None
    raise UsageError(f"{path} is no table that can be read; expected a .csv or .parquet file")


def _read_parquet(path: Path, splits: Splits) -> "pd.DataFrame":
    """Return the columns of a Parquet file that can be of use."""
    opened = parquet_guard.opened(path.read_bytes(), most_values=2 * len(splits.ids))
    _check_columns("it", opened.schema.names, splits)
    known = {ID, *LABELS, *splits.class_names}
    names = [name for name in opened.schema.names if name in known or name.startswith(PREFIX)]
    if len(set(names)) < len(names):
        raise DataError("it has two columns of the same name")
    return parquet_guard.read(opened, names).to_pandas(ignore_metadata=True)


def _rows(name: str, ids: list[str], splits: Splits) -> list[int]:
    """Return the row of each image that validates, after checking that no other id is there."""
    rows = {image: row for row, image in enumerate(ids)}
    expected = splits.ids_of(splits.validated)
    locked = set(splits.ids_of(splits.test))
    known, wanted = set(splits.ids), set(expected)
    advice = "give exactly the images that validate; `splits` lists them"
    for problem, images in (
        ("doubled ids", [image for row, image in enumerate(ids) if rows[image] != row]),
        ("images of the locked test", [image for image in ids if image in locked]),
        ("ids that the splits do not know", [image for image in ids if image not in known]),
        ("images that only train", [image for image in ids if image not in wanted]),
    ):
        if images:
            raise DataError(
                f"{name} has {problem} ({len(images):,}, the first is {images[0]}); {advice}"
            )
    if missing := [image for image in expected if image not in rows]:
        raise DataError(
            f"{name} lacks {len(missing):,} of the {len(expected):,} images that validate (the "
            f"first is {missing[0]}); {advice}"
        )
    return [rows[image] for image in expected]


def _probability_columns(
    name: str, columns: Sequence[str], class_names: Sequence[str]
) -> list[str] | None:
    """Return the column of each class, or None where the table has none."""
    prefixed = [column for column in map(str, columns) if column.startswith(PREFIX)]
    wanted = [f"{PREFIX}{each}" if prefixed else each for each in class_names]
    unknown = [column for column in prefixed if column not in wanted]
    missing = [column for column in wanted if column not in columns]
    if unknown:
        raise DataError(
            f"{name} has columns of unknown classes ({len(unknown):,}, the first is "
            f"{unknown[0]!r}); the classes are {_listed(class_names)}"
        )
    if len(missing) == len(wanted):
        return None
    if missing:
        raise DataError(
            f"{name} lacks the probabilities of {len(missing):,} of {len(wanted):,} classes (the "
            f"first is column {missing[0]!r})"
        )
    return wanted


def _probabilities(name: str, frame: "pd.DataFrame", columns: list[str]) -> np.ndarray:
    import pandas as pd

    values = frame[columns].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)  # (n, K)
    sums = values.sum(axis=1)
    for problem, wrong in (
        ("that are missing or not finite", ~np.isfinite(values).all(axis=1)),
        ("that are below 0 or above 1", ((values < 0) | (values > 1)).any(axis=1)),
        ("that do not sum to 1", np.abs(sums - 1) > TOLERANCE),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(
                f"{name} has probabilities {problem} ({int(wrong.sum()):,} images, the first is "
                f"{frame[ID].iloc[row]}); expected numbers from 0 to 1 that sum to 1 for each image"
            )
    return values.astype(np.float32)


def _one_hot(
    name: str, frame: "pd.DataFrame", column: str, class_names: Sequence[str]
) -> np.ndarray:
    numbers = {each: number for number, each in enumerate(class_names)}
    labels = [str(label) for label in frame[column]]
    unknown = [row for row, label in enumerate(labels) if label not in numbers]
    if unknown:
        first = unknown[0]
        raise DataError(
            f"{name} has unknown classes ({len(unknown):,} images, the first is "
            f"{frame[ID].iloc[first]} of {labels[first]!r}); the classes are {_listed(class_names)}"
        )
    return np.eye(len(class_names), dtype=np.float32)[[numbers[label] for label in labels]]


def _listed(names: Sequence[Any], most: int = 10) -> str:
    """Return names separated by commas, the first `most` of them."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more
