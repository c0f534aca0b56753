"""The schema of a feature file, and the digests by which damage is found."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from features.errors import DataError
from features.records import DIGEST_BYTES, blake2b
from features.storage.hdf5 import MOST_TEXT_BYTES, attributes_of, is_text
from features.storage.row_blocks import COLUMN_GROUP
from features.text import reason_of

SCHEMA = 2  # schema 1 had strings of variable length
INDEX_SCHEMA = 3  # of a file whose features lie in shards, see `sharded`
FOLDER = "shards"  # the attribute of an index that names the folder of its shards
DIGEST = "digest"  # the name of this attribute of each dataset, and of the file

# Datasets of every feature file: kind of the dtype ("S" is utf-8) and number of dimensions.
COLUMNS = {
    "images/id": ("S", 1),
    "images/digest": ("u", 2),
    "images/label": ("i", 1),
    "images/split": ("u", 1),
    "rejected/id": ("S", 1),
    "rejected/reason": ("S", 1),
}

# Those of an index too: a row for each shard.
SHARD_COLUMNS = {
    "shards/name": ("S", 1),
    "shards/rows": ("i", 1),
    "shards/bytes": ("i", 1),
    "shards/digest": ("u", 2),
}

MOST_MEMBERS = 2_000  # layers, or further columns; the deepest networks have half as many layers
_DISTINCT = ("images/id", "rejected/id", "shards/name")
# What has as many rows as the datasets of a group; those of others have as many as images.
_LIKE = {"rejected": "rejected/id", "shards": "shards/name"}

_DEFLATE_RATIO = 1032  # the largest that zlib reaches: https://zlib.net/zlib_tech.html


class OutdatedError(DataError):
    """The file is whole, but its schema is no longer supported."""


def validate(file: h5py.File) -> None:
    """Raise DataError unless the file has the structure of the schema; no content is read.

    HDF5 may raise other errors where the file is damaged.
    """
    _check_version(file)
    attributes_of(file)
    shapes = {path: _validated(file, path, *_kind(path)) for path in COLUMNS}
    if not len(_group(file, "features")):
        raise DataError("/features is empty")
    _check_names("features", tuple(_group(file, "features")))
    _check_names(COLUMN_GROUP, column_names(file))
    for path in paths(file)[len(COLUMNS) :]:
        shapes[path] = _validated(file, path, *_kind(path))
    for path in ("images/digest", "shards/digest"):
        if path in shapes and shapes[path][1] != DIGEST_BYTES:
            raise DataError(f"/{path} has {shapes[path][1]} bytes a row, expected {DIGEST_BYTES}")
    for path, shape in shapes.items():
        group = path.partition("/")[0]
        like = _LIKE.get(group, "images/id")
        if group == "features" and is_index(file):
            if shape[0]:
                raise DataError(f"/{path} has {shape[0]} rows, expected none in an index of shards")
        elif shape[0] != shapes[like][0]:
            raise DataError(f"/{path} has {shape[0]} rows, /{like} has {shapes[like][0]}")


def is_index(file: h5py.File) -> bool:
    """Tell whether the features of a file lie in shards."""
    return bool(file.attrs["schema"] == INDEX_SCHEMA)


def paths(file: h5py.File) -> list[str]:
    """Return the path of every dataset: those of all files, further columns, and features."""
    columns = column_names(file)
    return [
        *COLUMNS,
        *(f"{COLUMN_GROUP}/{name}" for name in columns),
        *(f"features/{layer}" for layer in _group(file, "features")),
        *(SHARD_COLUMNS if is_index(file) else ()),
    ]


def _kind(path: str) -> tuple[str, int | None]:
    """Return the kind of a dataset's dtype, and the number of its dimensions; None: two or four."""
    if path.startswith("features/"):
        return "f", None
    return (COLUMNS | SHARD_COLUMNS).get(path, ("S", 1))


def column_names(file: h5py.File) -> tuple[str, ...]:
    """Return the names of the further columns in their stored order; none in most files."""
    parent, _, name = COLUMN_GROUP.rpartition("/")
    return tuple(_group(file, COLUMN_GROUP)) if name in _group(file, parent) else ()


def _check_names(path: str, names: tuple[str | bytes, ...]) -> None:
    """Raise DataError where a group has too many members, or one whose name is not utf-8."""
    if len(names) > MOST_MEMBERS:
        raise DataError(f"/{path} has {len(names):,} members, expected at most {MOST_MEMBERS:,}")
    for name in names:
        if isinstance(name, bytes):  # as h5py gives what it cannot decode
            raise DataError(f"/{path} has a member called {name!r:.60}, which is not utf-8")


