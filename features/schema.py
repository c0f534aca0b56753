"""What a feature file must look like, and the digests by which damage is found."""

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from features.errors import DataError
from features.records import DIGEST_BYTES, blake2b

SCHEMA = 1
DIGEST = "digest"  # the attribute of each dataset, and of the file

# Every dataset but the features: kind of its dtype ("O" are utf-8 strings), number of dimensions.
COLUMNS = {
    "images/id": ("O", 1),
    "images/digest": ("u", 2),
    "images/label": ("i", 1),
    "images/split": ("u", 1),
    "rejected/id": ("O", 1),
    "rejected/reason": ("O", 1),
}


# HDF5 itself crashes on some attributes of other kinds whose bytes have changed.
_PLAIN = (h5py.h5t.TypeStringID, h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeEnumID)


def attributes_of(item: h5py.File | h5py.Dataset) -> dict[str, Any]:
    """Return all attributes; raise DataError where one is neither text nor numbers."""
    for name in item.attrs:
        if not isinstance(item.attrs.get_id(name).get_type(), _PLAIN):
            raise DataError(f"its attribute {name!r} is neither text nor a number")
    return dict(item.attrs)


def validate(file: h5py.File) -> None:
    """Raise DataError unless the file's structure is the schema's, before any content is used.

    Other errors are raised too where HDF5 cannot make sense of what it finds.
    """
    schema = attributes_of(file).get("schema")
    if schema is None:
        raise DataError("it has no `schema` attribute")
    if schema != SCHEMA:
        raise DataError(f"its schema is {schema}, this version reads {SCHEMA}")
    shapes = {path: _validated(file, path, kind, ndim) for path, (kind, ndim) in COLUMNS.items()}
    layers = list(_group(file, "features"))
    if not layers:
        raise DataError("/features is empty")
    shapes |= {f"features/{layer}": _validated(file, f"features/{layer}", "f") for layer in layers}
    if shapes["images/digest"][1] != DIGEST_BYTES:
        raise DataError(
            f"/images/digest has {shapes['images/digest'][1]} bytes a row, expected {DIGEST_BYTES}"
        )
    for path, shape in shapes.items():
        like = "rejected/id" if path.startswith("rejected/") else "images/id"
        if shape[0] != shapes[like][0]:
            raise DataError(f"/{path} has {shape[0]} rows, /{like} has {shapes[like][0]}")


def _group(file: h5py.File, name: str) -> h5py.Group:
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise DataError(f"/{name} is missing or is a link to elsewhere")
    if not isinstance(file[name], h5py.Group):
        raise DataError(f"/{name} is not a group")
    return file[name]


def _validated(file: h5py.File, path: str, kind: str, ndim: int | None = None) -> tuple[int, ...]:
    group, name = path.split("/", 1)
    if not isinstance(_group(file, group).get(name, getlink=True), h5py.HardLink):
        raise DataError(f"/{path} is missing or is a link to elsewhere")
    dataset = file[path]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise DataError(f"/{path} is not a dataset of this file")
    if dataset.id.get_create_plist().get_nfilters():
        raise DataError(f"/{path} is compressed or filtered, which no feature file is")
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    if dataset.dtype.kind != kind or is_text != (kind == "O"):
        raise DataError(f"/{path} holds {dataset.dtype}, which does not belong there")
    if dataset.ndim not in ((ndim,) if ndim else (2, 4)):
        raise DataError(f"/{path} has the shape {dataset.shape}, which does not belong there")
    # A dataset that claims more than it stores, or than its file, is damage or malice.
    claimed = dataset.size * dataset.id.get_type().get_size()
    if claimed > min(dataset.id.get_storage_size(), Path(file.filename).stat().st_size):
        raise DataError(f"/{path} claims the shape {dataset.shape} but stores less")
    return tuple(dataset.shape)


def hasher() -> Any:
    """Return an empty BLAKE2b of the project's size, to be fed by `content`."""
    return hashlib.blake2b(digest_size=DIGEST_BYTES)


def content(values: np.ndarray) -> bytes | memoryview:
    """Return what a dataset's digest is taken over, such that that of parts adds up."""
    if values.dtype == object:  # strings, as h5py takes (str) or gives (bytes) them
        texts = [text.encode() if isinstance(text, str) else text for text in values]
        return b"".join(text + b"\0" for text in texts)
    return np.ascontiguousarray(values).data.cast("B") if values.size else b""


def seal(file: h5py.File) -> str:
    """Return the digest of everything but the datasets' content, which their own digests cover.

    It covers every attribute of the file, and path, shape, dtype and digest of each dataset.
    """
    attributes = {name: value for name, value in attributes_of(file).items() if name != DIGEST}
    paths = [*COLUMNS, *(f"features/{layer}" for layer in file["features"])]
    datasets = {
        path: [dataset.shape, dataset.dtype.str, attributes_of(dataset)[DIGEST]]
        for path, dataset in zip(paths, map(file.get, paths), strict=True)
    }
    text = json.dumps([attributes, datasets], sort_keys=True, default=lambda value: value.tolist())
    return blake2b(text.encode()).hex()
