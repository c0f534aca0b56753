"""The interface of all sources of images: records in a fixed order, and the content of each."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np

from features.errors import DataError
from features.records import DIGEST_BYTES, ImageRecord, Split
from features.sources.blocks import Block, Span
from features.sources.contents import digest_contents, digest_of
from features.sources.layout import doubtful_names
from features.sources.reading import Reading, count_images
from features.storage.texts import Texts

_AT_A_TIME = 2**16

NO_COLUMNS: Mapping[str, Sequence[str]] = MappingProxyType({})


class Source(ABC):
    """Images in an order that depends on their names alone, never on the file system.

    Attributes:
        kind: "folder", "manifest", "archive", "webdataset", "arrays" or "memory".
        location: the path that the user gave.
        class_names: names of the labels 0, 1, ...; empty where nothing is labelled.
        columns: the further columns of a manifest: a text for each image, by the column's name.
        labels: int32, (N,), indices into the class names, -1 where unlabelled.
        splits: uint8, (N,), codes of `features.records.Split`.
        passed_over: number of files that are no images that can be read, by kind, as in `Reading`.
        not_read: what holds labels and lies in the source unread, as in `Reading`.
        warnings: what was guessed or looks wrong, as in `Reading`.
        is_cut: whether the end of the source is missing, so that images may be missing too.
        is_held: True where the content of all images is held in memory; it is then part of the
            fingerprint.
        sequential: True where content must be read in order to be read fast (compressed tars).
        reading_threads: number of threads that read ahead of those that decode; 0 where each reads
            what it decodes. A remote source takes many, as each waits for an answer.
        version: what a store says of a remote file that holds the images, such as its ETag.
        is_versioned: whether the fingerprint covers the content, by what a store says of each.
        travels: whether it can be pickled, to be read by another process or machine that has not
            listed it, and that notices where an image is not there as it was listed.
    """

    kind: str
    location: Path
    class_names: tuple[str, ...] = ()
    columns: Mapping[str, Sequence[str]] = NO_COLUMNS
    labels: np.ndarray
    splits: np.ndarray
    passed_over: Mapping[str, int] = MappingProxyType({})
    not_read: Sequence[str] = ()
    warnings: Sequence[str] = ()
    is_cut: bool = False
    is_held: bool = False
    sequential: bool = False
    reading_threads: int = 0
    version: str = ""
    is_versioned: bool = False
    travels: bool = False

    @property
    def reading(self) -> Reading:
        """How the source was read: numbers of images, and what was not read."""
        counts = count_images(self.labels, self.splits, self.class_names)
        warnings = [*self.warnings, *doubtful_names(counts[0])]
        if self.not_read and not self.class_names:
            advice = (
                "an array of labels is called `labels`"
                if self.kind == "arrays"
                else "a table with a column `path` can be given as the source"
            )
            unread = ", ".join(self.not_read)[:200]
            warnings.append(f"no image has a label, but {unread} may hold some; {advice}")
        return Reading(*counts, dict(self.passed_over), tuple(self.not_read), tuple(warnings))

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def __getitem__(self, index: int) -> ImageRecord:
        """Return the record at `index`, 0 <= index < len(self)."""

    @abstractmethod
    def read(self, index: int) -> bytes | np.ndarray:
        """Return the content of an image; safe to call from several threads.

        The content is the bytes of the image's file, or for arrays the pixels themselves: uint8
        or uint16 of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).

        Raises:
            OSError: the image cannot be read.
        """

    def span(self, index: int) -> Span | None:
        """Return where an image lies in a remote file; None where it is read by `read` alone."""
        return None

    def read_from(self, block: Block, index: int) -> bytes | np.ndarray:
        """Return the content of an image that has a span, out of a block that covers it.

        Raises:
            OSError: as `read`.
        """
        return self.read(index)

    @abstractmethod
    def extent(self, index: int) -> str:
        """Return a fact about the content that is known without reading it, such as its size."""

    def size(self, index: int) -> int:
        """Return how many bytes `read` gives at most, 0 where they are held or not known."""
        return 0

    @property
    def common_size(self) -> tuple[int, int] | None:
        """Height and width of all images, None where they may differ or are not known."""
        return None

    def __iter__(self) -> Iterator[ImageRecord]:
        for index in range(len(self)):
            yield self[index]

    @cached_property
    def ids(self) -> Texts:
        """The ids of all images, in their order."""
        return Texts.of(record.id for record in self)

    @cached_property
    def digests(self) -> np.ndarray | None:
        """The digest of each image's content, uint8 (N, 16), if all are held, else None."""
        return digest_contents(self, range(len(self))) if self.is_held else None

    def digest_of(self, index: int, content: bytes | np.ndarray) -> bytes:
        """Return the 16-byte BLAKE2b of an image's content, as `read` gave it."""
        known = self.__dict__.get("digests")  # of what is held, which cannot have changed since
        return digest_of(content) if known is None else known[index].tobytes()

    def fingerprint(self) -> str:
        """Return 32 hex digits over every id, label, split, extent and column, in order.

        The content is covered where it is held; other content is compared when it is read.
        """
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        digest.update("\0".join([*self.class_names, *self.columns]).encode())
        for line in self._lines():
            digest.update(repr(line).encode())
        if self.digests is not None:
            digest.update(self.digests.tobytes())
        digest.update(self.version.encode())
        return digest.hexdigest()

    def _lines(self) -> Iterator[tuple[object, ...]]:
        """Yield id, label, split, extent and further columns of each image."""
        labels, splits = numbers_of(self.labels), numbers_of(self.splits)
        return zip(self.ids, labels, splits, self._extents(), *self.columns.values(), strict=True)

    def _extents(self) -> Iterable[str]:
        return map(self.extent, range(len(self)))

    def check_end(self, out: Path) -> None:
        """Raise DataError where the end of the source is missing; what there is lies in `out`."""
        if self.is_cut:
            raise DataError(
                f"{self.location} was cut, so images may be missing; those that it has are in {out}"
            )

    def close(self) -> None:  # noqa: B027 - many sources hold nothing open
        """Release open files; the source cannot be read afterwards."""

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class ListedSource(Source):
    """A source that knows the ids, labels, splits and sizes of all its images from the start.

    Attributes:
        is_by_folders: True where labels and splits come from the folders that images lie in.
    """

    is_by_folders: bool = False

    def __init__(
        self,
        location: Path,
        ids: Sequence[str],
        labels: np.ndarray,
        splits: np.ndarray,
        sizes: np.ndarray,
        class_names: tuple[str, ...],
        columns: Mapping[str, Sequence[str]] = NO_COLUMNS,
    ) -> None:
        """Keep the ids as arrays; int32 labels, uint8 splits and int64 sizes in bytes, (N,)."""
        self.location, self.ids = location, Texts.of(ids)
        self.labels, self.splits, self.sizes = labels, splits, sizes
        self.class_names, self.columns = class_names, columns

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> ImageRecord:
        split = Split(int(self.splits[index]))
        return ImageRecord(index, self.ids[index], int(self.labels[index]), split)

    def extent(self, index: int) -> str:
        return str(self.sizes[index])

    def size(self, index: int) -> int:
        return max(0, int(self.sizes[index]))


