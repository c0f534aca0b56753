"""JSON is what its schema says, or one line says which field is not, within bounds."""

import json
import os
from dataclasses import dataclass, field

import pytest

from features.disk import documents
from features.errors import DataError


@dataclass(frozen=True)
class Part:
    score: documents.Share


@dataclass(frozen=True)
class Whole:
    count: documents.Whole
    size: tuple[int, int]
    parts: tuple[Part, ...] = ()
    notes: dict[str, documents.Whole] = field(default_factory=dict)
    seconds: documents.Seconds | None = None

    def __post_init__(self) -> None:
        if self.count == 13:
            raise ValueError("13 brings bad luck")


GOOD = {"count": 3, "size": [2, 4], "parts": [{"score": 0.5}, {"score": 1}], "notes": {"odd": 2}}


def test_what_fits_comes_as_objects_and_later_fields_are_passed_over(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(GOOD | {"of a later version": {"a": [None]}}))
    parts = (Part(0.5), Part(1.0))
    assert documents.read(path, Whole) == Whole(3, (2, 4), parts, {"odd": 2})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": None}, "count: expected `int`, got `null`"),
        ({"count": "3"}, "count: expected `int`, got `str`"),
        ({"count": True}, "count: expected `int`, got `bool`"),
        ({"count": 1.5}, "count: expected `int`, got `float`"),
        ({"count": -2}, "count: expected `int` >= 0, got -2"),
        ({"count": 2**63}, "count: expected `int` <= 9223372036854775807, got 9223372036854775808"),
        ({"count": 13}, "13 brings bad luck"),
        ({"size": [2]}, "size: expected `array` of length 2, got 1"),
        ({"size": {}}, "size: expected `array`, got `object`"),
        ({"size": [2, "\x1b[31m"]}, r"size[1]: expected `int`, got `str`"),
        ({"parts": [{"score": 0.5}, {"score": 5}]}, "parts[1].score: expected `float` <= 1.0, got 5"),
        ({"parts": [{}]}, "parts[0]: object missing required field `score`"),
        ({"notes": {"odd": -1}}, "notes[...]: expected `int` >= 0"),
        ({"seconds": -0.5}, "seconds: expected `float` >= 0.0, got -0.5"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_file_field_and_what_was_expected(tmp_path, change, message):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(DataError) as caught:
        documents.read(path, Whole)
    assert str(caught.value) == f"{path}: {message}"


DEEP = 100_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as JSON"),
        (b'{"count": 3', "cannot be read as JSON"),
        (b"\xff\xfe{\0", "cannot be read as JSON"),
        (b"\xef\xbb\xbf{}", "cannot be read as JSON"),
        (b'{"count": NaN}', "NaN is no number"),
        (b'{"count": -Infinity}', "-Infinity is no number"),
        (b'{"seconds": 1e999}', "the number 1e999 is not finite"),
        (b'{"count": 1' + b"0" * 5000 + b"}", "larger than any that we write"),
        (b'{"count": 99999999999999999999}', "larger than any that we write"),
        (b"[" * DEEP, "more than 32 deep"),
        (b"[" * DEEP + b"]" * DEEP, "more than 32 deep"),
        (b"[" * 33 + b"]" * 33, "more than 32 deep"),
        (b'{"a":' * DEEP + b"1" + b"}" * DEEP, "more than 32 deep"),
        (b"[" + b"[]," * 10**6 + b"[]]", "more than 1,000,000 lists and objects"),
        (b'"' + b"x" * documents.SIZE + b'"', "larger than 16,777,216 bytes"),
        (b"[]", "expected `object`, got `array`"),
        (b"null", "expected `object`, got `null`"),
    ],
    ids=range(17),
)
def test_what_is_no_such_json_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        documents.read(path, Whole)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to("/dev/zero")
    (tmp_path / "folder.json").mkdir()
    for name in ("pipe", "link", "folder", "missing"):
        with pytest.raises(DataError, match=f"{name}.json is missing, or no regular file"):
            documents.read(tmp_path / f"{name}.json", Whole)
