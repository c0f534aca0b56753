"""A zip or tar of images, read without unpacking."""

import errno
import itertools
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np

from features.errors import DataError
from features.sources.base import ListedSource
from features.sources.blocks import Block, Span
from features.sources.files import MAX_NAME, most_unpacked
from features.sources.kinds import (
    is_hidden,
    is_image,
    is_image_by_content,
    is_worth_opening,
    kind_of,
)
from features.sources.layout import lay_out, unwrap
from features.sources.manifest import (
    MANIFEST_SUFFIXES,
    Listing,
    comparable,
    has_paths,
    parse,
)
from features.storage.texts import Texts

_ABSENT = -1
_OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:[/\\]|(^|[/\\])\.\.([/\\]|$)")


class Archive(Protocol):
    """An open archive.

    Attributes:
        names: every member that is a file, in the archive's order, as `member_name` returns them.
        sizes: their sizes in bytes.
        sequential: True where members must be read in order to be read fast.
        warnings: what looks wrong with the archive, as in `Reading`.
        is_cut: whether its end is missing, so that images may be missing too.
        reading_threads: as in `Source`.
    """

    names: list[str]
    reading_threads: int
    warnings: list[str]
    is_cut: bool

    @property
    def sizes(self) -> Sequence[int]: ...

    @property
    def sequential(self) -> bool: ...

    def read(self, position: int, is_image: bool = True, block: Block | None = None) -> bytes:
        """Return a member's content, out of a block of the file if one is given.

        It is safe to call from any thread.

        Raises:
            OSError: it is damaged, or it should be an image, is large, and begins like none.
        """

    def span(self, position: int) -> Span | None:
        """Return where a member lies in a remote file; None where it is not read by ranges."""

    def head(self, position: int) -> bytes:
        """Return a member's first bytes, by which its format is known; none if it is damaged."""

    def close(self) -> None:
        """Close the files of the archive."""


class ArchiveSource(ListedSource):
    """The images of an archive; ids are the full paths of its members.

    A single table at the top (`.csv`, `.tsv`, `.parquet`) with a column `path` is its manifest.
    Without one, labels and splits come from the folders, as in `layout`; a single top folder that
    holds everything is ignored. Of several members with the same name the last is taken, as
    unpacking would do.

    Images are sorted by id. Those of a sequential archive keep its order: if they were sorted,
    each would have to be searched for from the beginning.
    """

    kind = "archive"

    def __init__(self, location: Path, archive: Archive) -> None:
        """List the archive, which `close` of this source closes.

        Raises:
            DataError: its manifest is not valid, as in `manifest.parse`.
        """
        self._archive, self.sequential = archive, archive.sequential
        self.reading_threads = archive.reading_threads
        members = visible(archive.names)
        images, others = sort_members(archive, members)
        table = _manifest(location, archive, members)
        self.is_by_folders = table is None
        if table is None:
            ids = Texts.of(sorted(images))
            listing = Listing(ids, *lay_out(ids, without_top=True), {})
        else:
            listing = _listed(location, archive, table, members)
        self.passed_over, self.not_read = others, []
        tables = [name for name in members if name.lower().endswith(MANIFEST_SUFFIXES)]
        self.not_read = sorted(name for name in tables if name != table)
        if table is not None:
            self.passed_over -= Counter([kind_of(table)])
        self.warnings, self.is_cut = archive.warnings, archive.is_cut
        positions = np.array([members.get(name, _ABSENT) for name in listing.ids], np.int64)
        if archive.sequential:
            order = np.argsort(positions, kind="stable")
            positions, listing = positions[order], _reordered(listing, order)
        sizes = np.array([archive.sizes[p] if p != _ABSENT else -1 for p in positions], np.int64)
        ids, labels, splits, class_names, columns, _ = listing
        super().__init__(location, ids, labels, splits, sizes, class_names, columns)
        self._positions = positions

    def read(self, index: int) -> bytes:
        position = int(self._positions[index])
        if position == _ABSENT:
            raise FileNotFoundError(errno.ENOENT, "not in the archive")
        return self._archive.read(position)

    def span(self, index: int) -> Span | None:
        position = int(self._positions[index])
        return None if position == _ABSENT else self._archive.span(position)

    def read_from(self, block: Block, index: int) -> bytes:
        return self._archive.read(int(self._positions[index]), block=block)

    def close(self) -> None:
        self._archive.close()


