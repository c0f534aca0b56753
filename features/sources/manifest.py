"""A manifest: a table of images with a column `path`, and perhaps `label`, `split` and others."""

import itertools
import os
import posixpath
import re
import unicodedata
from array import array
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from features.errors import DataError
from features.records import Split
from features.remote.location import RemotePath, remote
from features.remote.schemes import check_scheme, scheme_of, shown
from features.remote.stores import READERS
from features.sources.base import ListedSource
from features.sources.files import (
    MAX_NAME,
    MOST_RATIO,
    UNKNOWN,
    most_unpacked,
    read_file,
    size_of,
)
from features.sources.layout import number_labels, split_of
from features.sources.remote_files import UrlReader
from features.sources.tables import check_columns, rows_of
from features.storage.texts import Texts, TextsBuilder

MANIFEST_SUFFIXES = (".csv", ".tsv", ".parquet")

_COLUMNS = ("path", "label", "split")
_MOST_NAME = 1000  # characters of a column's name
_ROW_BYTES = 100  # that a row takes beside its text
_ROW_NUMBERS = re.compile(r"|Unnamed: 0|__index_level_0__")  # as pandas writes and reads them
_BACKSLASH = ord("\\")
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")


class Listing(NamedTuple):
    """The content of a manifest, sorted by id.

    Attributes:
        ids: the paths of the images, relative to the manifest.
        labels: int32, (N,), -1 where unlabelled.
        splits: uint8, (N,), codes of `features.records.Split`.
        class_names: names of the labels.
        columns: the texts of each further column by its name, in the manifest's order.
        urls: the URL of each image that is listed by one, else "": its id is without what is
            secret in it. None where there are no URLs.
    """

    ids: Texts
    labels: np.ndarray
    splits: np.ndarray
    class_names: tuple[str, ...]
    columns: dict[str, list[str]]
    urls: Texts | None = None


class ManifestSource(ListedSource):
    """The images that a CSV, TSV or Parquet file lists, relative to the folder it lies in.

    An image that is listed and does not exist is rejected when it is read. Columns other than
    `path`, `label` and `split` are kept as text: numbers as they are written, missing ones as "".
    A path may be a URL; where there is no column `path`, a column `url` takes its place.
    """

    kind = "manifest"
    travels = True

    def __init__(self, location: Path) -> None:
        """Read the manifest; raises DataError as `parse` does."""
        try:
            with location.open("rb") as file:
                listing = parse(str(location), file, location.stat().st_size)
        except OSError as error:
            raise DataError(f"{location} cannot be read: {error.strerror}") from None
        ids, labels, splits, class_names, columns, self._urls = listing
        self._folder, self._reader = location.parent, UrlReader()
        self._base = remote(self._folder)
        self.reading_threads = READERS if self._urls is not None or self._base else 0
        sizes = np.full(len(ids), UNKNOWN, np.int64)
        if self._base is None:
            ids, sizes = self._found(ids)
        elif self._urls is not None:
            _check_origin(location, self._base, ids, self._urls)
        super().__init__(location, ids, labels, splits, sizes, class_names, columns=columns)

    def read(self, index: int) -> bytes:
        if self._urls is not None and (url := self._urls[index]):
            return self._reader.read(url)
        name = self.ids[index]
        if self._base is not None:
            return self._reader.read((self._base / name).url)
        return read_file(self._folder / name, int(self.sizes[index]))

    def _found(self, ids: Texts) -> tuple[Texts, np.ndarray]:
        """Return the ids as files are called on the disk, and the sizes of these files."""
        finder, names, sizes = FileFinder(self._folder), TextsBuilder(), array("q")
        for name, url in zip(ids, self._urls or itertools.repeat("")):  # noqa: B905
            found = name if url else finder.find(name)
            names.append(found)
            sizes.append(UNKNOWN if url else size_of(f"{self._folder}{os.sep}{found}"))
        return names.texts(), np.frombuffer(sizes, np.int64)


