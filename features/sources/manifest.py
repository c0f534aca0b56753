"""A manifest: a table of images with a column `path`, and perhaps `label`, `split` and others."""

import csv
import io
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from features.errors import DataError
from features.records import Split
from features.sources.base import ListedSource
from features.sources.files import read_file, size_of
from features.sources.layout import number_labels, split_of

MANIFEST_SUFFIXES = (".csv", ".tsv", ".parquet")

_COLUMNS = ("path", "label", "split")
_MOST_COLUMNS = 1000  # each becomes a dataset of the feature file
_MOST_ROWS = 50_000_000  # a file of some bytes can claim any number
_ROW_NUMBERS = re.compile(r"|Unnamed: 0|__index_level_0__")  # as pandas writes and reads them
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")

Row = tuple[int, list[str]]  # line number, fields


class _Image(NamedTuple):
    label: str
    split: Split
    further: tuple[str, ...]


class Listing(NamedTuple):
    """The content of a manifest, sorted by id.

    Attributes:
        ids: the paths of the images, relative to the manifest.
        labels: int32, (N,), -1 where unlabelled.
        splits: uint8, (N,), codes of `features.records.Split`.
        class_names: names of the labels.
        columns: the texts of each further column by its name, in the manifest's order.
    """

    ids: list[str]
    labels: np.ndarray
    splits: np.ndarray
    class_names: tuple[str, ...]
    columns: dict[str, list[str]]


class ManifestSource(ListedSource):
    """The images that a CSV, TSV or Parquet file lists, relative to the folder it lies in.

    An image that is listed and does not exist is rejected when it is read. Columns other than
    `path`, `label` and `split` are kept as text: numbers as they are written, missing ones as "".
    """

    kind = "manifest"

    def __init__(self, location: Path) -> None:
        """Read the manifest; raises DataError as `parse` does."""
        try:
            content = location.read_bytes()
        except OSError as error:
            raise DataError(f"{location} cannot be read: {error.strerror}") from None
        ids, labels, splits, class_names, columns = parse(str(location), content)
        self._folder = location.parent
        finder = FileFinder(self._folder)
        ids = [finder.find(name) for name in ids]
        sizes = np.array([size_of(self._folder / name) for name in ids], np.int64)
        super().__init__(location, ids, labels, splits, sizes, class_names, columns=columns)

    def read(self, index: int) -> bytes:
        return read_file(self._folder / self.ids[index])


class FileFinder:
    r"""Finds files whose names are written in another form than they have on the disk.

    Those are the forms of Unicode (macOS writes NFD, most others NFC), and `\` as separator.
    """

    def __init__(self, folder: Path) -> None:
        """Look below `folder`."""
        self._folder = folder
        self._names: dict[str, dict[str, str]] = {}  # of each folder, by what is compared

    def find(self, path: str) -> str:
        """Return the path that a file has, or `path` itself where there is none."""
        if (path.isascii() and "\\" not in path) or (self._folder / path).exists():
            return path
        found = ""
        for component in comparable(path).split("/"):
            if found not in self._names:
                self._names[found] = self._listed(found)
            name = self._names[found].get(component)
            if name is None:
                return path
            found = f"{found}/{name}" if found else name
        return found

    def _listed(self, below: str) -> dict[str, str]:
        try:
            return {comparable(p.name): p.name for p in (self._folder / below).iterdir()}
        except OSError:
            return {}


def comparable(path: str) -> str:
    r"""Return a path by which files are compared: in NFC, with `/` where it has `\`."""
    return unicodedata.normalize("NFC", path.replace("\\", "/"))


def has_paths(name: str, content: bytes) -> bool:
    """Tell whether a table has a column `path`; DataError where it is no table."""
    header = next(_rows(name, content), (0, []))[1]
    return "path" in [column.strip() for column in header]