@contextmanager
def opening(location: Path) -> Iterator[None]:
    """Turn the errors that a damaged archive causes into a DataError."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except OSError as error:
        raise DataError(f"{location} cannot be read: {error.strerror or error}") from None
    except Exception as error:
        raise DataError(f"{location} is damaged: {error}") from None


@contextmanager
def reading() -> Iterator[None]:
    """Turn the errors that a damaged member causes into an OSError with a reason."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        what = str(error) or "it ends too early"
        reason = getattr(error, "strerror", None) or f"damaged in the archive: {what}"
        raise OSError(errno.EIO, reason) from None


def member_name(location: Path, name: str) -> str:
    r"""Return a member's name as an id: normalized, with bytes that are not UTF-8 as \xNN.

    Raises:
        DataError: the name is absolute, leads outside, has a NUL or is longer than any, which is
            no mistake but an attack.
    """
    if len(name) > MAX_NAME:
        raise refused(location, f"{name[:40]}...", f"has a name of {len(name):,} characters")
    if "\0" in name:
        raise refused(location, name, "has a NUL in its name")
    if _OUTSIDE.search(name):
        raise refused(location, name, "leads outside the archive")
    name = posixpath.normpath(name)
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def refused(location: Path | str, name: str, reason: str) -> DataError:
    """Return the error for an archive with a member that no data set would have."""
    return DataError(f"{location} is refused: its member {name!r} {reason}; pack the files anew")


def sort_members(archive: Archive, members: dict[str, int]) -> tuple[list[str], Counter[str]]:
    """Return the names of the members that are images, and the numbers of others by kind.

    Args:
        archive: the archive.
        members: the positions of its members by name.
    """
    images: list[str] = []
    others: Counter[str] = Counter()
    for name, position in members.items():
        if is_image(name):
            images.append(name)
            continue
        head = archive.head(position) if is_worth_opening(name) else b""
        if head and is_image_by_content(name, head):
            images.append(name)
        else:
            others[kind_of(name, head)] += 1
    return images, others


def visible(names: Sequence[str]) -> dict[str, int]:
    """Return the position of each member that is not hidden; of equal names the last position."""
    return {
        name: position
        for position, name in enumerate(names)
        if not any(is_hidden(component) for component in name.split("/"))
    }


def _manifest(location: Path, archive: Archive, members: dict[str, int]) -> str | None:
    """Return the only table at the top, or in a top folder that holds everything; else None.

    A table without a column `path` is none, if there are images in folders.
    """
    names = list(members)
    tables = [
        name
        for name, below in zip(names, unwrap(names), strict=True)
        if "/" not in below and below.lower().endswith(MANIFEST_SUFFIXES)
    ]
    if len(tables) != 1:
        return None
    folder = _folder(tables[0])
    has_folders = any(is_image(name) and "/" in name[len(folder) :] for name in names)
    if has_folders and not has_paths(tables[0], _content(location, archive, members, tables[0])):
        return None
    return tables[0]


def _folder(name: str) -> str:
    return name[: name.rfind("/") + 1]


def _content(location: Path, archive: Archive, members: dict[str, int], table: str) -> BytesIO:
    size, most = archive.sizes[members[table]], most_unpacked(location.stat().st_size)
    if size > most:
        raise DataError(f"{location}, {table} claims {size:,} bytes, expected at most {most:,}")
    try:
        return BytesIO(archive.read(members[table], is_image=False))
    except OSError as error:
        raise DataError(f"{location}, {table} cannot be read: {error.strerror}") from None


def _listed(location: Path, archive: Archive, table: str, members: dict[str, int]) -> Listing:
    content = _content(location, archive, members, table)
    listing = parse(f"{location}, {table}", content, location.stat().st_size)
    folder, written = _folder(table), {comparable(name): name for name in members}
    if listing.urls is not None:
        first = next(itertools.compress(listing.ids, listing.urls))
        raise DataError(f"{location}, {table} lists {first}; expected paths in the archive alone")
    names = (folder + name for name in listing.ids)
    return listing._replace(
        ids=Texts.of(
            name if name in members else written.get(comparable(name), name) for name in names
        )
    )


def _reordered(listing: Listing, order: np.ndarray) -> Listing:
    columns = {name: [texts[index] for index in order] for name, texts in listing.columns.items()}
    ids = listing.ids[order]
    return Listing(ids, listing.labels[order], listing.splits[order], listing.class_names, columns)
