"""JSON that we wrote ourselves and read again: bounded, decoded, and checked against a schema.

What is read may have been damaged, or made by somebody else to do harm. A schema is a dataclass
(or any type of annotations): types, ranges and lengths stand in its fields, by `Annotated` with
`msgspec.Meta` where a plain type does not say enough, and what fields must be to each other in its
`__post_init__`. Fields that a schema does not know are those of later versions, and are ignored.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec

from features.errors import DataError
from features.text import for_terminal

SIZE = 2**24  # bytes of a document, where its reader does not allow more
CONTAINERS = 10**6  # lists and objects in it, each of which needs more memory than its text
DEPTH = 32  # of lists and objects in each other

Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]

_LARGEST = 2**64  # no whole number that we write reaches it
_MANY_DIGITS = re.compile(r"\d{18}")
_WIDTH = 60  # characters of a wrong value that a message shows

T = TypeVar("T")


@dataclass(frozen=True)
class _Schema:
    schema: int


def read(path: Path, kind: type[T], schema: int | None = None, most: int = SIZE) -> T:
    """Return the content of a JSON file as an object of a kind.

    Args:
        path: the file.
        kind: a dataclass, or another type by which `msgspec.convert` checks.
        schema: what its field "schema" must be; None where it has no such field.
        most: bytes that the file may have.

    Raises:
        DataError: the file is missing or no regular file, cannot be read, is too large or too
            deep, is no JSON, is of another schema, or has a value that is not what the kind says;
            one line names the file, the field, what came and what was expected.
    """
    return convert(load(path, most), kind, str(path), schema)


def load(path: Path, most: int = SIZE) -> Any:
    """Return the content of a JSON file as plain values, like `parse`; raises as `read`."""
    try:
        if not path.is_file():
            raise DataError(f"{path} is missing, or no regular file")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    return parse(content, str(path), most)


def decode(content: str | bytes, kind: type[T], where: str, schema: int | None = None) -> T:
    """Return JSON as an object of a kind; `where` begins the message of each DataError."""
    return convert(parse(content, where), kind, where, schema)


def parse(content: str | bytes, where: str, most: int = SIZE) -> Any:
    """Return JSON as plain dictionaries, lists, texts and finite numbers, within our bounds.

    Raises:
        DataError: as `read`.
    """
    if len(content) > most:
        raise DataError(f"{where}: larger than {most:,} bytes, as none of ours is")
    try:
        text = content if isinstance(content, str) else content.decode()
        if text.count("[") + text.count("{") > CONTAINERS:
            raise ValueError(f"more than {CONTAINERS:,} lists and objects")
        values = json.loads(
            text,
            parse_int=_whole if _MANY_DIGITS.search(text) else None,  # or each would take a call
            parse_float=_finite,
            parse_constant=_not_a_number,
        )
        _check_depth(values)
    except RecursionError:
        raise DataError(f"{where}: lists and objects lie more than {DEPTH} deep") from None
    except ValueError as error:  # also of texts that are not utf-8
        raise DataError(f"{where}: cannot be read as JSON: {_line(error)}") from None
    return values


def convert(values: Any, kind: type[T], where: str, schema: int | None = None) -> T:
    """Return plain values as an object of a kind; raise DataError where they are not of it."""
    try:
        if schema is not None and (came := msgspec.convert(values, _Schema).schema) != schema:
            raise DataError(f"{where}: its schema is {came}, this version reads {schema}")
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise DataError(f"{where}: {_problem(str(error), values)}") from None


def _whole(digits: str) -> int:
    if len(digits) > len(str(_LARGEST)) or not -_LARGEST < int(digits) < _LARGEST:
        raise ValueError(f"the number {digits:.20}... is larger than any that we write")
    return int(digits)


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"the number {digits:.20} is not finite")
    return value


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _check_depth(values: Any) -> None:
    level = [values]
    for _ in range(DEPTH):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    if level:
        raise RecursionError


def _problem(message: str, values: Any) -> str:
    """Return msgspec's message with the field in front, and the value where it shows none."""
    text, _, path = message.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    text = text[:1].lower() + text[1:]
    if text.startswith("expected") and ", got" not in text and "..." not in field:
        text += f", got {for_terminal(repr(_value_at(field, values)), _WIDTH)}"
    return f"{field}: {text}" if field else text


def _value_at(field: str, values: Any) -> Any:
    """Return the value of a field such as "trials[3].score"."""
    for name, number in re.findall(r"([^.\[\]]+)|\[(\d+)\]", field):
        values = values[name or int(number)]
    return values


def _line(error: ValueError) -> str:
    return for_terminal(str(error), 300)
