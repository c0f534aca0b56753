"""A table of images: columns `path`, and if wanted `label` and `split`."""

import csv
import io
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from features.errors import DataError
from features.records import Split
from features.sources.base import ListedSource
from features.sources.files import read_file, size_of
from features.sources.layout import SPLIT_NAMES, number_labels

MANIFEST_SUFFIXES = (".csv", ".tsv", ".parquet")

_COLUMNS = ("path", "label", "split")
_SPLITS = {"": Split.NONE} | SPLIT_NAMES
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")

Row = tuple[int, list[str]]  # line number, fields


class Listing(NamedTuple):
    """What a manifest says, sorted by id: ids, int32 labels, uint8 splits, names of the labels."""

    ids: list[str]
    labels: np.ndarray
    splits: np.ndarray
    class_names: tuple[str, ...]


class ManifestSource(ListedSource):
    """The images that a CSV, TSV or Parquet file lists, relative to the folder it lies in.

    An image that is listed and not there is told of when it is read.
    """

    kind = "manifest"

    def __init__(self, location: Path) -> None:
        """Read the manifest; raises DataError as `parse` does."""
        try:
            content = location.read_bytes()
        except OSError as error:
            raise DataError(f"{location} cannot be read: {error.strerror}") from None
        ids, labels, splits, class_names = parse(str(location), content)
        self._folder = location.parent
        sizes = np.array([size_of(self._folder / name) for name in ids], np.int64)
        super().__init__(location, ids, labels, splits, sizes, class_names)

    def read(self, index: int) -> bytes:
        return read_file(self._folder / self.ids[index])


def parse(name: str, content: bytes) -> Listing:
    """Return what a manifest lists.

    Args:
        name: the file's name; its suffix tells the format, and errors begin with it.
        content: the file's bytes; text is UTF-8, with or without a byte order mark.

    Raises:
        DataError: it is no such table, has no column `path`, or has a line that cannot be meant:
            a path that leads outside or was there before, an unknown split.
    """
    rows = (
        _parquet_rows(name, content)
        if name.lower().endswith(".parquet")
        else (_text_rows(name, content, "\t" if name.lower().endswith(".tsv") else ","))
    )
    header = [column.strip() for column in next(rows, (0, []))[1]]
    if "path" not in header:
        raise DataError(
            f"{name} has no column 'path'; its columns are: {', '.join(header) or 'none'}"
        )
    if twice := [column for column in _COLUMNS if header.count(column) > 1]:
        raise DataError(f"{name} has column {twice[0]!r} twice, expected it once")
    images: dict[str, tuple[str, Split]] = {}
    for line, fields in rows:
        try:
            image, label, split = _image(header, fields)
            if image in images:
                raise ValueError(f"{image!r} is listed twice")
        except ValueError as error:
            raise DataError(f"{name}, line {line}: {error}") from None
        images[image] = (label, split)
    ids = sorted(images)
    labels, class_names = number_labels([images[image][0] for image in ids])
    return Listing(ids, labels, np.array([images[i][1] for i in ids], np.uint8), class_names)


def _image(header: list[str], fields: list[str]) -> tuple[str, str, Split]:
    """Return path, label and split of one line; raises ValueError where they cannot be meant."""
    if len(fields) != len(header):
        raise ValueError(f"{len(fields)} fields, expected {len(header)}; quote fields with commas")
    row = dict(zip(header, fields, strict=True))
    split = _SPLITS.get(row.get("split", "").strip().lower())
    if split is None:
        raise ValueError(f"split {row['split']!r}, expected train, validation, test or nothing")
    return _inside(row["path"]), row.get("label", "").strip(), split


def _inside(path: str) -> str:
    """Return a path without detours; raises ValueError unless it stays below the folder."""
    if not path or "\0" in path:
        raise ValueError(f"path {path!r} is not the name of a file")
    if _ABSOLUTE.match(path):
        raise ValueError(f"path {path!r} is absolute, expected one relative to the manifest")
    if posixpath.normpath(path.replace("\\", "/")).partition("/")[0] == "..":
        raise ValueError(f"path {path!r} leads outside the manifest's folder")
    return posixpath.normpath(path)


def _text_rows(name: str, content: bytes, delimiter: str) -> Iterator[Row]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 text (byte {error.start}); save it so") from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from ((reader.line_num, fields) for fields in reader if fields)
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: {error}") from None


def _parquet_rows(name: str, content: bytes) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        found = file.schema_arrow.names
        wanted = [column for column in _COLUMNS if column in found]
        table = file.read(columns=wanted)
        columns = [table[column].cast(pa.string()).to_pylist() for column in wanted]
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{name} cannot be read as a Parquet table: {reason}") from None
    yield 0, wanted if "path" in wanted else found
    for line, fields in enumerate(zip(*columns, strict=True), 1):
        yield line, [field or "" for field in fields]