def _check_origin(location: Path, base: RemotePath, ids: Texts, urls: Texts) -> None:
    """Raise DataError where a web server's manifest has us read what its server cannot."""
    if base.is_store:
        return
    inner = [name for name, url in zip(ids, urls, strict=True) if url and RemotePath(url).is_store]
    if inner:
        raise DataError(
            f"{location} lies on a web server and lists {inner[0]}, which would be read with your "
            "credentials; copy the manifest to your disk if that is meant"
        )


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


def has_paths(name: str, file: IO[bytes]) -> bool:
    """Tell whether a table has a column `path`; DataError where it is no table."""
    header = next(rows_of(name, file), (0, []))[1]
    return "path" in [column.strip() for column in header]


def parse(name: str, file: IO[bytes], packed_bytes: int) -> Listing:
    """Return the content of a manifest.

    The unnamed column of row numbers that pandas writes is dropped. Where no path has a `/`, a
    backslash is the separator.

    Args:
        name: the file's name; its suffix decides the format, and messages begin with it.
        file: the table; text is UTF-8, with or without a byte order mark.
        packed_bytes: the bytes that hold it on the disk, which bound what may come out of them.

    Raises:
        DataError: it is no such table, has no column `path`, has a column whose name no dataset
            can have, or has a wrong line: a path that leads outside or is listed twice, an
            unknown split.
    """
    rows = rows_of(name, file)
    header = [column.strip() for column in next(rows, (0, []))[1]]
    if "path" not in header:
        header = ["path" if column == "url" else column for column in header]
    is_numbered = len(header) > 1 and _ROW_NUMBERS.fullmatch(header[0]) is not None
    _check_header(name, header[is_numbered:])
    table = _Table(header, is_numbered, most_unpacked(packed_bytes))
    for line, fields in rows:
        try:
            table.add(line, fields)
        except ValueError as error:
            raise DataError(f"{name}, line {line}: {error}") from None
    return table.listing(name)


class _Table:
    """The rows of a manifest, column by column; equal labels and other texts are held once.

    Its methods raise ValueError where a row is wrong.
    """

    def __init__(self, header: list[str], is_numbered: bool, most_bytes: int) -> None:
        self._first, self._count, self._left_bytes = int(is_numbered), len(header), most_bytes
        self._at = dict(zip(header[self._first :], range(self._first, len(header)), strict=True))
        self._ids, self._urls, self._lines = TextsBuilder(), TextsBuilder(), array("q")
        self._has_slash = False
        self._labels, self._label_numbers = array("i"), dict[str, int]()
        self._splits = bytearray()
        self._columns: dict[str, list[str]] = {
            column: [] for column in self._at if column not in _COLUMNS
        }
        self._known: dict[str, str] = {}

    def add(self, line: int, fields: list[str]) -> None:
        """Keep one row."""
        if len(fields) != self._count:
            raise ValueError(
                f"{len(fields) - self._first} fields, expected {self._count - self._first}; "
                "quote fields with commas"
            )
        path = fields[self._at["path"]].strip()
        self._place(path)
        self._lines.append(line)
        self._labels.append(self._label(self._field(fields, "label").strip()))
        self._splits.append(_split(self._field(fields, "split")))
        for column, texts in self._columns.items():
            text = fields[self._at[column]]
            if "\0" in text:
                raise ValueError(f"column {column!r} has a NUL in it, expected text")
            texts.append(self._once(text.strip()))
        self._take(len(path) + _ROW_BYTES)

    def _field(self, fields: list[str], column: str) -> str:
        return fields[self._at[column]] if column in self._at else ""

    def _label(self, name: str) -> int:
        if name not in self._label_numbers:
            self._take(len(name))
        return self._label_numbers.setdefault(name, len(self._label_numbers))

    def _once(self, text: str) -> str:
        known = self._known.setdefault(text, text)
        if known is text:
            self._take(len(text))
        return known

    def _take(self, count: int) -> None:
        self._left_bytes -= count
        if self._left_bytes < 0:
            raise ValueError(f"more than {MOST_RATIO} times the text that its file can hold")

    def _place(self, path: str) -> None:
        """Keep the place of an image; few manifests have URLs."""
        self._has_slash |= "/" in path
        if not scheme_of(path):
            self._ids.append(_inside(path))
            return
        self._urls.fill(len(self._ids))
        self._urls.append(path)
        self._ids.append(_shown_url(path))

    def listing(self, name: str) -> Listing:
        """Return all rows, sorted by path; DataError where one is listed twice."""
        has_urls, count = len(self._urls) > 0, len(self._ids)
        self._urls.fill(count)
        ids, urls = self._ids.texts(), self._urls.texts()
        if not self._has_slash and _BACKSLASH in ids.content:
            ids = Texts.of(_inside(path.replace("\\", "/")) for path in ids)
        order = ids.order()
        ids, lines = ids[order], np.frombuffer(self._lines, np.int64)[order]
        _check_distinct(name, ids, lines)
        numbers, class_names = number_labels(list(self._label_numbers))
        labels = numbers[np.frombuffer(self._labels, np.int32)[order]]
        splits = np.frombuffer(bytes(self._splits), np.uint8)[order]
        columns = {column: [texts[row] for row in order] for column, texts in self._columns.items()}
        return Listing(ids, labels, splits, class_names, columns, urls[order] if has_urls else None)