def _check_version(file: h5py.File) -> None:
    if "schema" not in file.attrs:
        raise DataError("it has no `schema` attribute")
    if not isinstance(file.attrs.get_id("schema").get_type(), h5py.h5t.TypeIntegerID):
        raise DataError("its `schema` attribute is no number")
    schema = file.attrs["schema"]
    if schema == 1:
        raise OutdatedError(
            f"{file.filename} was written by Offshelf before 0.2 (its schema is 1, this version "
            f"reads {SCHEMA}); extract its images again"
        )
    if schema not in (SCHEMA, INDEX_SCHEMA):
        raise DataError(
            f"its schema is {schema}, this version reads {SCHEMA}, and {INDEX_SCHEMA} of shards"
        )


def _group(file: h5py.File, path: str) -> h5py.Group:
    parent, _, name = path.rpartition("/")
    above = _group(file, parent) if parent else file
    if not isinstance(above.get(name, getlink=True), h5py.HardLink):
        raise DataError(f"/{path} is missing or is a link to elsewhere")
    if not isinstance(above[name], h5py.Group):
        raise DataError(f"/{path} is not a group")
    return above[name]


def _validated(file: h5py.File, path: str, kind: str, ndim: int | None = None) -> tuple[int, ...]:
    parent, _, name = path.rpartition("/")
    if not isinstance(_group(file, parent).get(name, getlink=True), h5py.HardLink):
        raise DataError(f"/{path} is missing or is a link to elsewhere")
    dataset = file[path]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise DataError(f"/{path} is not a dataset of this file")
    if dataset.dtype.kind != kind or is_text(dataset.dtype) != (kind == "S"):
        raise DataError(f"/{path} holds {dataset.dtype}, which does not belong there")
    if dataset.ndim not in ((ndim,) if ndim else (2, 4)):
        raise DataError(f"/{path} has the shape {dataset.shape}, which does not belong there")
    if 0 in dataset.shape[1:]:
        raise DataError(f"/{path} has the shape {dataset.shape}: rows without values")
    ratio = _most_from_a_byte(dataset, path, is_packed=kind == "S")
    width = dataset.id.get_type().get_size()
    if kind == "S" and width > MOST_TEXT_BYTES:
        raise DataError(
            f"/{path} has texts of {width:,} bytes, expected {MOST_TEXT_BYTES:,} at most"
        )
    # A dataset that claims more than it stores, or than its file, is damage or malice. Ids differ
    # from each other, so that each of them takes at least a byte when they are compressed.
    stored = min(dataset.id.get_storage_size(), Path(file.filename).stat().st_size)
    if dataset.size * width > ratio * stored or (path in _DISTINCT and len(dataset) > stored):
        raise DataError(f"/{path} claims the shape {dataset.shape} but stores {stored:,} bytes")
    return tuple(dataset.shape)


def _most_from_a_byte(dataset: h5py.Dataset, path: str, is_packed: bool) -> int:
    """Return how many bytes one stored byte can stand for at most; only texts are compressed."""
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(number)[0] for number in range(creation.get_nfilters())]
    if filters and not (is_packed and filters == [h5py.h5z.FILTER_DEFLATE]):
        raise DataError(f"/{path} is compressed or filtered as no feature file is")
    return _DEFLATE_RATIO if filters else 1


def hasher() -> Any:
    """Return an empty BLAKE2b of the project's size, to be updated with `content`."""
    return hashlib.blake2b(digest_size=DIGEST_BYTES)


def content(values: np.ndarray) -> bytes | memoryview:
    """Return the bytes of values for a digest; those of blocks in turn are those of the whole.

    For texts these are the bytes of each and a zero, however wide the dataset is.
    """
    if values.dtype.kind == "S":
        return b"".join(text + b"\0" for text in values.tolist())
    return np.ascontiguousarray(values).data.cast("B") if values.size else b""


def seal(file: h5py.File) -> str:
    """Return the digest of a file's attributes, and of path, shape, dtype, digest of each dataset.

    The content of the datasets is covered by their own digests.
    """
    attributes = {name: value for name, value in attributes_of(file).items() if name != DIGEST}
    datasets = []
    for path in paths(file):
        dataset = file[path]
        digest = attributes_of(dataset)[DIGEST]
        datasets.append([path, dataset.shape, dataset.dtype.str, digest])
    text = json.dumps([attributes, datasets], sort_keys=True, default=lambda value: value.tolist())
    return blake2b(text.encode()).hex()


@contextmanager
def reading(what: str, damage: tuple[type[Exception], ...] = (Exception,)) -> Iterator[None]:
    """Turn the errors that damaged bytes cause into a DataError of one line.

    Args:
        what: the beginning of the message, such as "/images/id cannot be read".
        damage: the types of these errors.
    """
    try:
        yield
    except OutdatedError:
        raise
    except damage as error:
        reason = reason_of(error, 300)
        raise DataError(f"{what}: {reason}") from None
