"""Structures of Thrift's compact protocol, read and written with the type of each value.

A structure is a dictionary from a field's number to [type, value]; a list is [type, *values].
"""

from io import BytesIO
from typing import Any

BYTE, INTEGERS, FRACTION, TEXT, LISTS, STRUCT = 3, (4, 5, 6), 7, 8, (9, 10), 12
_BOOLEANS = (1, 2)  # their type is their value


def footer(content: bytes) -> tuple[bytes, dict]:
    """Return what stands before the footer of a Parquet file, and the footer."""
    length = int.from_bytes(content[-8:-4], "little")
    return content[: -8 - length], struct(BytesIO(content[-8 - length : -8]))


def with_footer(body: bytes, fields: dict) -> bytes:
    """Return a Parquet file."""
    packed = packed_struct(fields)
    return body + packed + len(packed).to_bytes(4, "little") + b"PAR1"


def places(value: Any, kind: int = STRUCT) -> list[tuple[Any, Any, int]]:
    """Return what holds each value within a structure, its key there, and its type."""
    found = []
    if kind == STRUCT:
        for number, (of, inner) in list(value.items()):
            found += [(value, number, of), *places(inner, of)]
    elif kind in LISTS:
        for at in range(1, len(value)):
            found += [(value, at, value[0]), *places(value[at], value[0])]
    return found


def put(place: tuple[Any, Any, int], value: Any) -> None:
    """Put another value of the same type at a place."""
    holder, key, kind = place
    holder[key] = [kind, value] if isinstance(holder, dict) else value


def struct(file: BytesIO) -> dict:
    """Return the structure that begins here."""
    fields: dict = {}
    number = 0
    while head := file.read(1)[0]:
        number = number + (head >> 4) if head >> 4 else _integer(file)
        fields[number] = [head & 15, _value(file, head & 15)]
    return fields


def packed_struct(fields: dict) -> bytes:
    """Return a structure as it is stored."""
    packed, last = b"", 0
    for number, (kind, value) in sorted(fields.items()):
        step = number - last
        packed += (
            bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + _packed_integer(number)
        )
        packed += _packed(kind, value)
        last = number
    return packed + b"\0"


def _value(file: BytesIO, kind: int) -> Any:
    if kind in _BOOLEANS:
        return None
    if kind in INTEGERS:
        return _integer(file)
    if kind == STRUCT:
        return struct(file)
    if kind not in LISTS:
        return file.read({BYTE: 1, FRACTION: 8}[kind] if kind != TEXT else _varint(file))
    head = file.read(1)[0]
    count = head >> 4 if head >> 4 < 15 else _varint(file)
    return [head & 15, *(_value(file, head & 15 if head & 15 > 2 else BYTE) for _ in range(count))]


def _packed(kind: int, value: Any) -> bytes:
    if kind in _BOOLEANS:
        return b""
    if kind in INTEGERS:
        return _packed_integer(value)
    if kind == STRUCT:
        return packed_struct(value)
    if kind not in LISTS:
        return (_packed_varint(len(value)) if kind == TEXT else b"") + value
    of, *values = value
    head = (
        bytes([len(values) << 4 | of])
        if len(values) < 15
        else bytes([15 << 4 | of]) + _packed_varint(len(values))
    )
    return head + b"".join(_packed(of if of > 2 else BYTE, each) for each in values)


def _integer(file: BytesIO) -> int:
    value = _varint(file)
    return (value >> 1) ^ -(value & 1)


def _packed_integer(value: int) -> bytes:
    return _packed_varint(2 * value if value >= 0 else -2 * value - 1)


def _varint(file: BytesIO) -> int:
    value = shift = 0
    while True:
        byte = file.read(1)[0]
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value


def _packed_varint(value: int) -> bytes:
    packed = bytearray()
    while value > 127:
        packed.append(value & 127 | 128)
        value >>= 7
    return bytes([*packed, value])
