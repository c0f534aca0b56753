"""Predictions in the form of a competition's sample file: its ids, in its order, and its columns.

The first column holds ids: those of the images, or their file names with or without the suffix. The
others are the classes, and get probabilities; or there is one other, which gets the predicted
class, or, where the sample has fractions in it and there are two classes, the probability of the
second.
"""

import csv
import io
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from features.disk import durable
from features.errors import DataError, UsageError
from pipeline.results.new_predictions import ranked_columns

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("offshelf")

_SAMPLE_BYTES = 2**28

Row = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """A sample file.

    Attributes:
        path: the file.
        header: names of its columns.
        ids: in its order.
        values: of each column but the first: how it is made from the probabilities by class.
    """

    path: Path
    header: list[str]
    ids: list[str]
    values: list[Callable[[dict[str, float]], Any]]


def submission_path(out: Path) -> Path:
    """Return where the submission of a table of predictions is written."""
    return out.with_suffix(".submission.csv")


def read_sample(path: Path, class_names: tuple[str, ...]) -> Sample:
    """Read a sample file and find out what its columns want.

    Raises:
        UsageError: there is no such file.
        DataError: it is no table, or its columns are neither classes nor a single one.
    """
    if not path.is_file():
        raise UsageError(f"there is no {path}; expected a competition's sample submission, a .csv")
    if path.stat().st_size > _SAMPLE_BYTES:
        raise DataError(f"{path} is larger than {_SAMPLE_BYTES >> 20} MiB, expected a sample file")
    try:
        text = io.StringIO(
            path.read_bytes().decode("utf-8-sig"), newline=""
        )  # "\r" may be in an id
        lines = [line for line in csv.reader(text) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table: {error}") from None
    if len(lines) < 2 or any(len(line) != len(lines[0]) for line in lines):
        raise DataError(f"{path}: expected a header and rows of as many columns")
    header, rows = lines[0], lines[1:]
    values = _values(path, header[1:], [row[1:] for row in rows], class_names)
    return Sample(path, header, [row[0] for row in rows], values)


def write(
    sample: Sample, out: Path, tables: Iterable["pa.Table"], class_names: tuple[str, ...]
) -> Path:
    """Write the submission of predictions that name all classes; return its path.

    Raises:
        DataError: an id of the sample has no image, several, or one that could not be read.
    """
    rows = [row for table in tables for row in table.to_pylist()]
    find = _finder(sample, [row["id"] for row in rows])
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(sample.header)
    for name in sample.ids:
        row = rows[find(name)]
        if row["class"] is None:
            raise DataError(f"{name} of {sample.path} could not be read: {row['problem']}")
        by_class = {row[of]: row[value] for of, value in ranked_columns(len(class_names))}
        lines.writerow([name, *(value(by_class) for value in sample.values)])
    durable.write(submission_path(out), text.getvalue().encode())
    return submission_path(out)


def _values(
    path: Path, names: list[str], rows: list[list[str]], class_names: tuple[str, ...]
) -> list[Callable[[dict[str, float]], Any]]:
    if names and set(names) <= set(class_names):
        return [_probability_of(name) for name in names]
    if len(names) != 1:
        raise DataError(
            f"{path} has the columns {', '.join(names) or 'none'} beside its ids, expected one, or "
            f"classes of {', '.join(class_names)}"
        )
    if len(class_names) == 2 and any(_is_fraction(row[0]) for row in rows):
        log.info("%s gets the probability of %s", names[0], class_names[1])
        return [_probability_of(class_names[1])]
    return [lambda by_class: max(by_class, key=by_class.__getitem__)]


def _probability_of(name: str) -> Callable[[dict[str, float]], Any]:
    return lambda by_class: f"{by_class[name]:.7g}"


def _is_fraction(text: str) -> bool:
    try:
        return float(text) % 1 != 0
    except ValueError:
        return False


def _finder(sample: Sample, ids: list[str]) -> Callable[[str], int]:
    """Return a function from an id of the sample to the row of its image."""
    ways = (str, lambda text: PurePosixPath(text).name, lambda text: PurePosixPath(text).stem)
    named = [[way(text) for text in ids] for way in ways]
    names = min(named, key=lambda names: len(set(sample.ids).difference(names)))
    rows = {name: number for number, name in enumerate(names)}
    missing = [name for name in sample.ids if name not in rows]
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(sample.ids)} ids in {sample.path} have no image, such as "
            f"{missing[0]}; an image is called {ids[0]}"
        )
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if several := sorted(set(sample.ids).intersection(doubled)):
        raise DataError(f"{several[0]} of {sample.path} is the name of several images")
    return rows.__getitem__
