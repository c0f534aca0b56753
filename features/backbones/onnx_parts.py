"""What an ONNX file says beside its graph: metadata, and which other files hold its weights.

The file is walked over as protobuf (https://protobuf.dev/programming-guides/encoding) along the
fields of onnx.proto that lead there; tensors and all else are stepped over. So a file of gigabytes
takes no memory, and nothing in it is trusted.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from features.disk.below import below
from features.errors import DataError

_MOST_FIELDS = 5_000_000  # of the messages that are walked through
_MOST_DEPTH = 32
_MOST_TEXT = 65_536
_MOST_METADATA = 10_000
_VARINT_BYTES = 10

# Messages of onnx.proto, and their fields that are walked through: number to message.
_FIELDS = {
    "Model": {7: "Graph", 14: "Metadata", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor",
                  23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "External"},
    "Metadata": {1: "key", 2: "value"},
    "External": {1: "key", 2: "value"},
}  # fmt: skip


@dataclass
class OnnxParts:
    """What was found in an ONNX file.

    Attributes:
        metadata: the texts of its `metadata_props`, by key in lower case.
        locations: the names of files that hold weights, as they stand in it.
    """

    metadata: dict[str, str] = field(default_factory=dict)
    locations: set[str] = field(default_factory=set)


def read_parts(path: Path) -> OnnxParts:
    """Return metadata and names of further files of an ONNX file; raise DataError where damaged."""
    parts, left = OnnxParts(), [_MOST_FIELDS]
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _walk(data, "Model", 0, len(data), 0, parts, left)
    except (ValueError, OSError) as error:  # mmap refuses an empty file with a ValueError
        raise DataError(f"{path} is no ONNX file: {error}") from None
    return parts


def external_files(path: Path, locations: set[str]) -> list[Path]:
    """Return the files with weights, sorted; all lie in the folder of the ONNX file.

    Raises:
        DataError: one lies elsewhere, or is not there.
    """
    files = []
    for location in sorted(locations):
        if (file := below(path.resolve().parent, location)) is None:
            raise DataError(
                f"{path} names weights outside its folder ({location!r:.100}), which are not read"
            )
        if not file.is_file():
            raise DataError(f"{path} has weights in {location!r:.100}, which is not beside it")
        files.append(file)
    return files


def _walk(
    data: mmap.mmap, message: str, start: int, stop: int, depth: int, parts: OnnxParts,
    left: list[int],
) -> None:  # fmt: skip
    if depth > _MOST_DEPTH:
        raise ValueError(f"its messages lie more than {_MOST_DEPTH} deep")
    texts: dict[str, str] = {}
    for number, begin, end in _fields(data, start, stop, left):
        inner = _FIELDS[message].get(number, "")
        if inner in ("key", "value"):
            texts[inner] = data[begin : min(end, begin + _MOST_TEXT)].decode(errors="replace")
        elif inner:
            _walk(data, inner, begin, end, depth + 1, parts, left)
    if message == "Metadata" and len(parts.metadata) < _MOST_METADATA:
        parts.metadata[texts.get("key", "").lower()] = texts.get("value", "")
    if message == "External" and texts.get("key") == "location":
        parts.locations.add(texts.get("value", ""))


def _fields(
    data: mmap.mmap, start: int, stop: int, left: list[int]
) -> Iterator[tuple[int, int, int]]:
    """Yield number, begin and end of each field of variable length; step over all others."""
    position = start
    while position < stop:
        left[0] -= 1
        if left[0] < 0:
            raise ValueError(f"it has more than {_MOST_FIELDS:,} fields")
        tag, position = _varint(data, position, stop)
        kind = tag & 7
        if kind == 0:
            _, position = _varint(data, position, stop)
        elif kind == 2:
            length, position = _varint(data, position, stop)
            if length > stop - position:
                raise ValueError("it is cut off, or damaged")
            yield tag >> 3, position, position + length
            position += length
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        else:
            raise ValueError("it is damaged, or of another kind")
    if position != stop:
        raise ValueError("it is cut off, or damaged")


def _varint(data: mmap.mmap, position: int, stop: int) -> tuple[int, int]:
    value = 0
    for shift in range(_VARINT_BYTES):
        if position >= stop:
            raise ValueError("it is cut off, or damaged")
        byte = data[position]
        position += 1
        value |= (byte & 127) << (7 * shift)
        if byte < 128:
            return value, position
    raise ValueError("it is damaged, or of another kind")
