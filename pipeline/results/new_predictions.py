"""Predictions of new images: a table with a row for each, and a note with all that made it.

The table is a .csv or .parquet file with the columns of `columns`; in CSV the classes of a set are
separated by "|", and texts that a spreadsheet would compute have a "'" in front. The note lies
beside it, with the suffix .json.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.disk import durable
from features.errors import UsageError
from features.text import for_csv
from pipeline.results.display import html

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SEPARATOR = "|"  # of the classes of a set, in CSV
SCHEMA = 1


@dataclass(frozen=True, repr=False)
class NewPredictions:
    """Predictions of new images.

    Attributes:
        path: the table.
        facts: the note beside it.
    """

    path: Path
    facts: dict[str, Any]

    def frame(self) -> "pd.DataFrame":
        """Return a row for each image, in the order of the source; see the note's "columns".

        Raises:
            OSError: the table is no longer there.
        """
        import pandas as pd

        if self.path.suffix == ".parquet":
            return pd.read_parquet(self.path)
        return pd.read_csv(self.path, keep_default_na=False, na_values=[""])

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {count:,}" for name, count in self.facts["classes"].items())
        return f"NewPredictions({str(self.path)!r}: {counts})"

    def _repr_html_(self) -> str:
        return html(repr(self), self.frame())


def note_path(path: Path) -> Path:
    """Return the path of the note beside a table."""
    return path.with_suffix(".json")


def columns(top: int) -> "pa.Schema":
    """Return the columns of a table that names the `top` likeliest classes of each image."""
    import pyarrow as pa

    kinds = pa.string(), pa.float32()
    ranked = [pair for names in ranked_columns(top) for pair in zip(names, kinds, strict=True)]
    return pa.schema(
        [
            ("id", pa.string()),
            *ranked,
            ("set", pa.list_(pa.string())),
            ("familiarity", pa.float32()),
            ("unlike", pa.bool_()),
            ("problem", pa.string()),
            ("digest", pa.string()),
        ]
    )


def ranked_columns(top: int) -> list[tuple[str, str]]:
    """Return the names of the columns of the likeliest class, the next one, ..., in pairs."""
    endings = ["", *(f"_{rank}" for rank in range(2, top + 1))]
    return [(f"class{ending}", f"probability{ending}") for ending in endings]


def check_replaceable(path: Path) -> None:
    """Raise UsageError where a file at `path` is no table of predictions, and is so kept."""
    if path.exists() and not note_path(path).exists():
        raise UsageError(
            f"{path} is there already and was not made by `predict`; choose another --out"
        )


def write(path: Path, tables: Iterable["pa.Table"], facts: dict[str, Any]) -> NewPredictions:
    """Write a table part by part, and its note; raises OSError."""
    writer = _write_parquet if path.suffix == ".parquet" else _write_csv
    with durable.replacing(path) as draft:
        writer(draft, iter(tables))
    durable.write(note_path(path), (json.dumps(facts, indent=1) + "\n").encode())
    return NewPredictions(path, facts)


def _write_parquet(draft: durable.Draft, tables: Iterator["pa.Table"]) -> None:
    import pyarrow.parquet as pq

    first = next(tables)
    with pq.ParquetWriter(draft, first.schema) as writer:
        for table in (first, *tables):
            writer.write_table(table)


def _write_csv(draft: durable.Draft, tables: Iterator["pa.Table"]) -> None:
    for number, table in enumerate(tables):
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        if number == 0:
            lines.writerow(table.column_names)
        for row in table.to_pylist():
            lines.writerow([_cell(value) for value in row.values()])
        draft.write(text.getvalue().encode())


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        value = SEPARATOR.join(value)
    if isinstance(value, float):
        return f"{value:.7g}"
    return "" if value is None else for_csv(value)
