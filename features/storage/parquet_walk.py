"""What a Parquet file of anybody's claims, looked through before Arrow reads it.

Arrow ends the process on some values that its Python side asks for, and unpacks whatever a page
claims. So the footer and the head of each page are read here first: structures of Thrift's compact
protocol (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md), whose
fields https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift numbers.
"""

from dataclasses import dataclass
from typing import Any

from features.errors import DataError
from features.storage.expansion import most_bytes

_MAGIC, _TAIL_BYTES = b"PAR1", 8
_MOST_VALUES, _MOST_DEPTH, _VARINT_BYTES = 2_000_000, 16, 10  # of all structures together
_CODECS = ("UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW")
_DELTA_TEXTS = 7  # the encoding in which a byte can repeat a megabyte
_FIXED_LENGTH, _MOST_FIXED_BYTES = 7, 1024  # the type of values of one length
_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3  # types of pages; others are stepped over, as by Arrow
_HEADS, _ENCODING = {_DATA: 5, _DATA_2: 8}, {_DATA: 2, _DATA_2: 4}  # their fields

# Types of Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _INTEGERS, _FRACTION, _BINARY, _LISTS, _STRUCT = (
    1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12
)  # fmt: skip
_LENGTHS = {_BYTE: 1, _FRACTION: 8}

Struct = dict[int, Any]  # values by the number of their field


@dataclass(frozen=True)
class Claims:
    """What a file claims, as far as it is bounded here.

    Attributes:
        rows: its rows.
        values: the values of its longest column; in lists there are more than rows.
        codecs: the names of its compressions.
        dictionaries: the positions of columns in which a value of a dictionary can stand in many
            rows.
    """

    rows: int
    values: int
    codecs: frozenset[str]
    dictionaries: frozenset[int]


def look_through(content: bytes) -> Claims:
    """Return what a Parquet file claims.

    Raises:
        DataError: it is none, is encrypted, names what does not exist, or has pages that take
            far more memory than the file; the message begins with "it".
    """
    start = len(content) - _TAIL_BYTES - int.from_bytes(content[-8:-4], "little")
    if start < 0 or content[-4:] != _MAGIC:
        raise DataError("it is no Parquet file, or is cut off")
    thrift = _Thrift(content)
    try:
        footer, _ = thrift.struct(start)
        _check_schema(footer)
        groups = [[_chunk(each) for each in group[1]] for group in footer[4]]
        if len({len(chunks) for chunks in groups}) > 1:
            raise DataError("its groups of rows have different columns")
        found = [[_Pages(thrift, chunk, start) for chunk in chunks] for chunks in groups]
        rows = max(footer[3], sum(group[3] for group in footer[4]))
        columns = list(zip(*found, strict=True))
    except (LookupError, TypeError, AttributeError):
        raise DataError("it is damaged, or no Parquet file") from None
    unpacked = max((sum(pages.unpacked for pages in each) for each in found), default=0)
    if unpacked > (most := most_bytes(len(content))):
        raise DataError(f"its pages claim {unpacked:,} bytes at a time, expected at most {most:,}")
    codecs = frozenset(_CODECS[chunk[4]] for chunks in groups for chunk in chunks)
    values = [sum(pages.values for pages in column) for column in columns]
    dictionaries = [
        position
        for position, column in enumerate(columns)
        if any(pages.has_dictionary for pages in column)
    ]
    return Claims(rows, max([rows, *values]), codecs, frozenset(dictionaries))


def _check_schema(footer: Struct) -> None:
    if 8 in footer:
        raise DataError("it is encrypted")
    for element in footer[2]:
        if element.get(1) == _FIXED_LENGTH and not 0 < element[2] <= _MOST_FIXED_BYTES:
            raise DataError(
                f"it has values of {element[2]:,} bytes, expected at most {_MOST_FIXED_BYTES:,}"
            )


def _chunk(column: Struct) -> Struct:
    """Return the metadata of a column in a group of rows, after a look at it."""
    if 8 in column:
        raise DataError("it is encrypted")
    found: Struct = column[3]
    if not 0 <= found[4] < len(_CODECS):
        raise DataError(f"it is compressed by what does not exist ({found[4]})")
    if found[5] < 0 or found[7] < 0:
        raise DataError("it claims sizes below 0")
    return found