def _check_distinct(name: str, ids: Texts, lines: np.ndarray) -> None:
    """Raise DataError where one of some ids, which are sorted, has its like."""
    alike = np.flatnonzero(ids[1:].equals(ids[:-1]))
    if len(alike):
        second = np.maximum(lines[alike], lines[alike + 1])
        first = int(second.argmin())
        raise DataError(f"{name}, line {second[first]}: {ids[alike[first]]!r} is listed twice")


@cache
def _split(name: str) -> Split:
    split = split_of(name) if name.strip() else Split.NONE
    if split is None:
        raise ValueError(f"split {name!r:.60}, expected train, validation, test or nothing")
    return split


def _check_header(name: str, header: list[str]) -> None:
    if "path" not in header:
        columns = ", ".join(header)[:_MOST_NAME] or "none"
        raise DataError(f"{name} has no column 'path'; its columns are: {columns}")
    check_columns(name, len(header))
    for column in header:
        if len(column) > _MOST_NAME:
            raise DataError(f"{name} has a column called {column:.40}...: shorten its name")
        if column in ("", ".") or "/" in column or "\0" in column:
            raise DataError(
                f"{name} has a column called {column!r}, which the feature file cannot have; "
                "expected a name other than '.' without '/': rename it or leave it out"
            )
        if header.count(column) > 1:
            raise DataError(f"{name} has column {column!r} twice, expected it once")


def _shown_url(url: str) -> str:
    """Return the id of an image behind a URL; raises ValueError where no such URL is read."""
    if len(url) > MAX_NAME:
        raise ValueError(f"a URL of {len(url):,} characters, expected at most {MAX_NAME:,}")
    if not url.isprintable():
        raise ValueError(f"{shown(url)!r} has characters that do not print")
    check_scheme(url)
    return shown(url)


def _inside(path: str) -> str:
    """Return a path normalized; raises ValueError unless it stays below the folder."""
    if len(path) > MAX_NAME:
        raise ValueError(f"a path of {len(path):,} characters, expected at most {MAX_NAME:,}")
    if not path or "\0" in path:
        raise ValueError(f"path {path!r} is not the name of a file")
    if _ABSOLUTE.match(path):
        raise ValueError(f"path {path!r} is absolute, expected one relative to the manifest")
    if posixpath.normpath(path.replace("\\", "/")).partition("/")[0] == "..":
        raise ValueError(f"path {path!r} leads outside the manifest's folder")
    return posixpath.normpath(path)
