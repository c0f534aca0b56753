"""Parquet files whose footer and heads of pages claim what is not so."""

from collections.abc import Iterator
from io import BytesIO
from random import Random

from tests.hostile import thrift

_NUMBERS = (-1, 0, 1, 2, 3, 5, 7, 8, 9, 77, 2**31 - 1, -(2**31), 2**40, 2**62)
_DATA_PAGE, _DICTIONARY_PAGE = (
    9,
    11,
)  # where they begin, in the metadata of a column; 7: their bytes


def spoil_footer(content: bytes, random: Random) -> bytes:
    """Return a file of which one or two values about its columns have changed or are gone."""
    body, fields = thrift.footer(content)
    for _ in range(random.choice([1, 1, 2])):
        _spoil(fields, random)
    return thrift.with_footer(body, fields)


def spoil_page(content: bytes, random: Random) -> bytes:
    """Return a file of which the head of a page has changed; its columns are where they now lie."""
    body, fields = thrift.footer(content)
    at, head = random.choice(list(pages(content)))
    before = len(thrift.packed_struct(head))
    _spoil(head, random)
    after = thrift.packed_struct(head)
    for column in columns(fields):
        first = min(column[key][1] for key in (_DATA_PAGE, _DICTIONARY_PAGE) if key in column)
        if first <= at < first + column[7][1]:
            column[7][1] += len(after) - before
        for key in (_DATA_PAGE, _DICTIONARY_PAGE):
            if key in column and column[key][1] > at:
                column[key][1] += len(after) - before
    return thrift.with_footer(body[:at] + after + body[at + before :], fields)


def columns(fields: dict) -> Iterator[dict]:
    """Yield the metadata of each column in each group of rows of a footer."""
    for group in fields[4][1][1:]:
        for column in group[1][1][1:]:
            yield column[3][1]


def pages(content: bytes) -> Iterator[tuple[int, dict]]:
    """Yield where each page begins, and its head."""
    for column in columns(thrift.footer(content)[1]):
        at = min(column[key][1] for key in (_DATA_PAGE, _DICTIONARY_PAGE) if key in column)
        end = at + column[7][1]
        while at < end:
            file = BytesIO(content[at:])
            head = thrift.struct(file)
            yield at, head
            at += file.tell() + head[3][1]


def _spoil(fields: dict, random: Random) -> None:
    """Change a value within a structure to another one of its type, or leave it out."""
    place = random.choice(thrift.places(fields))
    holder, key, kind = place
    value = holder[key][1] if isinstance(holder, dict) else holder[key]
    if random.random() < 0.1:
        del holder[key]
    elif kind in thrift.INTEGERS:
        thrift.put(place, random.choice(_NUMBERS))
    elif kind == thrift.TEXT:
        thrift.put(place, random.choice([b"", b"\xff\xfe", b"x" * 100_000, value * 2]))
    elif kind in thrift.LISTS:
        thrift.put(place, random.choice([value[:1], value + value[1:], value + value[1:2] * 3000]))