class _Pages:
    """The pages of a column in a group of rows.

    Attributes:
        values: how many values they claim.
        unpacked: the bytes of the dictionary and of the largest of the others, unpacked.
        has_dictionary: whether there is one.
    """

    def __init__(self, thrift: "_Thrift", chunk: Struct, end: int) -> None:
        at = min(chunk[9], chunk.get(11) or chunk[9])
        stop = at + chunk[7] if chunk[5] else at  # where no values are, no offset leads anywhere
        self.values, self.has_dictionary = 0, False
        largest = {False: 0, True: 0}
        while at < stop:
            page, begin = thrift.struct(at) if at > 0 else ({}, 0)
            unpacked, packed, at = page[2], page[3], begin + page[3]
            if min(unpacked, packed) < 0 or at > end:
                raise DataError("its pages do not lie where they should")
            is_dictionary = page[1] == _DICTIONARY
            self.has_dictionary |= is_dictionary
            largest[is_dictionary] = max(largest[is_dictionary], unpacked)
            if page[1] in (_DATA, _DATA_2):
                self.values += _values(page)
        self.values = max(self.values, chunk[5])
        self.unpacked = sum(largest.values())


def _values(page: Struct) -> int:
    """Return how many values a page of data claims."""
    head = page[_HEADS[page[1]]]
    if head[_ENCODING[page[1]]] == _DELTA_TEXTS:
        raise DataError(
            "it has texts in DELTA_BYTE_ARRAY, which few bytes make long; write it plain"
        )
    if head[1] < 0:
        raise DataError("it claims sizes below 0")
    return int(head[1])


class _Thrift:
    """Structures in the compact protocol, so many values of them at most."""

    def __init__(self, content: bytes) -> None:
        self._content, self._left = content, _MOST_VALUES

    def struct(self, at: int, depth: int = 0) -> tuple[Struct, int]:
        """Return the structure at a place, and where it ends; raise IndexError, TypeError."""
        if depth > _MOST_DEPTH:
            raise DataError(f"its structures lie more than {_MOST_DEPTH} deep")
        found: Struct = {}
        number = 0
        while head := self._content[at]:
            at += 1
            if step := head >> 4:
                number += step
            else:
                number, at = self._integer(at)
            found[number], at = self._value(head & 15, at, depth)
        return found, at + 1

    def _value(self, kind: int, at: int, depth: int) -> tuple[Any, int]:
        self._left -= 1
        if self._left < 0:
            raise DataError(f"it has more than {_MOST_VALUES:,} values about its columns and pages")
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE, at
        if kind in _INTEGERS:
            return self._integer(at)
        if kind == _STRUCT:
            return self.struct(at, depth + 1)
        if kind in _LISTS:
            return self._list(at, depth + 1)
        if kind not in _LENGTHS and kind != _BINARY:
            raise TypeError(f"there is no type {kind}")
        length, at = self._varint(at) if kind == _BINARY else (_LENGTHS[kind], at)
        if at + length > len(self._content):
            raise IndexError
        return self._content[at : at + length], at + length

    def _list(self, at: int, depth: int) -> tuple[list[Any], int]:
        if depth > _MOST_DEPTH:
            raise DataError(f"its structures lie more than {_MOST_DEPTH} deep")
        count, kind = self._content[at] >> 4, self._content[at] & 15
        count, at = self._varint(at + 1) if count == 15 else (count, at + 1)
        if kind in (_TRUE, _FALSE):
            kind = _BYTE  # which they have each in lists
        found = []
        for _ in range(count):
            value, at = self._value(kind, at, depth)
            found.append(value)
        return found, at

    def _integer(self, at: int) -> tuple[int, int]:
        value, at = self._varint(at)
        return (value >> 1) ^ -(value & 1), at

    def _varint(self, at: int) -> tuple[int, int]:
        value = 0
        for shift in range(_VARINT_BYTES):
            byte = self._content[at]
            at += 1
            value |= (byte & 127) << (7 * shift)
            if byte < 128:
                return value, at
        raise IndexError
