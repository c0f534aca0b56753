"""Valid content made hostile: bytes, JSON, names. Formats with a structure are in `formats`.

What is spoiled, and how, depends on the random generator alone.
"""

import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

LONG = 100_000  # characters of a long text, levels of deep nesting, items of a long list

NAMES = (
    "\x1b[31mred\x1b[0m\x1b]0;title\x07", "\u202egnp.exe", "two\nlines", "\r\x1b[2Kgone", "=1+1",
    "@SUM(A1)", "-1", "../elsewhere", "/elsewhere", "..", ".", "", " ", "a/b", "C:\\x", "con",
    "\u0000", "é\u0301\u200b", "💥" * 50, "<script>alert(1)</script>", "</script>", "{{7*7}}",
    "p:x", "NaN", "x" * 300, "%s%n", "'; --", "\\x1b",
)  # fmt: skip

NUMBERS = (0, 1, -1, 2, 255, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, 2**63, 2**64 - 1, 10**30, 1e308,
           -1e308, 5e-324, 0.5, -0.0, float("nan"), float("inf"), float("-inf"))  # fmt: skip


def spoil_bytes(data: bytes, random: Random) -> bytes:
    """Return the content after one to three changes such as disks, copies and attackers make."""
    for _ in range(random.randint(1, 3)):
        data = random.choice(_CHANGES)(data, random)
    return data


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _flip(data: bytes, random: Random) -> bytes:
    spoiled = bytearray(data)
    for _ in range(random.choice([1, 1, 1, 4, 30]) if data else 0):
        spoiled[random.randrange(len(spoiled))] ^= 1 << random.randrange(8)
    return bytes(spoiled)


def _hole(data: bytes, random: Random) -> bytes:
    at, length = random.randrange(len(data) + 1), random.choice([1, 8, 64, 512])
    gone = data[at : at + length]
    filled = random.choice(
        [bytes(len(gone)), b"\xff" * len(gone), random.randbytes(len(gone)), b""]
    )
    return data[:at] + filled + data[at + length :]


def _repeat(data: bytes, random: Random) -> bytes:
    at, length = random.randrange(len(data) + 1), random.choice([4, 64, 512])
    return data[:at] + data[at : at + length] * random.choice([2, 10]) + data[at + length :]


def _number(data: bytes, random: Random) -> bytes:
    """Put an extreme whole number somewhere, as lengths and sizes are stored."""
    layout = random.choice(["<H", ">H", "<I", ">I", "<Q", ">Q", "B"])
    size = struct.calcsize(layout)
    at = random.randrange(max(1, len(data) - size))
    most = 2 ** (8 * size) - 1
    value = random.choice([0, 1, most, most // 2, most // 2 + 1, random.randint(0, most)])
    return data[:at] + struct.pack(layout, value) + data[at + size :]


def _more(data: bytes, random: Random) -> bytes:
    return data + random.choice([b"\0", data[:100], random.randbytes(100)])


def _other(data: bytes, random: Random) -> bytes:
    return random.choice([b"", b"\0" * len(data), random.randbytes(50), b"<html>404</html>", b"{}"])


_CHANGES: tuple[Callable[[bytes, Random], bytes], ...] = (
    _cut, _flip, _flip, _hole, _repeat, _number, _number, _more, _other
)  # fmt: skip


def value(random: Random) -> Any:
    """Return a value of any kind that JSON can hold."""
    kind = random.randrange(8)
    if kind == 0:
        return random.choice([None, True, False])
    if kind < 3:
        return random.choice(NUMBERS)
    if kind < 5:
        return random.choice(NAMES)
    if kind == 5:
        return random.choice([[], {}, [None], [[]], {"": None}, [1, "a"], {"a": {"b": []}}])
    return random.choice([_deep, _long, _wide])()


def _deep() -> Any:
    nested: Any = []
    for _ in range(250):  # three of them are as deep as `json` writes; deeper in `spoil_json`
        nested = [nested]
    return nested


def _long() -> str:
    return "x" * LONG


def _wide() -> list[int]:
    return list(range(LONG))


def spoil_json(text: str, random: Random) -> str:
    """Return JSON in which values, keys or the text itself have changed."""
    if random.random() < 0.1:
        return random.choice(["", "null", "[]", "{}", "1", "[" * LONG, '{"a":' * LONG, "\ufeff" + text,
                              text + text, text[: len(text) // 2], text.replace(":", "=")])  # fmt: skip
    try:
        values = json.loads(text)
    except ValueError:  # it was spoiled before
        return text[: random.randrange(len(text) + 1)]
    return json.dumps(spoil_values(values, random))


def spoil_values(data: Any, random: Random) -> Any:
    """Return data of JSON in which one to three values or keys are others; the data may change."""
    for _ in range(random.choice([1, 1, 2, 3])):
        data = _spoil_one(data, random)
    return data


def _spoil_one(data: Any, random: Random) -> Any:
    places = list(_places(data))
    if not places:
        return value(random)
    holder, key = random.choice(places)
    way = random.randrange(6)
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[random.choice(NAMES)] = holder.pop(key)
    elif way == 2 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = value(random)
    return data


def _places(data: Any) -> list[tuple[Any, Any]]:
    """Return each place in nested data: what holds a value, and its key or position there."""
    keys = (
        list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    )
    found = [(data, key) for key in keys]
    for key in keys:
        found += _places(data[key])
    return found[:5000]