def numbers_of(values: np.ndarray) -> Iterator[int]:
    """Yield the values of an array as Python's integers, of which some are held at a time."""
    for start in range(0, len(values), _AT_A_TIME):
        yield from values[start : start + _AT_A_TIME].tolist()


class Subset(Source):
    """Some images of another source, renumbered from 0."""

    def __init__(self, source: Source, indices: np.ndarray) -> None:
        """Keep the images at `indices` (int64, increasing)."""
        self.source, self.indices = source, indices
        self.kind, self.location = source.kind, source.location
        self.class_names = source.class_names
        self.labels, self.splits = source.labels[indices], source.splits[indices]
        self.passed_over, self.not_read = source.passed_over, source.not_read
        self.warnings, self.is_cut = source.warnings, source.is_cut
        self.columns = {
            name: [texts[index] for index in indices] for name, texts in source.columns.items()
        }
        self.sequential, self.is_held = source.sequential, source.is_held
        self.reading_threads, self.version = source.reading_threads, source.version
        self.is_versioned, self.travels = source.is_versioned, source.travels

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> ImageRecord:
        record = self.source[int(self.indices[index])]
        return ImageRecord(index, record.id, record.label, record.split)

    def read(self, index: int) -> bytes | np.ndarray:
        return self.source.read(int(self.indices[index]))

    def span(self, index: int) -> Span | None:
        return self.source.span(int(self.indices[index]))

    def read_from(self, block: Block, index: int) -> bytes | np.ndarray:
        return self.source.read_from(block, int(self.indices[index]))

    def extent(self, index: int) -> str:
        return self.source.extent(int(self.indices[index]))

    def size(self, index: int) -> int:
        return self.source.size(int(self.indices[index]))

    @property
    def common_size(self) -> tuple[int, int] | None:
        return self.source.common_size

    def close(self) -> None:
        self.source.close()