def parse(name: str, content: bytes) -> Listing:
    """Return the content of a manifest.

    The unnamed column of row numbers that pandas writes is dropped. Where no path has a `/`, a
    backslash is the separator.

    Args:
        name: the file's name; its suffix decides the format, and messages begin with it.
        content: the file's bytes; text is UTF-8, with or without a byte order mark.

    Raises:
        DataError: it is no such table, has no column `path`, has a column whose name no dataset
            can have, or has a wrong line: a path that leads outside or is listed twice, an
            unknown split.
    """
    rows = _rows(name, content)
    header = [column.strip() for column in next(rows, (0, []))[1]]
    has_numbers = len(header) > 1 and _ROW_NUMBERS.fullmatch(header[0]) is not None
    header = header[has_numbers:]
    _check_header(name, header)
    images: dict[str, _Image] = {}
    for line, all_fields in _with_separators(rows, header.index("path") + has_numbers):
        fields = all_fields[has_numbers:]
        try:
            path, image = _image(header, fields)
            if path in images:
                raise ValueError(f"{path!r} is listed twice")
        except ValueError as error:
            raise DataError(f"{name}, line {line}: {error}") from None
        images[path] = image
    ids = sorted(images)
    listed = [images[path] for path in ids]
    labels, class_names = number_labels([image.label for image in listed])
    splits = np.array([image.split for image in listed], np.uint8)
    further = [column for column in header if column not in _COLUMNS]
    columns = {
        column: [image.further[number] for image in listed] for number, column in enumerate(further)
    }
    return Listing(ids, labels, splits, class_names, columns)


def _rows(name: str, content: bytes) -> Iterator[Row]:
    if name.lower().endswith(".parquet"):
        return _parquet_rows(name, content)
    return _text_rows(name, content, "\t" if name.lower().endswith(".tsv") else ",")


def _with_separators(rows: Iterator[Row], column: int) -> list[Row]:
    """Return the rows with their paths stripped, and with "/" where all of them have backslashes.

    Args:
        rows: the rows after the header.
        column: the number of the column of paths.
    """
    listed = list(rows)
    whole = [fields for _, fields in listed if len(fields) > column]
    for fields in whole:
        fields[column] = fields[column].strip()
    if not any("/" in fields[column] for fields in whole):
        for fields in whole:
            fields[column] = fields[column].replace("\\", "/")
    return listed


def _check_header(name: str, header: list[str]) -> None:
    if "path" not in header:
        raise DataError(
            f"{name} has no column 'path'; its columns are: {', '.join(header) or 'none'}"
        )
    if len(header) > _MOST_COLUMNS:
        raise DataError(
            f"{name} has {len(header):,} columns, expected at most {_MOST_COLUMNS:,}; leave out "
            "those that are not needed"
        )
    for column in header:
        if column in ("", ".") or "/" in column or "\0" in column:
            raise DataError(
                f"{name} has a column called {column!r}, which the feature file cannot have; "
                "expected a name other than '.' without '/': rename it or leave it out"
            )
        if header.count(column) > 1:
            raise DataError(f"{name} has column {column!r} twice, expected it once")


def _image(header: list[str], fields: list[str]) -> tuple[str, _Image]:
    """Return path and image of one line; raises ValueError where they are wrong."""
    if len(fields) != len(header):
        raise ValueError(f"{len(fields)} fields, expected {len(header)}; quote fields with commas")
    row = dict(zip(header, fields, strict=True))
    path, label = _inside(row.pop("path")), row.pop("label", "").strip()
    split_name = row.pop("split", "")
    split = split_of(split_name) if split_name.strip() else Split.NONE
    if split is None:
        raise ValueError(f"split {split_name!r}, expected train, validation, test or nothing")
    if spoiled := next((column for column in row if "\0" in row[column]), None):
        raise ValueError(f"column {spoiled!r} has a NUL in it, expected text")
    return path, _Image(label, split, tuple(text.strip() for text in row.values()))


def _inside(path: str) -> str:
    """Return a path normalized; raises ValueError unless it stays below the folder."""
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
        if file.metadata.num_rows > _MOST_ROWS:
            raise DataError(
                f"{name} has {file.metadata.num_rows:,} rows, expected at most {_MOST_ROWS:,}"
            )
        table = file.read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{name} cannot be read as a Parquet table: {reason}") from None
    yield 0, table.column_names
    columns = [
        _texts(name, *named) for named in zip(table.column_names, table.columns, strict=True)
    ]
    for line, fields in enumerate(zip(*columns, strict=True), 1):
        yield line, [field or "" for field in fields]


def _texts(name: str, column: str, values: Any) -> list[str | None]:
    """Return a column of a Parquet table (pyarrow.ChunkedArray) as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(values.type):  # pandas writes a missing label as NaN
        values = pc.if_else(pc.is_nan(values), None, values)
    try:
        return values.cast(pa.string()).to_pylist()
    except pa.ArrowException:
        raise DataError(
            f"{name}: column {column!r} is of type {values.type}, expected text or numbers; "
            "write it so or leave it out"
        ) from None
